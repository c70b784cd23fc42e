"""Finding cells from the dock: the search in the thread of runs, and what becomes of the proposals."""

import time
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_mosam.core.find.request import MIN_SCORE
from napari_mosam.widgets.finding.layer import DROPPED, HIDDEN, KEPT, ProposalsLayer, dashed
from napari_mosam.widgets.finding.row import WEAKEST
from napari_mosam.widgets.finding.words import accepted_sentence, found_sentence, thinned_sentence
from napari_mosam.widgets.preview.layer import outline_width
from napari_mosam.widgets.support import Reporting, ViewerLink

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_mosam.core.find.proposals import Proposals
    from napari_mosam.core.session.session import Session
    from napari_mosam.widgets.layers.source import MovieSource
    from napari_mosam.widgets.sessions.threads import JobEnd
    from napari_mosam.widgets.widget import MosamWidget


@dataclass(frozen=True, slots=True, eq=False)
class Search:
    """What a search gave.

    Attributes
    ----------
    found : Proposals
    lines : ndarray of int, shape (Y, X)
        As they are drawn.
    only_new : bool
        Whether what the result covers was left out.
    """

    found: "Proposals"
    lines: "NDArray[Any]"
    only_new: bool


@dataclass(eq=False)
class Pending:
    """Proposals that nobody accepted or discarded yet, and those of them that were dropped by a click."""

    source: "MovieSource"
    search: Search
    dropped: set[int] = field(default_factory=set)

    def kinds(self, score: float) -> "NDArray[np.uint8]":
        """What each proposal is, (N + 1,), where the weaker ones are hidden."""
        scores = self.search.found.scores
        kinds = np.array([HIDDEN, *np.where(scores >= score, KEPT, HIDDEN)], np.uint8)
        kinds[[i for i in self.dropped if kinds[i] == KEPT]] = DROPPED
        return kinds


class Finding:
    """Proposes cells of the frame shown.

    Parameters
    ----------
    dock : MosamWidget
    reporting : Reporting
        Says what is refused.
    """

    def __init__(self, dock: "MosamWidget", reporting: Reporting) -> None:
        self._dock, self._reporting, self._row = dock, reporting, dock.controls.finding
        self._layer = ProposalsLayer(dock.viewer, self._clicked)
        self._pending: Pending | None = None
        self._row.find.clicked.connect(self.find)
        self._row.accept.clicked.connect(self.accept)
        self._row.discard.clicked.connect(self.discard)
        self._row.slider.valueChanged.connect(self._changed)
        dock.controls.image.layer_changed.connect(self._movie_chosen)
        self._link = ViewerLink(dock.viewer, [(dock.viewer.layers.events.removed, self._layer_removed)])

    def close(self) -> None:
        """Leave no layer."""
        self._link.close()
        self.discard()

    def find(self, *_: Any) -> None:
        """Propose a mask for every cell of the frame shown that has none."""
        with self._reporting:
            dock, source, frame = self._dock, self._dock.source, self._dock.frame
            dock.model_download.require()
            dock.tools.check_flat()
            dock.take_marks()
            question = partial(_searched, dock, frame)
            dock.jobs.ask(source, "a search for cells", question, partial(self._ended, source, time.perf_counter()))
            self.discard()
            dock.controls.say(f"Looking for cells on frame {frame}…")

    def accept(self, *_: Any) -> None:
        """Make an object of each proposal that is shown and was not dropped; one entry of the history."""
        with self._reporting:
            pending, dock = self._pending, self._dock
            if pending is None:
                return
            chosen = pending.search.found.only(self._kept(pending))
            dock.take_marks()
            self.discard()
            dock.jobs.edit(partial(_accepted, chosen))

    def discard(self, *_: Any) -> None:
        """Take the proposals away."""
        self._pending = None
        self._layer.remove()
        self._row.reset()

    # ---- inside

    def _ended(self, source: "MovieSource", began: float, outcome: "JobEnd") -> None:
        dock = self._dock
        if outcome.error is not None:
            return
        if source.image not in dock.viewer.layers:
            dock.controls.say(f"No proposals, since the layer '{source.image.name}' was removed.")
            return
        if outcome.value is None:
            dock.controls.say("Cancelled before anything was looked at.")
            return
        pending = Pending(source, outcome.value)
        n = len(self._kept(pending, MIN_SCORE))
        if len(pending.search.found):
            self._row.reset()
            self._pending = pending
            self._layer.show(source, pending.search.found.frame, pending.search.lines, pending.kinds(self._row.score))
            self._row.offer(n)
        seconds = time.perf_counter() - began
        dock.controls.say(found_sentence(pending.search.found, n, seconds, only_new=pending.search.only_new))

    def _kept(self, pending: Pending, score: float | None = None) -> list[int]:
        kinds = pending.kinds(self._row.score if score is None else score)
        return [int(i) for i in np.flatnonzero(kinds == KEPT)]

    def _changed(self, *_: Any) -> None:
        """The slider was moved, or a proposal was dropped or brought back."""
        if self._pending is None:
            return
        kinds = self._pending.kinds(self._row.score)
        n, weak, dropped = (int((kinds[1:] == kind).sum()) for kind in (KEPT, HIDDEN, DROPPED))
        self._layer.renew(kinds)
        self._row.offer(n)
        self._dock.controls.say(thinned_sentence(n, weak, dropped))

    def _clicked(self, y: int, x: int) -> None:
        pending = self._pending
        number = 0 if pending is None else int(pending.search.found.labels[y, x])
        if pending is not None and number and pending.kinds(self._row.score)[number] != HIDDEN:
            pending.dropped ^= {number}
            self._changed()

    def _movie_chosen(self) -> None:
        if self._pending is not None and self._dock.controls.image.layer is not self._pending.source.image:
            self.discard()

    def _layer_removed(self, event: Any) -> None:
        if event.value is self._layer.layer:
            self.discard()


def _searched(dock: "MosamWidget", frame: int, session: "Session") -> Search:
    """In the thread of runs."""
    found = session.find(frame, down_to=WEAKEST, progress=partial(dock.jobs.asked_so_far, unit="views"))
    return Search(found, dashed(found.labels, outline_width(found.labels.shape)), session.result is not None)


def _accepted(chosen: "Proposals", session: "Session") -> str:
    session.accept(chosen)
    return accepted_sentence(len(chosen), chosen.frame)
