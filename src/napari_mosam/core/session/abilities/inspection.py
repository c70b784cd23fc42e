"""Why an object has the mask that it has: asked of a session, for any result that it holds, whenever that was made."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from napari_mosam.core.config.checks import Refused
from napari_mosam.core.prompts.collection import Prompts
from napari_mosam.core.runs.arguments import Frames, frame_range
from napari_mosam.core.session.abilities.loaded import LoadedModel

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_mosam.core.inspection.findings import Inspection, MemoryComparison
    from napari_mosam.core.motion.cues import FrameMotion

KEPT_FLOWS = 8
"""Frames whose flow is kept: going back and forth asks for the same few again. 2 MB each at 2048 px."""


class Inspecting(LoadedModel):
    """What a session tells of the two ideas at work: which memory is read, and where motion looks. Nothing changes."""

    _flows: "dict[tuple[int, Any], FrameMotion]"

    def inspect(self, object_id: int, frame: int) -> "Inspection":
        """Why an object has its mask on a frame: memory, pixels, cues, and where it was expected.

        Told from what the result stores, without the model; a run does nothing for it.

        Parameters
        ----------
        object_id : int
            Of the result.
        frame : int

        Raises
        ------
        ValueError
            If there is no result, no such object, or it was not followed there.
        IndexError
            For a frame outside the movie.
        """
        from napari_mosam.core.session import work

        found: Inspection = work.inspect_object(self._there(), object_id, frame)
        return found

    def flow(self, frame: int) -> "FrameMotion":
        """Motion from the frame before to a frame: ``.flow.full()`` is (2, Y, X), (dy, dx) in px; ``.drift_yx``.

        Computed from the movie when asked for, with the settings of the result, or else of the next run; kept for
        the latest frames.

        Parameters
        ----------
        frame : int
            On frame 0 all is still, and ``.flow`` is None.

        Raises
        ------
        MovieError, ValueError
            If there is no such frame, or it cannot be read.
        """
        from napari_mosam.core.session import work

        made = self.settings if self._result is None else work.from_attributes(self._result.attrs)
        key = frame, made.engine.motion
        found: FrameMotion = self._flows.get(key) or work.motion_between(self.movie, *key)
        latest = [(k, v) for k, v in self._flows.items() if k != key][1 - KEPT_FLOWS :]
        self._flows = dict([*latest, (key, found)])
        return found

    def compare(
        self, object_id: int, frames: Frames = None, *, progress: "Callable[[int, int], None] | None" = None
    ) -> "MemoryComparison":
        """Follow an object again with SAM 2's memory and with that of the settings; the result stays as it is.

        Both times it is followed alone, from its own marks: neighbours take no pixels from it. After :meth:`stop`, the
        frames that were reached are compared.

        Parameters
        ----------
        object_id : int
        frames : slice or (start, stop), optional
            Half-open range, in which it is marked; that of the settings by default.
        progress : callable, optional
            Told of the frames that it was followed to both times, and of their number.

        Raises
        ------
        PromptError, ValueError
            If it is not marked there.
        """
        marks = self._marks()
        own = Prompts(p for p in marks if p.object_id == object_id)
        if not own:
            raise Refused(
                f"object {object_id} has no mark; objects with marks: {', '.join(map(str, marks.object_ids))}"
            )
        asked = self.settings if frames is None else replace(self.settings, frames=frame_range(frames))
        inside = own.between(*self._range(asked))
        with self._working("a comparison") as work:
            model, stopped = self._model(work), self._stop.is_set
            found: MemoryComparison = work.compare_memory(
                self.movie, inside, object_id, asked, model, progress=progress, stopped=stopped
            )
        return found

    def _range(self, asked: Any) -> tuple[int, int]:
        frames = asked.range_in(self.movie.n_frames)
        return frames.start, frames.stop
