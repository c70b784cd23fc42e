"""Any array or path as a movie of normalised frames, read one at a time."""

import hashlib
import logging
import operator
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_mosam.core.config.checks import Refused, require_room
from napari_mosam.core.images.axes import FramePlan, MovieError, plan_frames
from napari_mosam.core.images.calibration import Calibration
from napari_mosam.core.images.choices import Limits, as_index, as_plane, checked_limits
from napari_mosam.core.images.describe import facts, in_words, summary
from napari_mosam.core.images.formats.image_files import SMALLER
from napari_mosam.core.images.formats.source import Source
from napari_mosam.core.images.gaps import absence, ended_early, lost_frames, reading, unwritten_frames
from napari_mosam.core.images.grey.frame_samples import SamplePlan, read_frames
from napari_mosam.core.images.grey.limits import GreyLimits, exact_limits, find_limits
from napari_mosam.core.images.grey.normalise import normalise
from napari_mosam.core.images.grey.statistics import FrameSample
from napari_mosam.core.images.levels import Levels
from napari_mosam.core.images.reading import BlockCache, Grid, room_for_blocks
from napari_mosam.core.images.sources import open_source

__all__ = ["Movie", "MovieError"]

logger = logging.getLogger(__name__)


class Movie:
    """A movie of (Y, X) frames over time, whatever it is stored in.

    Only what is asked for is read, and kept decoded while there is room for it. Make one with `Movie.open`; it does not
    change afterwards. ``movie[t]`` is a new float32 array of shape (Y, X) in [0, 1].

    Attributes
    ----------
    calibration : Calibration
        Size of a pixel and length of a frame, where the file says so or a person did.
    skips_bad_frames : bool
        Whether a run counts a frame that cannot be read as absent for all objects, instead of ending there.
    """

    def __init__(
        self,
        source: Source,
        plan: FramePlan,
        limits: Literal["exact"] | GreyLimits | None = None,
        cache: BlockCache | None = None,
        *,
        skip_bad_frames: bool = False,
    ) -> None:
        self._source, self._plan = source, plan
        self.skips_bad_frames = skip_bad_frames
        self._cache = cache or BlockCache(room_for_blocks(source, plan, None))
        self._levels = Levels(source, plan, self._cache)
        self._reader = self._levels.full
        self.calibration = source.calibration
        self._wanted = limits
        self._limits = limits if isinstance(limits, GreyLimits) else None
        self._lock = threading.Lock()

    @classmethod
    def open(
        cls,
        source: Any,
        *,
        axes: str | None = None,
        channel: int | None = None,
        z: int | Literal["max"] | None = None,
        limits: Limits = None,
        series: int | None = None,
        skip_bad_frames: bool = False,
        ram: str | int | None = None,
    ) -> "Movie":
        """Open a movie without reading its frames.

        What a file promises and does not hold is never made up: a movie ends with the last frame that is there, and
        `absence` tells of those that are not; a frame in between that is not there cannot be read.

        Parameters
        ----------
        source : Movie, array, zarr.Group, str or Path
            A numpy, dask or zarr array; a zarr or OME-Zarr folder (the full resolution is used); a TIFF file; a PNG
            or JPEG image; a folder, a pattern or a list of images, one file per frame; ND2, CZI, LIF, Imaris and NumPy
            files and films, see docs/formats.md. A Movie is returned as it is.
        axes : str, optional
            One letter per axis of the array: T, Z, C, Y, X, S (colours). Metadata or the number of axes decides
            otherwise.
        channel : int, optional
            Channel to read, from 0; needed where there is more than one. Colour images are turned into luminance
            (Rec. 601, alpha ignored) unless a channel is chosen.
        z : int or 'max', optional
            Plane to read, from 0, or the maximum over all planes; needed where there is more than one.
        limits : tuple of float, 'exact' or GreyLimits, optional
            Pixel values that become 0 and 1; those of an earlier run; or 'exact', to take them from all pixels of all
            frames. By default they are taken from a sample of the movie, see :attr:`grey_limits`.
        series : int, optional
            Which image of a file that holds several, such as positions, from 0; the largest by default.
        skip_bad_frames : bool
            Let a run go on over a frame that cannot be read: it counts as absent for all objects.
        ram : str or int, optional
            Memory that a run on the movie may take, bytes or text such as '2GB': what is left of it keeps decoded
            pixels, so that no chunk is decoded twice. By default up to .27 GB do, see `docs/benchmarks.md`.

        Raises
        ------
        MovieError
            When the source cannot be opened, when its axes, channel or plane are not certain, or when one frame and
            the chunks it lies in do not fit into `ram`.
        """
        if isinstance(source, Movie):
            if (axes, channel, z, limits, series, ram) != (None,) * 6:
                raise MovieError(
                    "axes, channel, z, limits, series and ram are fixed once a movie is open; pass them to the first "
                    "Movie.open"
                )
            return source.skipping() if skip_bad_frames else source
        found = open_source(source, None if series is None else as_index(series, "series"))
        plan = plan_frames(
            found.name,
            found.shape,
            found.dtype,
            given=axes,
            found=found.axes,
            channel=None if channel is None else as_index(channel, "channel"),
            z=as_plane(z),
            channels=found.channels,
        )
        plan = ended_early(found, plan)
        cache = BlockCache(room_for_blocks(found, plan, ram), bounded=ram is not None)
        return cls(found, plan, checked_limits(limits), cache, skip_bad_frames=skip_bad_frames)

    @property
    def name(self) -> str:
        """File name, or the kind of array."""
        return self._source.name

    @property
    def path(self) -> Path | None:
        """Where it lies; None for an array."""
        return self._source.path

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the shape, the type, and the first, the middle and the last frame as they are stored."""
        digest = hashlib.sha256(f"{self.shape} {self.dtype}".encode())
        for t in sorted({0, self.n_frames // 2, self.n_frames - 1}):
            frame = self._if_readable(t)
            digest.update(b"unreadable" if frame is None else frame.tobytes())
        return digest.hexdigest()

    def same_frames(self, other: "Movie") -> bool:
        """Whether another shows the same frames between limits that were asked for alike; reads some of both."""
        return self is other or (self._wanted == other._wanted and self.fingerprint == other.fingerprint)

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
    def bounded(self) -> bool:
        """Whether it was said how much memory a run may take."""
        return self._cache.bounded

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
        """Pixel values that become 0 and 1; of the brightest frame where the light fades."""
        return self.grey_limits.low, self.grey_limits.high

    @property
    def grey_limits(self) -> GreyLimits:
        """Pixel values that become 0 and 1 on every frame, and what took no part in finding them; computed once.

        The 0.5 and 99.8 percentiles of up to 64 frames spread over the movie, of which at most 256 MB are read. Pixels
        without data, saturated ones, outliers and frames unlike all others take no part; where the light fades, every
        frame is brought to one brightness.

        Raises
        ------
        MovieError
            When the file is damaged.
        """
        with self._lock:
            if self._limits is None:
                self._limits = self._find_limits()
                if note := self._limits.note():
                    logger.log(logging.WARNING if self._limits.flat else logging.INFO, "%s: %s", self.name, note)
            return self._limits

    @property
    def absent_frames(self) -> tuple[int, ...]:
        """Frames of a zarr array that nothing on the disk holds: lost, or of one value only."""
        return unwritten_frames(self._source, self._plan)

    @property
    def bad_frames(self) -> tuple[int, ...]:
        """Frames that are known not to be there before any is read: without a file, or left out of it."""
        return tuple(int(t) for t in np.flatnonzero(lost_frames(self._source, self._plan)[: self.n_frames]))

    def absence(self) -> str:
        """One line on frames that are promised and not there; empty where all are."""
        return absence(self._source, self._plan)

    def choice(self) -> str:
        """One line on the image that is read of several; empty where there is one."""
        return self._source.choice()

    def with_limits(self, limits: GreyLimits) -> "Movie":
        """The same movie between other limits."""
        return self._but(limits=limits)

    def skipping(self) -> "Movie":
        """The same movie; a run counts a frame that cannot be read as absent for all objects."""
        return Movie(self._source, self._plan, self._limits or self._wanted, self._cache, skip_bad_frames=True)

    def calibrated(self, pixel_um: float | None, interval_s: float | None) -> "Movie":
        """The same movie with a given size of its pixels (µm) and time between frames (s), where they are given."""
        known = self.calibration
        pixel = known.pixel_um if pixel_um is None else (pixel_um, pixel_um)
        given = Calibration(pixel, known.interval_s if interval_s is None else interval_s)
        return self if given == known else self._but(replace(self._source, calibration=given))

    def named(self, name: str) -> "Movie":
        """The same movie by another name, such as that of the layer which shows an array."""
        return self._but(replace(self._source, name=name))

    def _but(self, source: Source | None = None, limits: GreyLimits | None = None) -> "Movie":
        given, skips = limits or self._limits or self._wanted, self.skips_bad_frames
        return Movie(source or self._source, self._plan, given, self._cache, skip_bad_frames=skips)

    def __len__(self) -> int:
        return self.n_frames

    def __getitem__(self, t: int) -> NDArray[np.float32]:
        """Frame `t`, normalised: float32, shape (Y, X), in [0, 1]; NaN becomes 0.

        Raises
        ------
        IndexError
            Outside 0 to n_frames - 1.
        SkippedFrameError
            When the file is damaged or not there, and bad frames are skipped.
        MovieError
            When it is, and they are not.
        """
        return normalise(self.raw(t), self.grey_limits.at(operator.index(t)))

    def raw(self, t: int) -> NDArray[Any]:
        """Frame `t` as it is stored: shape (Y, X), native dtype; may be a view of the source.

        Raises
        ------
        IndexError
            Outside 0 to n_frames - 1.
        SkippedFrameError
            When the file is damaged or not there, and bad frames are skipped.
        MovieError
            When it is, and they are not.
        """
        t = operator.index(t)
        if not 0 <= t < self.n_frames:
            raise IndexError(f"frame {t} is not in {self.name}, which has frames 0 to {self.n_frames - 1}")
        self._require_room()
        with reading(skip_bad_frames=self.skips_bad_frames):
            return self._reader.frame(t)

    def _if_readable(self, t: int) -> NDArray[Any] | None:
        """Frame `t` as it is stored; None where its file is damaged or not there."""
        try:
            return self.raw(t)
        except MovieError:
            return None

    @property
    def halvings(self) -> tuple[int, ...]:
        """By how many times smaller the levels are that stand for frames halved so often; reads some of a frame."""
        return tuple(sorted(self._levels.halved))

    def grid(self, step: int = 1) -> Grid:
        """What is decoded at once of the frames, or of a level of :attr:`halvings`."""
        return self._levels.reader(step).grid

    def part(self, t: int, rows: slice, columns: slice, step: int = 1) -> NDArray[np.float32]:
        """A part of frame `t`, the same pixels as ``movie[t][rows, columns]``; only the chunks it lies in are decoded.

        Parameters
        ----------
        t : int
        rows, columns : slice
            With start and stop inside the frame.
        step : int
            Of a level of :attr:`halvings`; places are then those of its own pixels.

        Raises
        ------
        SkippedFrameError
            When the file is damaged or not there, and bad frames are skipped.
        MovieError
            When it is, and they are not.
        """
        with reading(skip_bad_frames=self.skips_bad_frames):
            stored = self._levels.reader(step).read(t, rows, columns)
        return normalise(stored, self.grey_limits.at(t))

    def overview(self, t: int, step: int) -> tuple[NDArray[np.float32], int] | None:
        """All of frame `t` from a level of lower resolution, and how many times lower: the most up to `step`.

        None where the file has no such level.
        """
        factor = self._levels.coarsest(step)
        if factor is None:
            return None
        with reading(skip_bad_frames=self.skips_bad_frames):
            stored = self._levels.coarser[factor].frame(t)
        return normalise(stored, self.grey_limits.at(t)), factor

    def _require_room(self) -> None:
        """Refuse a frame that cannot be read, projected and normalised in the memory that is free."""
        needed = self._plan.bytes_of_frame(self.dtype.itemsize) + self._source.chunk_bytes
        try:
            require_room(needed, f"one frame of {self.name}, {self._plan.shape} {self.dtype},", SMALLER)
        except Refused as error:
            raise MovieError(str(error)) from error

    @property
    def asked(self) -> dict[str, str | int | None]:
        """The axes, channel and z with which it was opened, and what else is needed to open it so again."""
        series = {"series": self._source.chosen} if len(self._source.series) > 1 else {}
        return {**self._plan.asked, **series, **({"skip_bad_frames": True} if self.skips_bad_frames else {})}

    def summary(self) -> str:
        """One line on what was understood: frames, channels, planes, size of a frame, calibration."""
        return summary(self._source, self._plan)

    def facts(self, needs: Sequence[str] = ()) -> dict[str, Any]:
        """What the movie is and how it is read, as JSON types; samples the limits.

        Parameters
        ----------
        needs : sequence of str
            What must be said before it can be read, and was not: no limits are sampled then.
        """
        limits, halvings = (None, ()) if needs else (self.grey_limits, self.halvings)
        return facts(self._source, self._plan, limits=limits, absence=self.absence(), needs=needs, halvings=halvings)

    def describe(self) -> str:
        """Several aligned lines on what the movie is and how it is read; samples the limits."""
        return in_words(self.facts())

    def __repr__(self) -> str:
        return f"<Movie {self.name}: {self.shape} (T, Y, X) {self.dtype}>"

    def _find_limits(self) -> GreyLimits:
        if self.dtype.kind == "b":
            return GreyLimits(0.0, 1.0)
        self._require_room()
        plan = SamplePlan.of(self._source, self._plan)
        samples = [FrameSample.of(t, f, plan.step) for t, f in read_frames(self._reader, plan)]
        if self._wanted == "exact":
            return exact_limits(samples, self._all_samples)
        return find_limits(samples)

    def _all_samples(self) -> Iterator[FrameSample]:
        """Every pixel of every frame that can be read."""
        frames = ((t, self._if_readable(t)) for t in range(self.n_frames))
        return (FrameSample.of(t, frame) for t, frame in frames if frame is not None)
