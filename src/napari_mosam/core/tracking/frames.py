"""The frames of a movie as the engine looks at them, and the next one read while it computes."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise
from types import TracebackType
from typing import Self

from napari_mosam.core.images.movie import Movie
from napari_mosam.core.windows.canvas import EXACT_STEP, Canvas, Frame, shrink_in_strips


def open_frame(movie: Movie, t: int) -> Canvas:
    """Frame `t`, read where something looks at it."""
    tile_yx = movie.grid().block[1:]
    return Canvas(
        movie.frame_shape, tile_yx, partial(movie.part, t), partial(_overview, movie, t), partial(_level, movie, t)
    )


def _overview(movie: Movie, t: int, step: int) -> tuple[Frame, int] | None:
    """The whole frame `t`, smaller, from a level of its file or, in memory, by one look at each pixel."""
    found = movie.overview(t, step)
    if found is None and movie.grid().in_memory and step > EXACT_STEP and min(movie.frame_shape) >= step:
        return shrink_in_strips(partial(movie.part, t), movie.frame_shape, step), step
    return found


def _level(movie: Movie, t: int, step: int) -> Canvas | None:
    """Frame `t` as a level of its file shows it that is `step` times smaller; None where that is not just a mean."""
    if step not in movie.halvings:
        return None
    grid = movie.grid(step)
    return Canvas(grid.shape[1:], grid.block[1:], partial(movie.part, t, step=step))


class ReadAhead:
    """Gives the frames of a pass; what is asked of one is read of the next one in a thread of its own.

    Objects move little from frame to frame, so that is nearly all that the next one will be asked for. What cannot be
    read in advance is asked for again on its own frame, and fails there. The thread has ended when the context has.

    Parameters
    ----------
    movie : Movie
    frames : sequence of int
        In the order in which they will be asked for.
    """

    def __init__(self, movie: Movie, frames: Sequence[int]) -> None:
        self._open, self._next = partial(open_frame, movie), dict(pairwise(frames))
        self._thread = ThreadPoolExecutor(1, "mosam-read-ahead")
        self._current: Canvas | None = None
        self._coming: dict[int, Canvas] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave()
        self._thread.shutdown(wait=True, cancel_futures=True)

    def __call__(self, t: int) -> Canvas:
        """Frame `t`."""
        self._leave()
        frame = self._coming.pop(t, None) or self._open(t)
        self._coming.clear()
        if t in self._next:
            self._coming[self._next[t]] = coming = self._open(self._next[t])
            frame.asked = partial(self._ask, coming)
        self._current = frame
        return frame

    def _ask(self, coming: Canvas, ask: Callable[[Canvas], object]) -> None:
        self._thread.submit(ask, coming)

    def _leave(self) -> None:
        """Nothing more is read in advance because of the frame that was given last."""
        if self._current is not None:
            self._current.asked = None
