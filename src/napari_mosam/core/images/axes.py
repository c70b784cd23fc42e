"""Which axis of an array is what, and how one frame is cut out of it."""

import math
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


class ChoiceError(MovieError):
    """A movie that can be read once it is said which part of it.

    Attributes
    ----------
    needs : tuple of str
        What must be said, as arguments of the command line.
    first : dict
        The first channel and plane, where those are what must be said; empty where the axes are.
    """

    def __init__(self, message: str, needs: Sequence[str], first: Mapping[str, Any]) -> None:
        super().__init__(message)
        self.needs, self.first = tuple(needs), dict(first)


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

    def summary(self, channels: Sequence[str] = ()) -> str:
        """What was understood, in some words: frames, channels, planes, and the size of a frame."""
        (height, width), n_frames = self.frame_shape, self.n_frames
        said = [f"{n_frames} frame{'s' * (n_frames != 1)}", self._channel_words(channels), self._plane_words()]
        return ", ".join(filter(None, [*said, f"{height} x {width} px (Y, X)"]))

    def _channel_words(self, names: Sequence[str]) -> str:
        if "S" in self.kept:
            return "colours (as luminance)"
        axis = "C" if size_along(self.axes, self.shape, "C") > 1 else "S"
        n, i = size_along(self.axes, self.shape, axis), self.fixed.get(axis, 0)
        name = f": {names[i]}" if i < len(names) and axis == "C" else ""
        return f"{n} channels (using {i}{name})" if n > 1 else ""

    def _plane_words(self) -> str:
        n = size_along(self.axes, self.shape, "Z")
        used = "their maximum" if "Z" in self.kept else f"using {self.fixed.get('Z', 0)}"
        return f"{n} z planes ({used})" if n > 1 else ""


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
    channels: Sequence[str] = (),
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
    channels : sequence of str
        Names of the channels, where they are known, for messages.

    Raises
    ------
    MovieError
        For an empty movie, a dtype that is not a number, or axes that do not fit.
    ChoiceError
        For a choice that is missing.
    """
    check_pixels(name, shape, dtype)
    if given is not None:
        axes = _given_axes(name, given, shape)
    elif found is not None and len(found) == len(shape):
        axes = _found_axes(name, found, shape)
    else:
        axes = _guessed_axes(name, shape, dtype)
    _check_z(name, axes, size_along(axes, shape, "Z"), z)
    _check_channel(name, axes, _n_channels(axes, shape), channel)
    _check_choices(name, axes, shape, channel, z, channels)
    asked = {"axes": given, "channel": channel, "z": z}
    return FramePlan(axes, shape, _fixed_indices(axes, shape, channel, z), asked)


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
        several = "; where each of its files is a movie of its own, give one of them" if axes.count("T") > 1 else ""
        raise ChoiceError(
            f"{name} has shape {shape} with axes {found!r}, which cannot be understood as a movie; say what each axis "
            f"is with axes= (--axes), one letter of T Z C Y X S for each, for example {_example(len(shape))}{several}",
            [f"{_axes_needed(len(shape))}{several}"],
            {},
        )
    return "".join(axes)


def _guessed_axes(name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> str:
    colour = len(shape) > 2 and shape[-1] in COLOUR_SIZES
    if len(shape) == 3 and not (colour and dtype == np.uint8):
        return "TYX"
    tail = "YXS" if colour else "YX"
    lead, tail_at = shape[: -len(tail)], len(shape) - len(tail)
    longer = [i for i, n in enumerate(lead) if n > 1]
    if tail_at < 0:
        raise MovieError(f"{name} has the shape {shape}; a movie has at least the axes Y and X")
    if len(longer) > 1:
        raise ChoiceError(
            f"{name} has shape {shape} and nothing says which axis is which; pass axes= (--axes), one letter of "
            f"T Z C Y X S for each, for example {_example(len(shape))}",
            [_axes_needed(len(shape))],
            {},
        )
    return "".join("T" if i in longer else UNUSED for i in range(tail_at)) + tail


def _axes_needed(n_axes: int) -> str:
    return f"--axes, such as {_example(n_axes)}"


def _example(n_axes: int) -> str:
    return {4: "'TCYX' or 'TZYX'", 5: "'TCZYX'", 6: "'TCZYXS'"}.get(n_axes, "'TYX' (at most six)")


def _choosable(axes: str, shape: tuple[int, ...]) -> str:
    """The axis along which a channel is chosen: that of the colours where there is no other."""
    return "S" if size_along(axes, shape, "S") > 1 and size_along(axes, shape, "C") == 1 else "C"


def _n_channels(axes: str, shape: tuple[int, ...]) -> int:
    return size_along(axes, shape, _choosable(axes, shape))


def _fixed_indices(axes: str, shape: tuple[int, ...], channel: int | None, z: ZChoice) -> dict[str, int]:
    n_samples, choosable = size_along(axes, shape, "S"), _choosable(axes, shape)
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


def _check_channel(name: str, axes: str, n_channels: int, channel: int | None) -> None:
    if channel is not None and not 0 <= channel < n_channels:
        allowed = f"0 to {n_channels - 1}" if n_channels > 1 else "0, or none"
        raise MovieError(
            f"channel={channel} is not in {name}, which has {n_channels} channel(s) (axes {axes}); allowed: {allowed}"
        )


def _check_z(name: str, axes: str, n_planes: int, z: ZChoice) -> None:
    if isinstance(z, str) and z != "max":
        raise MovieError(f"z={z!r} is not possible; allowed: the number of a plane, or 'max'")
    if isinstance(z, int) and not 0 <= z < n_planes:
        allowed = f"0 to {n_planes - 1} or 'max'" if n_planes > 1 else "0, 'max' or none"
        raise MovieError(f"z={z} is not in {name}, which has {n_planes} z plane(s) (axes {axes}); allowed: {allowed}")


@dataclass(frozen=True, slots=True)
class _Choice:
    """One of several channels or planes that must be chosen."""

    option: str
    axis: str
    has: str
    allowed: tuple[str, ...]

    @classmethod
    def of_planes(cls, n: int) -> "_Choice":
        return cls("z", "Z", f"{n} z planes", (f"0 to {n - 1}", "max"))

    @classmethod
    def of_channels(cls, n: int, axis: str, names: Sequence[str]) -> "_Choice":
        named = f" ({', '.join(f'{i} {name}' for i, name in enumerate(names))})" if len(names) == n else ""
        return cls("channel", axis, f"{n} channels{named}", (f"0 to {n - 1}",))

    def words(self) -> str:
        quoted = [self.allowed[0], *(f"'{word}'" for word in self.allowed[1:])]
        return f"{self.option}= (--{self.option}), {' or '.join(quoted)}"


def _check_choices(
    name: str, axes: str, shape: tuple[int, ...], channel: int | None, z: ZChoice, names: Sequence[str]
) -> None:
    """Refuse to guess which channel and which plane are meant."""
    missing, n_planes, axis = [], size_along(axes, shape, "Z"), _choosable(axes, shape)
    n_channels = size_along(axes, shape, axis)
    if z is None and n_planes > 1:
        missing.append(_Choice.of_planes(n_planes))
    if channel is None and n_channels > 1 and not (axis == "S" and n_channels in COLOUR_SIZES):
        missing.append(_Choice.of_channels(n_channels, axis, names))
    if missing:
        as_time = _as_time(axes, shape, missing[0].axis)
        raise ChoiceError(
            f"{name} has {' and '.join(one.has for one in missing)} (axes {axes}); say which one to use with "
            f"{', and '.join(one.words() for one in missing)}"
            + (f"; if they are time points, pass axes={as_time!r} (--axes)" if as_time else ""),
            [f"--{one.option} {' or '.join(one.allowed)}" for one in missing]
            + ([f"--axes {as_time} if they are time points"] if as_time else []),
            {one.option: 0 for one in missing},
        )


def _as_time(axes: str, shape: tuple[int, ...], axis: str) -> str:
    """What to pass where the axis is one of time, as in many stacks of ImageJ; empty where there is another."""
    long = "".join("T" if a == axis else a for a, n in zip(axes, shape, strict=True) if n > 1)
    if size_along(axes, shape, "T") > 1 or not {"Y", "X"} <= set(long):
        return ""
    return long
