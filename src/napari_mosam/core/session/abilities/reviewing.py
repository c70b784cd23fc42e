"""What a person thinks of a result: what is unsure and accepted, and how much of it is right."""

from typing import TYPE_CHECKING

from napari_mosam.core.config.checks import Refused
from napari_mosam.core.results.doubts import SURE_IOU
from napari_mosam.core.review.audit import DRAWN, JUDGED, N_DRAWN, Audit, changed_since
from napari_mosam.core.review.queue import review_queue
from napari_mosam.core.session.state import SessionState

if TYPE_CHECKING:
    from napari_mosam.core.review.queue import ReviewItem


class Reviewing(SessionState):
    """A session whose result is looked through and judged; each judgement is an entry of the history."""

    def queue(self, sure: float = SURE_IOU) -> "tuple[ReviewItem, ...]":
        """What to look at, that with the largest expected loss first; see :func:`review_queue`.

        Raises
        ------
        ValueError
            If there is no result yet.
        """
        return review_queue(self._there(), sure)

    def approve(self, object_id: int, start: int, stop: int | None = None) -> None:
        """Accept the masks of an object on frames as they are, or that it is not there: they are locked.

        Parameters
        ----------
        object_id : int
            Of the result.
        start, stop : int
            Half-open range of frames; `start` alone by default.

        Raises
        ------
        ValueError
            If there is no result, no such object, or no frame in the range.
        IndexError
            For a frame outside the movie.
        """
        frames = range(start, start + 1 if stop is None else stop)
        if not frames:
            raise Refused(f"frames {start} to {frames.stop - 1} are none; give a stop after the start")
        where = f"frame {start}" if len(frames) == 1 else f"frames {start} to {frames[-1]}"
        with self._working("accepting"), self._change(f"accepting object {object_id} on {where}"):
            self._there().lock_frames(object_id, frames, accept=True)
            self._show(self._path)

    @property
    def audit(self) -> Audit | None:
        """The random sample of masks that was drawn last, with what was said of them; None without one."""
        return None if self._result is None else Audit.among(self._result.attrs)

    @property
    def audit_is_past(self) -> bool:
        """Whether masks may have changed since they were drawn; then the audit is of the result as it was."""
        audit = self.audit
        return audit is not None and self._result is not None and changed_since(self._result.path, audit.step)

    def draw_audit(self, n: int = N_DRAWN, seed: int = 0) -> Audit:
        """Draw masks at random to be judged by a person; takes the place of what was drawn before.

        Parameters
        ----------
        n : int
            How many; all where there are fewer.
        seed : int
            Of the random numbers; the same draws the same masks of the same result.

        Raises
        ------
        ValueError
            If there is no result or no mask yet.
        """
        with self._working("an audit") as work, self._change(f"drawing an audit of {n} masks"):
            drawn: Audit = work.drawn_audit(self._there(), n, seed)
            work.keep_audit(self._there(), drawn, DRAWN)
            self._show(self._path)
        return drawn

    def judge(self, object_id: int, frame: int, verdict: str) -> Audit:
        """Say whether a mask that was drawn is 'right', 'wrong' or 'not sure'; '' takes back what was said.

        Raises
        ------
        ValueError
            If it was not drawn, or for another word.
        """
        audit = self.audit
        if audit is None:
            raise Refused("no masks were drawn yet; draw an audit first (draw_audit)")
        judged = audit.judge(object_id, frame, verdict)
        words = f"judging object {object_id} on frame {frame} {verdict or 'not at all'}"
        with self._working("an audit") as work, self._change(words):
            work.keep_audit(self._there(), judged, JUDGED, (object_id, frame))
            self._show(self._path)
        return judged
