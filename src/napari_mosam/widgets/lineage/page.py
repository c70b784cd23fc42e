"""The page of divisions: what is proposed, what is done by hand, the tree, and the switch of the layer of tracks."""

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QHBoxLayout, QInputDialog, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_mosam.core.lineage.tree import LineageTree
from napari_mosam.core.results.objects import Overview
from napari_mosam.widgets.layers.source import SourceError
from napari_mosam.widgets.lineage.cards import Cards
from napari_mosam.widgets.lineage.clicks import TwoClicks
from napari_mosam.widgets.lineage.pictures import division_pictures
from napari_mosam.widgets.lineage.tracks_layer import TracksSwitch
from napari_mosam.widgets.lineage.tree_view import TreeView
from napari_mosam.widgets.picture.colors import object_color
from napari_mosam.widgets.support import Reporting, go_to

if TYPE_CHECKING:
    from pathlib import Path

    from napari_mosam.core.lineage.proposals import DivisionProposal
    from napari_mosam.core.session.session import Session
    from napari_mosam.core.store.result import Result
    from napari_mosam.widgets.layers.source import MovieSource
    from napari_mosam.widgets.sessions.threads import JobEnd
    from napari_mosam.widgets.widget import MosamWidget

BACK = "Ctrl+Z takes it back."


