"""Any array or path as a movie of normalised frames, read one at a time."""

import operator
import threading
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_mosam.core._axes import FramePlan, MovieError, ZChoice, plan_frames
from napari_mosam.core._checks import Refused, require_room
from napari_mosam.core._image_files import SMALLER
from napari_mosam.core._sources import Source, open_source

__all__ = ["Movie", "MovieError"]

_PERCENTILES = (0.5, 99.8)
_SAMPLED_FRAMES = 16
_SAMPLED_PIXELS = 2**17


class Movie:
    """A movie of (Y, X) frames over time, whatever it is stored in.

    Only what a frame needs is read, when it is asked for. Make one with `Movie.open`; it does not change afterwards.
    ``movie[t]`` is a new float32 array of shape (Y, X) in [0, 1].
    """

    def __init__(self, source: Source, plan: FramePlan, limits: tuple[float, float] | None = None) -> None:
        self._source, self._plan = source, plan
        self._limits = limits
        self._lock = threading.Lock()

    @classmethod
    def open(
        cls,
        source: Any,
        *,
        axes: str | None = None,
        channel: int | None = None,
        z: int | Literal["max"] | None = None,
        limits: tuple[float, float] | None = None,
    ) -> "Movie":
        """Open a movie without reading its frames.

        Parameters
        ----------
        source : Movie, array, zarr.Group, str or Path
            A numpy, dask or zarr array; a zarr or OME-Zarr folder (the full resolution is used); a TIFF file; a PNG
            or JPEG image; a folder or a pattern of images, one file per frame. A Movie is returned as it is.
        axes : str, optional
            One letter per axis of the array: T, Z, C, Y, X, S (colours). Metadata or the number of axes decides
            otherwise.
        channel : int, optional
            Channel to read, from 0; needed where there is more than one. Colour images are turned into luminance
            (Rec. 601, alpha ignored) unless a channel is chosen.
        z : int or 'max', optional
            Plane to read, from 0, or the maximum over all planes; needed where there is more than one.
        limits : tuple of float, optional
            Pixel values that become 0 and 1; robust percentiles of the movie otherwise.

        Raises
        ------
        MovieError
            When the source cannot be opened, or when its axes, channel or plane are not certain.
        """
        if isinstance(source, Movie):
            if (axes, channel, z, limits) != (None, None, None, None):
                raise MovieError(
                    "axes, channel, z and limits are fixed once a movie is open; pass them to the first Movie.open"
                )
            return source
        found = open_source(source)
        plan = plan_frames(
            found.name,
            found.shape,
            found.dtype,
            given=axes,
            found=found.axes,
            channel=None if channel is None else _as_index(channel, "channel"),
            z=_as_plane(z),
        )
        return cls(found, plan, None if limits is None else _checked_limits(limits))

    @property
    def name(self) -> str:
        """File name, or the kind of array."""
        return self._source.name

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape (T, Y, X) of the movie as it is read."""
        return self.n_frames, *self.frame_shape

    @property
    def n_frames(self) -> int:
        """Number of frames."""
        return self._plan.n_frames

    @property
    def frame_shape(self) -> tuple[int, int]:
        """Shape (Y, X) of a frame, px."""
        return self._plan.frame_shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of a stored pixel."""
        return self._source.dtype

    @property
    def source_shape(self) -> tuple[int, ...]:
        """Shape of the stored array."""
        return self._plan.shape

    @property
    def source_axes(self) -> str:
        """One letter per axis of the stored array; Q is an ignored axis of length one."""
        return self._plan.axes

    @property
    def limits(self) -> tuple[float, float]:
        """Pixel values that become 0 and 1, the same for every frame.

        The 0.5 and 99.8 percentiles of the finite values of up to 16 frames spread over the movie, computed once.
        """
        with self._lock:
            if self._limits is None:
                self._limits = self._sample_limits()
            return self._limits

    def __len__(self) -> int:
        return self.n_frames

    def __getitem__(self, t: int) -> NDArray[np.float32]:
        """Frame `t`, normalised: float32, shape (Y, X), in [0, 1]; NaN becomes 0.

        Raises
        ------
        IndexError
            Outside 0 to n_frames - 1.
        MovieError
            When the file is damaged there.
        """
        return normalise(self.raw(t), self.limits)

    def raw(self, t: int) -> NDArray[Any]:
        """Frame `t` as it is stored: shape (Y, X), native dtype; may be a view of the source.

        Raises
        ------
        IndexError
            Outside 0 to n_frames - 1.
        MovieError
            When the file is damaged there.
        """
        t = operator.index(t)
        if not 0 <= t < self.n_frames:
            raise IndexError(f"frame {t} is not in {self.name}, which has frames 0 to {self.n_frames - 1}")
        self._require_room()
        return self._plan.flatten(self._source.read(self._plan.index(t), f"frame {t}"))

    def _require_room(self) -> None:
        """Refuse a frame that cannot be read, projected and normalised in the memory that is free."""
        needed = self._plan.bytes_of_frame(self.dtype.itemsize) + self._source.chunk_bytes
        try:
            require_room(needed, f"one frame of {self.name}, {self._plan.shape} {self.dtype},", SMALLER)
        except Refused as error:
            raise MovieError(str(error)) from error

    def describe(self) -> str:
        """Several aligned lines on what the movie is and how it is read; samples the limits."""
        low, high = self.limits
        n_frames, height, width = self.shape
        rows = {
            "name": f"{self.name} ({self._source.kind})",
            "source": f"{self.source_shape}, axes {self.source_axes}",
            "reads": self._plan.describe(),
            "movie": f"{n_frames} frame{'s' * (n_frames != 1)} of {height} x {width} px (Y, X)",
            "dtype": str(self.dtype),
            "limits": f"{low:g} to {high:g} become 0 to 1",
            "frame": f"{height * width * self.dtype.itemsize / 1024:.0f} KiB stored",
            "chunks": str(self._source.chunks or ""),
        }
        return "\n".join(f"{key:<8}{value}" for key, value in rows.items() if value)

    def __repr__(self) -> str:
        return f"<Movie {self.name}: {self.shape} (T, Y, X) {self.dtype}>"

    def _sample_limits(self) -> tuple[float, float]:
        if self.dtype.kind == "b":
            return 0.0, 1.0
        step = max(1, int(np.ceil(np.sqrt(np.prod(self.frame_shape, dtype=float) / _SAMPLED_PIXELS))))
        picked = np.unique(np.linspace(0, self.n_frames - 1, _SAMPLED_FRAMES).round().astype(int))
        return robust_limits(np.concatenate([self.raw(int(t))[::step, ::step].ravel() for t in picked]))


