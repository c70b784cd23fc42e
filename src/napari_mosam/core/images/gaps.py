"""Frames that a movie promises and does not hold."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from napari_mosam.core.files.zarr_files import absent_along
from napari_mosam.core.images.axes import FramePlan, MovieError
from napari_mosam.core.images.formats.folders import shortened
from napari_mosam.core.images.formats.source import Source

_SKIP = "or count it as absent for all objects (--skip-bad-frames, skip_bad_frames=True)"
"""What else can be done about a frame that cannot be read."""


class SkippedFrameError(MovieError):
    """A frame that cannot be read, of a movie whose bad frames are skipped: it counts as absent for all objects."""


@contextmanager
def reading(*, skip_bad_frames: bool) -> Iterator[None]:
    """A frame is read inside: where it cannot be, it is one to skip, or the message says that it may be.

    Raises
    ------
    SkippedFrameError
        Where bad frames are skipped, whatever was raised.
    MovieError
        Where they are not, and the frame is damaged or not there.
    """
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:  # an array that is lazy raises whatever its maker did
        if skip_bad_frames:
            raise SkippedFrameError(str(error) or type(error).__name__) from error.__cause__ or error
        if isinstance(error, MovieError):
            raise MovieError(f"{error}, {_SKIP}") from error.__cause__ or error
        raise


@contextmanager
def needed() -> Iterator[None]:
    """Frames that are read inside are prompted, so none of them can be skipped; MovieError where one would be."""
    try:
        yield
    except SkippedFrameError as error:
        raise MovieError(
            f"{error}; an object is prompted there, so it cannot be skipped: prompt it on another frame"
        ) from error


def lost_frames(source: Source, plan: FramePlan) -> NDArray[np.bool_]:
    """Which frames a source does not hold whole, of what the plan reads: shape (T,), as far as the source promises."""
    whole = replace(plan, shape=source.shape)
    if source.absent is None:
        return np.zeros(whole.n_frames, bool)
    axes = plan.axes[: source.absent.ndim]
    read = source.absent[tuple(slice(None) if axis == "T" else plan.fixed.get(axis, slice(None)) for axis in axes)]
    left = [axis for axis in axes if axis == "T" or axis not in plan.fixed]
    if "T" not in left:
        return np.full(whole.n_frames, read.any())
    return np.asarray(np.moveaxis(read, left.index("T"), 0).reshape(whole.n_frames, -1).any(1))


def ended_early(source: Source, plan: FramePlan) -> FramePlan:
    """The plan, up to the last frame that is there.

    Raises
    ------
    MovieError
        If none is.
    """
    there = np.flatnonzero(~lost_frames(source, plan))
    if not len(there):
        raise MovieError(
            f"{source.name} holds no whole frame of the {plan.n_frames} that it promises"
            f"{_because(source)} (is the file complete? copy or export it again)"
        )
    shape = tuple(there[-1] + 1 if axis == "T" else n for axis, n in zip(plan.axes, plan.shape, strict=True))
    return replace(plan, shape=tuple(int(n) for n in shape))


def absence(source: Source, plan: FramePlan) -> str:
    """One line on frames that are promised and not there; empty where all are."""
    lost = lost_frames(source, plan)
    promised, n_frames = len(lost), plan.n_frames
    inside = np.flatnonzero(lost[:n_frames])
    said = []
    if n_frames < promised:
        held = n_frames - len(inside)
        said.append(
            f"{source.name} promises {promised} frames and holds {held}: {_not_there(range(n_frames, promised))}"
        )
    if len(inside):
        said.append(f"{source.name}: {_not_there([int(t) for t in inside])}")
    return "; ".join(filter(None, [*said, source.note, _unwritten(source, plan)]))


def unwritten_frames(source: Source, plan: FramePlan) -> tuple[int, ...]:
    """Frames of a zarr array that nothing on the disk holds: lost, or of one value only."""
    return absent_along(source.pixels, plan.axes.index("T")) if "T" in plan.axes else ()


def _unwritten(source: Source, plan: FramePlan) -> str:
    frames = unwritten_frames(source, plan)
    shown = ", ".join(map(str, frames[:8])) + (", ..." if len(frames) > 8 else "")
    words = f"frame{'s' * (len(frames) > 1)} {shown} of {source.name} have no data on the disk"
    return f"{words}; the format has its fill value there: is the copy complete?" if frames else ""


def frames_in_words(frames: Sequence[int]) -> str:
    """For a message: 'frame 3', 'frames 5 to 9'."""
    return f"frame{'s' * (len(frames) > 1)} {shortened(frames)}"


def _not_there(frames: Sequence[int]) -> str:
    return f"{frames_in_words(frames)} {'are' if len(frames) > 1 else 'is'} not there"


def _because(source: Source) -> str:
    return f": {source.note}" if source.note else ""