class LineagePage:
    """Shows what there is of divisions and kin, and does what is asked; each is a call on the session.

    Parameters
    ----------
    dock : MosamWidget
    """

    def __init__(self, dock: "MosamWidget") -> None:
        self._dock = dock
        self._reporting = Reporting(self._refuse)
        self._overview: Overview | None = None
        self._known: Result | None = None
        self._proposals: tuple[DivisionProposal, ...] = ()
        self._of: Any = None  # the session that they are of
        self._clicks = TwoClicks(dock.viewer)
        self.cards, self.tree = Cards(), TreeView()
        self._make()
        self.tree.canvas.color_of = self._color_of

    def _make(self) -> None:
        self.widget = QWidget()
        column = QVBoxLayout(self.widget)
        self.find = _button("Find divisions", "Look at every cell that changes its shape for two daughters.", self.look)
        self.found = QLabel("")
        self.found.setWordWrap(True)
        self.by_hand = QLabel("")
        self.here = _button("Divide here", "", self.divide_here)
        self.clicked = _button("Click both daughters", "", self.divide_by_clicks)
        self.daughter = _button("Daughter of\u2026", "", self.link)
        self.broken = _button("Break", "", self.unlink)
        self.tracks = TracksSwitch(self._dock, self._reporting)
        for widgets in ((self.find,), (self.here, self.clicked), (self.daughter, self.broken)):
            row = QHBoxLayout()
            for one in widgets:
                row.addWidget(one)
            row.addStretch(1)
            if self.here in widgets:
                column.addWidget(self.by_hand)
            column.addLayout(row)
            if self.find in widgets:
                column.addWidget(self.found)
                column.addWidget(self.cards)
        caption = QLabel("Lineage tree: frames from left to right; click a line to go there.")
        caption.setWordWrap(True)
        column.addWidget(caption)
        column.addWidget(self.tree, 1)
        column.addWidget(self.tracks.box)
        self.cards.accepted.connect(self.accept)
        self.cards.rejected.connect(self.reject)
        self.cards.asked.connect(lambda one: self._go_to(one.mother, one.frame))
        self.tree.canvas.asked.connect(self._go_to)

    # ---- a page

    def update(self) -> None:
        """Show the result, the object in hand and the frame as they are now."""
        session = self._dock.session
        result = None if session is None else session.result
        if session is not self._of:
            self._of = session
            self._show_proposals(())
        if result is not self._known:
            self._known = result
            if result is None:
                self._read(None)
            else:
                self._dock.jobs.background(partial(_overview, result.path), partial(self._overview_read, result))
        self._show_place()

    def hide(self) -> None:
        """Another page is in sight; no click is waited for any more."""
        self._clicks.stop()

    def close(self) -> None:
        """Leave the viewer as it was; the layer of tracks stays, as the labels do."""
        self._clicks.stop()
        self.tracks.close()

    # ---- what is shown

    def _overview_read(self, result: "Result", outcome: "JobEnd") -> None:
        if result is self._known and outcome.error is None:
            self._read(outcome.value)

    def _read(self, overview: Overview | None) -> None:
        self._overview = overview
        tree = LineageTree() if overview is None else LineageTree.of(overview.objects)
        self.tree.canvas.show_tree(tree, 1 if overview is None else len(overview.state))
        self._drop_outdated()
        self._show_place()

    def _show_place(self) -> None:
        object_id, frame = self._dock.controls.object_id.value(), 0
        with suppress(SourceError):
            frame = self._dock.frame
        in_hand = object_id != self.tree.canvas.in_hand
        self.tree.canvas.show_place(frame, object_id)
        if in_hand:
            self.tree.reveal(object_id)
        one = self._summary(object_id)
        mother = None if one is None else one.parent
        self.by_hand.setText(
            f"Cell {object_id}, frame {frame}"
            + ("" if one is not None else ": not in the result")
            + (f", daughter of {mother}" if mother is not None else "")
        )
        self.here.setToolTip(f"Look for two daughters in the place of cell {object_id} on frame {frame}.")
        self.clicked.setToolTip(f"Click the two daughters of cell {object_id} on frame {frame} in the picture.")
        self.daughter.setToolTip(f"Say whose daughter cell {object_id} is.")
        self.broken.setToolTip(f"Cell {object_id} is no daughter of {mother}." if mother is not None else "")
        for button in (self.here, self.clicked, self.daughter):
            button.setEnabled(one is not None)
        self.broken.setEnabled(mother is not None)
        self.find.setEnabled(self._known is not None)

    def _show_proposals(self, proposals: "tuple[DivisionProposal, ...]") -> None:
        self._proposals = proposals
        source = None
        with suppress(SourceError):
            source = self._dock.source
        result = self._known
        if not proposals or result is None or source is None:
            self.cards.show_proposals(proposals, {})
            return
        self._dock.jobs.background(partial(_pictures, source, result, proposals), partial(self._drawn, proposals))

    def _drawn(self, proposals: "tuple[DivisionProposal, ...]", outcome: "JobEnd") -> None:
        if proposals is self._proposals:
            self.cards.show_proposals(proposals, outcome.value or {})

    def _drop_outdated(self) -> None:
        """Proposals of cells that divided meanwhile, or are gone, are none any more."""
        if self._overview is None:
            kept: tuple[DivisionProposal, ...] = ()
        else:
            ids = {one.object_id for one in self._overview.objects}
            mothers = {one.parent for one in self._overview.objects if one.first is not None}
            kept = tuple(one for one in self._proposals if one.mother in ids and one.mother not in mothers)
        if len(kept) != len(self._proposals):
            self._show_proposals(kept)
            self._say_found()

    def _say_found(self) -> None:
        n = len(self._proposals)
        self.found.setText(f"{n} division{'s' * (n != 1)} proposed. Nothing changes until you accept." if n else "")

    def _summary(self, object_id: int) -> Any:
        objects = () if self._overview is None else self._overview.objects
        return next((one for one in objects if one.object_id == object_id), None)

    def _color_of(self, object_id: int) -> Any:
        view = self._dock.jobs.view
        return object_color(object_id, {} if view is None else view.colors)

    def _go_to(self, object_id: int, frame: int) -> None:
        with self._reporting:
            self._dock.controls.object_id.setValue(object_id)
            self._dock.jobs.select(object_id)
            go_to(self._dock.viewer, self._dock.source, frame)

    # ---- proposals

    def look(self, *_: Any) -> None:
        """Look for divisions of all cells."""
        with self._reporting:
            self._dock.model_download.require()
            question = "a search for divisions", lambda session: session.propose_divisions()
            self._dock.jobs.ask(self._dock.source, *question, self._looked)
            self._dock.controls.say("Looking for divisions…")

    def _looked(self, outcome: "JobEnd") -> None:
        if outcome.error is None and outcome.value is not None:
            self._show_proposals(tuple(outcome.value))
            self._say_found()
            n = len(outcome.value)
            if not n:
                self.found.setText("No division was found.")
            self._dock.controls.say(f"{n} division{'s' * (n != 1)} found." if n else "No division was found.")

    def accept(self, proposal: "DivisionProposal") -> None:
        """Make a division of a proposal, and follow the daughters."""
        self._divide(proposal.mother, lambda session: session.accept_division(proposal, follow=True), proposal.frame)

    def reject(self, proposal: "DivisionProposal") -> None:
        """Remember that a cell does not divide there."""
        mother, frame = proposal.mother, proposal.frame
        self._show_proposals(tuple(one for one in self._proposals if one is not proposal))
        self._say_found()

        def reject(session: "Session") -> str:
            session.reject_division(mother, frame)
            return f"Cell {mother} does not divide on frame {frame}; that is not proposed again. {BACK}"

        self._edit(reject)

    def _divide(self, mother: int, divide: "Callable[[Session], tuple[int, int]]", frame: int) -> None:
        def divided(session: "Session") -> str:
            one, other = divide(session)
            return f"Cell {mother} divides on frame {frame} into cells {one} and {other}. {BACK}"

        with self._reporting:
            self._dock.model_download.require()
            self._dock.take_marks()
            self._dock.jobs.follow_with(self._dock.source, divided)

    # ---- by hand

    def divide_here(self, *_: Any) -> None:
        """Propose the division of the object in hand on the frame shown."""
        with self._reporting:
            object_id, frame = self._dock.controls.object_id.value(), self._dock.frame
            self._dock.model_download.require()
            question = "a search for daughters", lambda session: (session.propose_division(object_id, frame),)
            self._dock.jobs.ask(self._dock.source, *question, partial(self._seen, object_id, frame))
            self._dock.controls.say(f"Looking for the daughters of cell {object_id} on frame {frame}…")

    def _seen(self, object_id: int, frame: int, outcome: "JobEnd") -> None:
        if outcome.error is not None:
            return
        if outcome.value is None:
            self._dock.controls.say("Cancelled: nobody looked for daughters.")
            return
        (proposal,) = outcome.value
        if proposal is None:
            self._dock.controls.say(
                f"No two cells are seen in the place of cell {object_id} on frame {frame}. Go to the frame on which "
                "the daughters are apart, or click both."
            )
            return
        others = tuple(one for one in self._proposals if one.mother != object_id)
        self._show_proposals((proposal, *others))
        self._say_found()
        self._dock.controls.say(f"Two cells are seen on frame {frame}. Accept the division at the top if it is right.")

    def divide_by_clicks(self, *_: Any) -> None:
        """Wait for two clicks, on the daughters of the object in hand on the frame shown."""
        with self._reporting:
            source, object_id, frame = self._dock.source, self._dock.controls.object_id.value(), self._dock.frame
            self._dock.controls.say(f"Click both daughters of cell {object_id} on frame {frame}. Esc ends it.")
            self._clicks.start(source, partial(self._clicked, source, object_id, frame))

    def _clicked(
        self, source: "MovieSource", object_id: int, frame: int, places: list[tuple[int, float, float]]
    ) -> None:
        if any(t != frame for t, *_ in places):
            self._dock.controls.say(f"Both clicks have to be on frame {frame}; nothing was changed.")
            return
        yx = [(y, x) for _, y, x in places]
        self._divide(object_id, lambda session: session.divide(object_id, frame, yx, follow=True), frame)

    def link(self, *_: Any) -> None:
        """Ask whose daughter the object in hand is."""
        with self._reporting:
            object_id = self._dock.controls.object_id.value()
            mothers = self._possible_mothers(object_id)
            if not mothers:
                raise SourceError(f"no cell is older than cell {object_id}, so it has no mother here")
            names = [str(i) for i in mothers]
            chosen, ok = QInputDialog.getItem(
                self.widget, "Mother", f"Cell {object_id} is a daughter of", names, 0, False
            )
            if ok:
                self.link_to(object_id, int(chosen))

    def link_to(self, daughter: int, mother: int) -> None:
        """Note the mother of a cell."""

        def link(session: "Session") -> str:
            session.link(daughter, mother)
            return f"Cell {daughter} is a daughter of cell {mother}. {BACK}"

        self._edit(link)

    def unlink(self, *_: Any) -> None:
        """Note that the object in hand has no mother."""
        daughter = self._dock.controls.object_id.value()

        def unlink(session: "Session") -> str:
            session.unlink(daughter)
            return f"Cell {daughter} has no mother now. {BACK}"

        self._edit(unlink)

    def _possible_mothers(self, object_id: int) -> list[int]:
        """Cells that were seen earlier, those first that end nearest to where it begins."""
        one = self._summary(object_id)
        if one is None or one.first is None or self._overview is None:
            return []
        older = [o for o in self._overview.objects if o.first is not None and o.first < one.first]
        near = self._overview.nearest(object_id, one.first)
        rank = {i: k for k, i in enumerate(near)}
        older.sort(key=lambda o: (abs((o.last or 0) - (one.first or 0)), rank.get(o.object_id, len(near))))
        return [o.object_id for o in older]

    def _edit(self, edit: "Callable[[Session], str]") -> None:
        with self._reporting:
            self._dock.jobs.edit(edit)

    def _refuse(self, error: Exception) -> None:
        from napari_mosam.widgets.messages import refusal

        self._dock.controls.say(refusal(error, 0)[1], error=True)


def _overview(path: "Path") -> Overview:
    from napari_mosam.core.store.layout import open_group, reading

    with reading(path):
        return Overview.read(open_group(path, "r"))


def _pictures(source: "MovieSource", result: "Result", proposals: "tuple[DivisionProposal, ...]") -> dict[int, Any]:
    from napari_mosam.widgets.lineage.cards import MOST

    return {id(one): division_pictures(source, result, one) for one in proposals[:MOST]}


def _button(text: str, tip: str, act: Callable[..., object]) -> QPushButton:
    button = QPushButton(text)
    button.setToolTip(tip)
    button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
    button.clicked.connect(act)
    return button