def robust_limits(pixels: NDArray[Any]) -> tuple[float, float]:
    """Take the 0.5 and 99.8 percentiles of the finite values; their extremes where those are equal.

    A movie with a few bright pixels on an even background has equal percentiles and would be lost otherwise.
    """
    finite = pixels[np.isfinite(pixels)]
    if not finite.size:
        return 0.0, 0.0
    low, high = np.percentile(finite, _PERCENTILES, method="nearest")
    if low == high:
        low, high = finite.min(), finite.max()
    return float(low), float(high)


def normalise(frame: NDArray[Any], limits: tuple[float, float]) -> NDArray[np.float32]:
    """Map `limits` to 0 and 1 and clip; NaN becomes 0, and so does everything when the limits are equal."""
    low, half_span = limits[0] / 2, limits[1] / 2 - limits[0] / 2
    if not half_span > 0:
        return np.zeros(frame.shape, np.float32)
    scaled: NDArray[Any] = frame.astype(np.float32 if frame.dtype.itemsize <= 2 else np.float64)
    with np.errstate(all="ignore"):
        # Halves, because the span of the largest floats is itself too large for a float.
        scaled *= 0.5
        scaled -= low
        scaled /= half_span
    np.nan_to_num(scaled, copy=False, nan=0.0, posinf=1.0, neginf=0.0)
    return np.clip(scaled, 0, 1, out=scaled).astype(np.float32, copy=False)


def _as_index(given: Any, name: str) -> int:
    try:
        return operator.index(given)
    except TypeError as error:
        raise MovieError(f"{name}={given!r} is not possible; allowed: a whole number, counted from 0") from error


def _as_plane(z: Any) -> ZChoice:
    if z is None or z == "max":
        return z  # type: ignore[no-any-return]
    if isinstance(z, str):
        raise MovieError(f"z={z!r} is not possible; allowed: the number of a plane, counted from 0, or 'max'")
    return _as_index(z, "z")


def _checked_limits(limits: tuple[float, float]) -> tuple[float, float]:
    try:
        low, high = (float(value) for value in limits)
    except (TypeError, ValueError) as error:
        raise MovieError(f"limits={limits!r} is not possible; allowed: two numbers, low and high") from error
    if not (np.isfinite(low) and np.isfinite(high) and low < high):
        raise MovieError(f"limits={limits!r} is not possible; allowed: two finite numbers, the first one smaller")
    return low, high
