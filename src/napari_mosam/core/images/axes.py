"""Which axis of an array is what, how long a step along it is, and how one frame is cut out of it."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

KNOWN = "TZCYXS"
UNUSED = "Q"
"""Stands for an axis of length one that has no meaning here."""

_LUMINANCE = (0.299, 0.587, 0.114)
"""Share of red, green and blue in a grey value, ITU-R BT.601."""

COLOUR_SIZES = (3, 4)
"""Lengths of an axis that is taken for colours: RGB and RGBA."""

_FLOAT_BYTES = 8
"""Of a colour sample while it becomes grey: double precision."""

_NORMALISED_BYTES = 13
"""Of a pixel: double, single, and which pixels are finite."""

ZChoice = int | Literal["max"] | None


class MovieError(ValueError):
    """A movie that cannot be opened or read; the message says what was given, what is allowed and what to do."""


_MICROMETERS = {
    **dict.fromkeys(("µm", "μm", "um", "\\u00b5m", "micron", "microns", "micrometer", "micrometre"), 1.0),
    **dict.fromkeys(("nm", "nanometer", "nanometre"), 1e-3),
    **dict.fromkeys(("mm", "millimeter", "millimetre"), 1e3),
    **dict.fromkeys(("cm", "centimeter", "centimetre"), 1e4),
    **dict.fromkeys(("m", "meter", "metre"), 1e6),
}
_SECONDS = {
    **dict.fromkeys(("s", "sec", "second", "seconds"), 1.0),
    **dict.fromkeys(("ms", "msec", "millisecond", "milliseconds"), 1e-3),
    **dict.fromkeys(("min", "minute", "minutes"), 60.0),
    **dict.fromkeys(("h", "hour", "hours"), 3600.0),
}


@dataclass(frozen=True, slots=True)
class Calibration:
    """How large a pixel is and how long a frame lasts, where that is known.

    Attributes
    ----------
    pixel_um : tuple of float or None
        (y, x), µm.
    interval_s : float or None
        From frame to frame, s.
    """

    pixel_um: tuple[float, float] | None = None
    interval_s: float | None = None

    @classmethod
    def of(cls, y: Any, x: Any, unit: str, interval: Any, time_unit: str) -> "Calibration":
        """From what a file says; what is missing, not positive or of an unknown unit is not known."""
        pixel = _in_units(y, unit, _MICROMETERS), _in_units(x, unit, _MICROMETERS)
        known = (pixel[0], pixel[1]) if pixel[0] is not None and pixel[1] is not None else None
        return cls(known, _in_units(interval, time_unit, _SECONDS))

    @classmethod
    def of_ome(cls, xml: str) -> "Calibration":
        """From the metadata of an OME-TIFF file: those of its first image."""
        found = re.search(r"<(?:\w+:)?Pixels\b([^>]*)>", xml)
        said = dict(re.findall(r'(\w+)\s*=\s*"([^"]*)"', found[1])) if found else {}
        return cls.of(
            said.get("PhysicalSizeY"),
            said.get("PhysicalSizeX"),
            said.get("PhysicalSizeXUnit", "µm"),
            said.get("TimeIncrement"),
            said.get("TimeIncrementUnit", "s"),
        )

    @classmethod
    def of_scale(cls, axes: Sequence[Any], scale: Sequence[float]) -> "Calibration":
        """From the axes of an OME-Zarr image and the size of a step along each."""
        steps = {a["name"]: (step, a.get("unit", "")) for a, step in zip(axes, scale, strict=False) if "name" in a}
        (y, _), (x, unit), (t, time_unit) = (steps.get(name, (None, "")) for name in "yxt")
        return cls.of(y, x, unit, t, time_unit)

    def words(self) -> str:
        """For a person; empty where nothing is known."""
        pixel = (
            "" if self.pixel_um is None else " x ".join(f"{side:.4g}" for side in self.pixel_um) + " µm a pixel (Y, X)"
        )
        interval = "" if self.interval_s is None else f"{self.interval_s:.4g} s a frame"
        return ", ".join(filter(None, (pixel, interval)))


UNKNOWN = Calibration()
"""Of a movie that does not say."""


def _in_units(value: Any, unit: str, units: Mapping[str, float]) -> float | None:
    try:
        size = float(value) * units[unit.strip().lower()]
    except (TypeError, ValueError, KeyError):
        return None
    return size if 0 < size < math.inf else None


@dataclass(frozen=True, slots=True)
class FramePlan:
    """How frame t is cut out of an array.

    Attributes
    ----------
    axes : str
        One letter per array axis: T, Z, C, Y, X, S (red, green, blue, alpha) or Q (length one, ignored).
    shape : tuple of int
        Of the array.
    fixed : dict of str to int
        The index taken along every axis that a frame does not keep, T excepted.
    asked : dict
        The axes, channel and z that were asked for.
    """

    axes: str
    shape: tuple[int, ...]
    fixed: dict[str, int]
    asked: dict[str, str | int | None] = field(default_factory=dict)

    @property
    def n_frames(self) -> int:
        """Number of time points; 1 without a time axis."""
        return size_along(self.axes, self.shape, "T")

    @property
    def frame_shape(self) -> tuple[int, int]:
        """Shape (Y, X) of one frame, px."""
        return size_along(self.axes, self.shape, "Y"), size_along(self.axes, self.shape, "X")

    @property
    def kept(self) -> str:
        """Axes that a read keeps, in array order: Y, X and what is projected afterwards."""
        return "".join(axis for axis in self.axes if axis != "T" and axis not in self.fixed)

    def index(self, t: int) -> tuple[int | slice, ...]:
        """Index of what has to be read for frame `t`, and nothing else."""
        return tuple(t if axis == "T" else self.fixed.get(axis, slice(None)) for axis in self.axes)

    def bytes_of_frame(self, itemsize: int) -> int:
        """Memory that one frame takes while it is read, projected and normalised; `itemsize` is that of a pixel."""
        read = math.prod(n for axis, n in zip(self.axes, self.shape, strict=True) if axis in self.kept)
        colours = _FLOAT_BYTES * read if "S" in self.kept else 0
        return read * itemsize + max(colours, math.prod(self.frame_shape) * _NORMALISED_BYTES)

    def flatten(self, pixels: NDArray[Any]) -> NDArray[Any]:
        """Project what was read to a (Y, X) frame of the same dtype: maximum over Z, luminance over S."""
        kept = self.kept
        if "Z" in kept:
            pixels = np.fmax.reduce(pixels, axis=kept.index("Z"))
            kept = kept.replace("Z", "")
        if "S" in kept:
            pixels = _luminance(np.moveaxis(pixels, kept.index("S"), -1))
            kept = kept.replace("S", "")
        return pixels if kept == "YX" else pixels.T

    def describe(self) -> str:
        """Say what is taken of channels and planes; empty when there was nothing to choose."""
        words = {"Z": "z", "C": "channel", "S": "channel"}
        sizes = dict(zip(self.axes, self.shape, strict=True))
        said = [f"{words[a]} {i} of {sizes[a]}" for a, i in self.fixed.items() if a in words and sizes[a] > 1]
        said += [f"maximum over {sizes['Z']} planes"] if "Z" in self.kept else []
        return ", ".join(said + (["luminance of the colours"] if "S" in self.kept else []))


def size_along(axes: str, shape: tuple[int, ...], axis: str) -> int:
    """Length of `axis`; 1 where there is none."""
    return shape[axes.index(axis)] if axis in axes else 1


def plan_frames(
    name: str,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    *,
    given: str | None,
    found: str | None,
    channel: int | None,
    z: ZChoice,
) -> FramePlan:
    """Decide how frames are cut out of an array.

    Parameters
    ----------
    name : str
        What the movie is called in messages.
    shape, dtype
        Of the array.
    given, found : str or None
        Axes named by the user, and by the file's metadata. The user wins.
    channel : int or None
        Channel to read.
    z : int, 'max' or None
        Plane to read, or the maximum over all of them.

    Raises
    ------
    MovieError
        For an empty movie, a dtype that is not a number, axes that do not fit, or a choice that is missing.
    """
    check_pixels(name, shape, dtype)
    if given is not None:
        axes = _given_axes(name, given, shape)
    elif found is not None and len(found) == len(shape):
        axes = _found_axes(name, found, shape)
    else:
        axes = _guessed_axes(name, shape, dtype)
    _check_z(name, axes, size_along(axes, shape, "Z"), z)
    asked = {"axes": given, "channel": channel, "z": z}
    return FramePlan(axes, shape, _fixed_indices(name, axes, shape, channel, z), asked)


def check_pixels(name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """MovieError for an array of unknown size, without pixels, or of what is no number."""
    if any(math.isnan(n) for n in shape):
        raise MovieError(f"{name} has an unknown size {shape}: call compute_chunk_sizes() on the dask array first")
    if 0 in shape:
        raise MovieError(f"{name} is empty: its shape is {shape}; a movie needs at least one frame and one pixel")
    if dtype.kind not in "biuf":
        raise MovieError(
            f"{name} holds pixels of type {dtype}; allowed: bool, integer or real numbers (convert it first)"
        )


def _given_axes(name: str, given: str, shape: tuple[int, ...]) -> str:
    axes = given.strip().upper()
    if set(axes) - set(KNOWN) or len(set(axes)) != len(axes) or not {"Y", "X"} <= set(axes):
        raise MovieError(
            f"axes={given!r} is not possible; allowed: each of the letters T Z C Y X S at most once, with Y and X"
        )
    if len(axes) == len(shape):
        return axes
    letters = iter(axes)
    if len(axes) == sum(n > 1 for n in shape):
        return "".join(next(letters) if n > 1 else UNUSED for n in shape)
    raise MovieError(
        f"axes={given!r} names {len(axes)} axes, but {name} has {len(shape)}: shape {shape}; "
        f"give one letter of T Z C Y X S for each (--axes)"
    )


def _found_axes(name: str, found: str, shape: tuple[int, ...]) -> str:
    axes = [a if a in KNOWN else "?" if n > 1 else UNUSED for a, n in zip(found.upper(), shape, strict=True)]
    if axes.count("?") == 1 and "T" not in axes:
        axes[axes.index("?")] = "T"
    if axes[-1] != "S" and "S" in axes:
        # Software that writes frames or channels one after the other often labels three or four of them RGB.
        axes[axes.index("S")] = "C" if "C" not in axes else "?"
    repeated = any(axes.count(a) > 1 for a in KNOWN)
    if "?" in axes or repeated or not {"Y", "X"} <= set(axes):
        raise MovieError(
            f"{name} has shape {shape} with axes {found!r}, which cannot be understood as a movie; say what each axis "
            f"is with axes= (--axes), one letter of T Z C Y X S for each, for example 'TCYX'"
        )
    return "".join(axes)


def _guessed_axes(name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> str:
    colour = len(shape) > 2 and shape[-1] in COLOUR_SIZES
    if len(shape) == 3 and not (colour and dtype == np.uint8):
        return "TYX"
    tail = "YXS" if colour else "YX"
    lead, tail_at = shape[: -len(tail)], len(shape) - len(tail)
    longer = [i for i, n in enumerate(lead) if n > 1]
    if tail_at < 0 or len(longer) > 1:
        raise MovieError(
            f"{name} has shape {shape} and nothing says which axis is which; pass axes= (--axes), one letter of "
            f"T Z C Y X S for each, for example {_example(len(shape))}"
        )
    return "".join("T" if i in longer else UNUSED for i in range(tail_at)) + tail


def _example(n_axes: int) -> str:
    return {4: "'TCYX' or 'TZYX'", 5: "'TCZYX'", 6: "'TCZYXS'"}.get(n_axes, "'TYX' (at most six)")


def _fixed_indices(name: str, axes: str, shape: tuple[int, ...], channel: int | None, z: ZChoice) -> dict[str, int]:
    n_samples = size_along(axes, shape, "S")
    choosable = "S" if n_samples > 1 and size_along(axes, shape, "C") == 1 else "C"
    _check_channel(
        name, axes, size_along(axes, shape, choosable), channel, has_default=choosable == "S" and n_samples <= 4
    )
    fixed = {axis: 0 for axis in axes if axis not in "TYX"} | {choosable: channel or 0}
    if n_samples in COLOUR_SIZES and (channel is None or choosable == "C"):
        del fixed["S"]
    if z == "max":
        fixed.pop("Z", None)
    elif z is not None:
        fixed["Z"] = z
    return {axis: i for axis, i in fixed.items() if axis in axes}


def _luminance(colours: NDArray[Any]) -> NDArray[Any]:
    grey: NDArray[Any] = colours[..., :3] @ np.asarray(_LUMINANCE)
    return (grey if colours.dtype.kind == "f" else np.rint(grey)).astype(colours.dtype)


def _check_channel(name: str, axes: str, n_channels: int, channel: int | None, *, has_default: bool) -> None:
    if channel is None and n_channels > 1 and not has_default:
        raise _missing(name, axes, f"{n_channels} channels", f"channel= (--channel), 0 to {n_channels - 1}", "C")
    if channel is not None and not 0 <= channel < n_channels:
        allowed = f"0 to {n_channels - 1}" if n_channels > 1 else "0, or none"
        raise MovieError(
            f"channel={channel} is not in {name}, which has {n_channels} channel(s) (axes {axes}); allowed: {allowed}"
        )


def _check_z(name: str, axes: str, n_planes: int, z: ZChoice) -> None:
    if z is None and n_planes > 1:
        raise _missing(name, axes, f"{n_planes} z planes", f"z= (--z), 0 to {n_planes - 1} or 'max'", "Z")
    if isinstance(z, str) and z != "max":
        raise MovieError(f"z={z!r} is not possible; allowed: the number of a plane, or 'max'")
    if isinstance(z, int) and not 0 <= z < n_planes:
        allowed = f"0 to {n_planes - 1} or 'max'" if n_planes > 1 else "0, 'max' or none"
        raise MovieError(f"z={z} is not in {name}, which has {n_planes} z plane(s) (axes {axes}); allowed: {allowed}")


def _missing(name: str, axes: str, has: str, choose: str, axis: str) -> MovieError:
    message = f"{name} has {has} (axes {axes}); say which one to use with {choose}"
    if "T" in axes:
        return MovieError(message)
    as_time = axes.replace(axis, "T").replace(UNUSED, "")
    return MovieError(f"{message}; if they are time points, pass axes={as_time!r} (--axes)")
