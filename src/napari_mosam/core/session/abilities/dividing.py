"""Cells that divide: proposals, of which a person makes divisions, and who is whose daughter."""

from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from napari_mosam.core.prompts.collection import MaskPrompt, Prompts
from napari_mosam.core.session.abilities.loaded import LoadedModel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_mosam.core.lineage.proposals import DivisionProposal


class Dividing(LoadedModel):
    """What a session does about divisions. A proposal changes nothing; a division is one entry of the history."""

    follows_corrections: bool
    _engine: Callable[..., Any]

    def propose_divisions(
        self, objects: Collection[int] | None = None, *, progress: "Callable[[int, int], None] | None" = None
    ) -> "tuple[DivisionProposal, ...]":
        """Look for objects of the result that divide.

        Not proposed are objects that have daughters, and what :meth:`reject_division` was told. After :meth:`stop`,
        what was found until then is returned.

        Parameters
        ----------
        objects : collection of int, optional
            The only ones to look at; all by default.
        progress : callable, optional
            Told of the number of objects that were looked at, and of their total.

        Returns
        -------
        tuple of DivisionProposal
            By frame.

        Raises
        ------
        ValueError
            If there is no result.
        """
        result = self._there()
        with self._working("looking for divisions") as work:
            found: tuple[DivisionProposal, ...] = work.propose_divisions(
                *(result, work.same_movie(result, self.movie), self._model(work)),
                objects=objects,
                progress=progress,
                stopped=self._stop.is_set,
            )
        return found

    def propose_division(self, mother: int, frame: int) -> "DivisionProposal | None":
        """The two cells that the model sees in the place of an object on a frame; None where it does not see two.

        Raises
        ------
        ValueError
            If there is no result, or the object was not seen before that frame.
        """
        result = self._there()
        with self._working("looking at a division") as work:
            found: DivisionProposal | None = work.propose_division(
                result, work.same_movie(result, self.movie), self._model(work), mother, frame
            )
        return found

    def divide(
        self,
        mother: int,
        frame: int,
        daughters: "Sequence[int | tuple[float, float] | NDArray[Any]]",
        *,
        follow: bool | None = None,
    ) -> tuple[int, int]:
        """Say that an object divides: it ends, its two daughters begin on a frame, and are followed from there.

        Nothing else is followed again; neighbours change where the daughters take or leave pixels. What was followed
        as the mother from that frame on, with marks, corrections and locks, goes to the new daughter that has the most
        of it.

        Parameters
        ----------
        mother : int
        frame : int
            The first on which the daughters are apart.
        daughters : sequence of (int, (y, x) or ndarray of bool, shape (Y, X))
            Each an object that begins there or later, a place in the cell, or its pixels. One alone where what is
            followed as the mother goes on with the other.
        follow : bool, optional
            Follow new daughters now, where the result is whole; :attr:`follows_corrections` by default. Else the next
            run does.

        Returns
        -------
        tuple of int
            The daughters.

        Raises
        ------
        ValueError
            For objects, frames and places that cannot be.
        """
        again = self.follows_corrections if follow is None else follow
        words = f"the division of object {mother} on frame {frame}"
        result = self._there()
        with self._working("a division") as work, self._change(words):
            places = [one for one in daughters if isinstance(one, tuple)]
            clicked = (self.movie, self.settings, mother, frame, places)
            masks = work.masks_at(*clicked, self._model(work)) if places else []
            given = [masks.pop(0) if isinstance(one, tuple) else one for one in daughters]
            division = work.plan_division(result, self._prompts, mother, frame, given)
            divided = work.divide(result.path, division)
            born = {i: MaskPrompt.from_frame(i, frame, mask) for i, mask in division.born.items()}
            self._prompts = Prompts([*division.prompts(self._prompts), *born.values()])
            if again and born and divided.complete:
                with suppress(work.Stopped):
                    self._engine(work).follow(divided, self.movie, self._marks(), sorted(born))
            self._show(self._path)
        one, other = division.masks
        return one, other

    def accept_division(self, proposal: "DivisionProposal", *, follow: bool | None = None) -> tuple[int, int]:
        """Make a division of a proposal; else as :meth:`divide`."""
        from napari_mosam.core.lineage.proposals import daughters_of

        return self.divide(
            proposal.mother, proposal.frame, daughters_of(proposal, self.movie.frame_shape), follow=follow
        )

    def reject_division(self, mother: int, frame: int) -> None:
        """Say that an object does not divide about a frame; that is not proposed again."""
        words = f"rejecting the division of object {mother} on frame {frame}"
        with self._working("a rejection") as work, self._change(words):
            work.deny(self._there().path, mother, frame)
            self._show(self._path)

    def link(self, daughter: int, mother: int) -> None:
        """Note the mother of an object; she may live on, as a cell that buds does.

        Raises
        ------
        ValueError
            For unknown objects, and a mother that is not older, or descends from her daughter.
        """
        self._link(daughter, mother, f"linking object {daughter} to its mother {mother}")

    def unlink(self, daughter: int) -> None:
        """Note that an object has no mother."""
        self._link(daughter, None, f"breaking the link of object {daughter} to its mother")

    def _link(self, daughter: int, mother: int | None, words: str) -> None:
        result = self._there()
        with self._working("a link") as work, self._change(words):
            work.link(result.path, daughter, mother)
            self._show(self._path)
