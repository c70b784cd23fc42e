"""Cells that a session finds by itself: proposals, of which a person makes marks."""

from collections.abc import Callable, Collection
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from napari_mosam.core.config.checks import Refused
from napari_mosam.core.prompts.collection import MaskPrompt
from napari_mosam.core.session.abilities.loaded import LoadedModel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_mosam.core.find.proposals import Proposals


class Finding(LoadedModel):
    """What a session does about cells that nobody marked."""

    def find(
        self,
        frame: int,
        *,
        diameter: float | None = None,
        everything: bool = False,
        min_score: float | None = None,
        down_to: float | None = None,
        progress: "Callable[[int, int], None] | None" = None,
    ) -> "Proposals":
        """Propose a mask for every cell of a frame that is neither in the result nor marked with a mask there.

        Nothing is marked until :meth:`accept` is called. After :meth:`stop`, what was found until then is returned.

        Parameters
        ----------
        frame : int
        diameter : float, optional
            Of a typical cell, px; that of the settings by default, else estimated.
        everything : bool
            Propose what is known already, too.
        min_score : float, optional
            Score from which a mask is proposed, in [0, 1].
        down_to : float, optional
            Propose less sure ones too, down to this score, where no surer one lies: ``proposals.above(min_score)`` are
            those that there would be without.
        progress : callable, optional
            Told of the number of views that were looked at, and of their total.

        Raises
        ------
        MovieError, ValueError
            If there is no such frame, or a value cannot be.
        """
        asked = self.settings if diameter is None else replace(self.settings, diameter=diameter)
        with self._working("finding cells") as work:
            covered = None if everything else self._covered(work, frame)
            request = work.FindRequest.build(self.movie, frame, asked, covered, min_score, down_to)
            model, stopped = self._model(work), self._stop.is_set
            found: Proposals = work.find_cells(request, model, progress=progress, stopped=stopped)
        return found

    def accept(self, proposals: "Proposals", ids: Collection[int] | None = None) -> tuple[int, ...]:
        """Mark proposed cells with their masks, each as a new object; one entry of the history.

        Parameters
        ----------
        proposals : Proposals
            Of :meth:`find`.
        ids : collection of int, optional
            Numbers of those that are accepted; all by default.

        Returns
        -------
        tuple of int
            Their object ids, in the order of the numbers.

        Raises
        ------
        ValueError
            For a number that is not there, or proposals of another movie.
        """
        chosen = proposals if ids is None else proposals.only(ids)
        if chosen.labels.shape != self.movie.frame_shape:
            raise Refused(
                f"the proposals are for frames of {chosen.labels.shape} px; this movie has {self.movie.frame_shape}"
            )
        known = (*self._prompts.object_ids, *(() if self._result is None else self._result.object_ids))
        new = chosen.prompts(1 + max(known, default=0))
        if new:
            self._mark(self._prompts + new, f"{len(new)} found cell{'s' * (len(new) != 1)} on frame {chosen.frame}")
        return new.object_ids

    def _covered(self, work: Any, frame: int) -> "NDArray[Any] | None":
        """Ids of the result and of mask marks on a frame."""
        there = self._result is not None and 0 <= frame < self.movie.n_frames
        shown = work.np.asarray(self._result.labels[frame]).copy() if there and self._result is not None else None
        masks = [p for prompts in self._prompts.at(frame).values() for p in prompts if isinstance(p, MaskPrompt)]
        if not masks:
            return shown
        covered: NDArray[Any] = shown if shown is not None else work.np.zeros(self.movie.frame_shape, "uint32")
        for mask in masks:
            covered[mask.to_frame(self.movie.frame_shape) & (covered == 0)] = mask.object_id
        return covered
