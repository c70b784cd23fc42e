"""The table of objects and the rest of the dock: what is chosen in one is chosen in the others, and its edits."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from qtpy.QtGui import QCursor
from qtpy.QtWidgets import QMenu

from napari_mosam.core.results.objects import Overview
from napari_mosam.widgets.controls.object_table import partner_menu
from napari_mosam.widgets.layers.result_view import take_label
from napari_mosam.widgets.layers.source import SourceError
from napari_mosam.widgets.support import Reporting, ViewerLink, go_to

if TYPE_CHECKING:
    from pathlib import Path

    from napari_mosam.core.results.objects import ObjectSummary
    from napari_mosam.core.session.session import Session
    from napari_mosam.core.store.result import Result
    from napari_mosam.widgets.sessions.threads import JobEnd
    from napari_mosam.widgets.widget import MosamWidget

BACK = "Ctrl+Z takes it back."


class Objects:
    """Fills the table, and does what is asked there.

    Parameters
    ----------
    dock : MosamWidget
    reporting : Reporting
        Says what is refused.
    """

    def __init__(self, dock: "MosamWidget", reporting: Reporting) -> None:
        self._dock, self._reporting = dock, reporting
        self._panel = dock.controls.objects
        self._table = self._panel.table
        self._shown: Result | None = None
        self._labels: Any = None
        self._link = ViewerLink(dock.viewer, [(dock.viewer.dims.events.current_step, self._frame_changed)])
        self._connect()
        self._sync_buttons()

    def _connect(self) -> None:
        panel, table = self._panel, self._table
        table.color_of = self.color_of
        table.chosen.connect(self._take)
        table.asked.connect(self._go_to)
        table.selected.connect(self._sync_buttons)
        table.menu_wanted.connect(lambda place: self.menu().popup(place))
        table.objects.renamed.connect(self.rename)
        self._dock.controls.object_id.valueChanged.connect(self.in_hand)
        panel.first.clicked.connect(lambda: self._go("first"))
        panel.last.clicked.connect(lambda: self._go("last"))
        panel.worst.clicked.connect(lambda: self._go("worst_frame"))
        panel.name.clicked.connect(lambda: self._with_current(self._table.rename))
        panel.swap.clicked.connect(lambda: self._with_two("Swap", self.swap))
        panel.merge.clicked.connect(lambda: self._with_two("Merge", self.merge))
        panel.split.clicked.connect(lambda: self._with_current(self.split))
        panel.lock.clicked.connect(lambda: self._with_current(self.lock))
        panel.delete.clicked.connect(self.delete)

    def close(self) -> None:
        """Leave the viewer alone."""
        self._link.close()
        self._watch(None)

    # ---- what is shown

    def update(self) -> None:
        """Show the objects of the result as it is now; read in the thread of edits."""
        session = self._dock.session
        result = None if session is None else session.result
        self._watch(None if self._dock.jobs.view is None else self._dock.jobs.view.labels)
        if result is self._shown:
            return
        self._shown = result
        if result is None:
            self._show(None)
        else:
            self._dock.jobs.background(partial(_read, result.path), partial(self._known, result))

    def _known(self, result: "Result", outcome: "JobEnd") -> None:
        if result is self._shown and outcome.error is None:
            self._show(outcome.value)

    def _show(self, overview: "Overview | None") -> None:
        self._frame_changed()
        self._panel.show_objects(overview)
        self.in_hand()

    def _frame_changed(self, *_: Any) -> None:
        with suppress(SourceError):
            self._table.objects.show_frame(self._dock.frame)
            self._sync_buttons()

    def color_of(self, object_id: int) -> Any:
        """RGBA of an object: that of its labels; of a mark where these are not shown."""
        from napari_mosam.widgets.picture.colors import object_color

        shown = None if self._labels is None else self._labels.get_color(object_id)
        return object_color(object_id).ravel() if shown is None else shown

    # ---- which object

    def _watch(self, labels: Any) -> None:
        """Take in hand what is picked in the labels."""
        if labels is self._labels:
            return
        if self._labels is not None:
            self._labels.events.selected_label.disconnect(self._picked)
        self._labels = labels
        if labels is not None:
            labels.events.selected_label.connect(self._picked)

    def _picked(self, *_: Any) -> None:
        picked = int(self._labels.selected_label)
        if picked > 0:
            self._dock.controls.object_id.setValue(picked)

    def in_hand(self, *_: Any) -> None:
        """Let row and label be those of the object in hand; several rows stay selected as long as it is one of them."""
        object_id = self._dock.controls.object_id.value()
        self._table.choose(object_id)
        if self._labels is not None and self._labels.selected_label != object_id:
            with suppress(OSError, ValueError):  # labels that cannot be read now; where they are shown that is said
                take_label(self._labels, object_id)
        self._sync_buttons()

    def _take(self, object_id: int) -> None:
        """Let the next mark, and the next stroke, belong to it."""
        self._dock.controls.object_id.setValue(object_id)

    def _go_to(self, object_id: int, frame: int) -> None:
        self._take(object_id)
        with self._reporting:
            go_to(self._dock.viewer, self._dock.source, frame)

    def _go(self, where: str) -> None:
        def go(object_id: int) -> None:
            frame = getattr(self._summary(object_id), where)
            if frame is None:
                raise SourceError(f"object {object_id} was never seen")
            self._go_to(object_id, frame)

        self._with_current(go)

    def _summary(self, object_id: int) -> "ObjectSummary":
        overview = self._table.objects.overview
        assert overview is not None
        return next(one for one in overview.objects if one.object_id == object_id)

    def _name(self, object_id: int) -> str:
        name = self._summary(object_id).name
        return f"{object_id} ({name})" if name else str(object_id)

    # ---- edits, each a call on the session

    def rename(self, object_id: int, name: str) -> None:
        """Give an object a name."""
        said = f"Object {object_id} is called '{name.strip()}'." if name.strip() else f"Object {object_id} has no name."
        self._edit(lambda session: session.rename(object_id, name), f"{said} {BACK}")

    def swap(self, one: int, other: int) -> None:
        """Exchange two objects from the frame shown on."""
        frame = self._dock.frame
        said = f"Objects {one} and {other} are swapped from frame {frame} on. {BACK}"
        self._edit(lambda session: session.swap(one, other, frame), said)

    def merge(self, kept: int, other: int) -> None:
        """Let an object be part of another."""

        def merge(session: "Session") -> str:
            joined = session.merge(kept, other)
            where = (
                f", joined on {len(joined)} frame{'s' * (len(joined) != 1)} on which both were seen" if joined else ""
            )
            return f"Object {other} is part of object {kept} now{where}. {BACK}"

        self._do(merge)

    def split(self, object_id: int) -> None:
        """Let an object be a new one from the frame shown on."""
        frame = self._dock.frame
        self._do(
            lambda session: f"Object {object_id} is {session.split(object_id, frame)} from frame {frame} on. {BACK}"
        )

    def lock(self, object_id: int) -> None:
        """Lock an object on all frames, or let it go where it is."""
        one = self._summary(object_id)
        if one.n_locked < one.n_followed:
            said = f"Object {object_id} is locked: no run changes it. {BACK}"
            self._edit(lambda session: session.lock(object_id), said)
        else:
            said = f"Object {object_id} is not locked any more: runs may change it. {BACK}"
            self._edit(lambda session: session.release(object_id), said)

    def delete(self, *_: Any) -> None:
        """Take the chosen objects out of the result, with their marks."""
        ids = self._table.ids
        with self._reporting:
            if not ids:
                raise SourceError("no object is chosen; click one in the table first")

            def remove(session: "Session") -> str:
                session.remove(*ids)
                told = " and ".join(map(str, ids))
                were = f"Object {told} was" if len(ids) == 1 else f"Objects {told} were"
                return f"{were} deleted, with all marks. {BACK}"

            self._do(remove)

    def _edit(self, act: "Callable[[Session], object]", said: str) -> None:
        def edit(session: "Session") -> str:
            act(session)
            return said

        self._do(edit)

    def _do(self, act: "Callable[[Session], str]") -> None:
        """In the thread of edits; then say what it did."""
        with self._reporting:
            self._dock.jobs.edit(act)

    # ---- buttons and menu

    def _with_current(self, act: Callable[[int], object]) -> None:
        with self._reporting:
            object_id = self._table.current
            if object_id is None:
                raise SourceError("no object is chosen; click one in the table first")
            act(object_id)

    def _with_two(self, verb: str, act: Callable[[int, int], object]) -> None:
        """With the two that are selected; or with one, and another from a menu."""
        with self._reporting:
            if self._table.both is not None:
                act(*self._table.both)
            elif self._table.current is None:
                raise SourceError("no object is chosen; click one in the table first, then Ctrl+click another")
            else:
                self._partners(verb, self._table.current, act).popup(QCursor.pos())

    def _partners(self, verb: str, object_id: int, act: Callable[[int, int], object]) -> QMenu:
        overview = self._table.objects.overview
        others = [] if overview is None else overview.nearest(object_id, self._table.objects.frame)
        title = f"Swap from frame {self._table.objects.frame} on with" if verb == "Swap" else "Merge with"
        return partner_menu(self._table, title, others, self._name, partial(act, object_id))

    def menu(self) -> QMenu:
        """What can be done to the object that was chosen last."""
        menu, object_id = QMenu(self._table), self._table.current
        if object_id is None:
            return menu
        for text, act in self._entries(object_id):
            menu.addAction(text, act)
        if self._table.both is None:
            menu.addMenu(self._partners("Swap", object_id, self.swap))
            menu.addMenu(self._partners("Merge", object_id, self.merge))
        menu.addAction(self._panel.delete.text(), self.delete)
        return menu

    def _entries(self, object_id: int) -> Iterator[tuple[str, Callable[[], object]]]:
        one, frame, both = self._summary(object_id), self._table.objects.frame, self._table.both
        for word, at in (("first", one.first), ("last", one.last), ("worst", one.worst_frame)):
            if at is not None:
                yield f"Go to {word} frame ({at})", partial(self._go_to, object_id, at)
        yield "Rename", partial(self._table.rename, object_id)
        if both is not None:
            yield f"Swap {both[0]} and {both[1]} from frame {frame} on", partial(self.swap, *both)
            yield f"Merge {both[1]} into {both[0]}", partial(self.merge, *both)
        yield f"Split from frame {frame} on", partial(self.split, object_id)
        yield self._panel.lock.text(), partial(self.lock, object_id)

    def _sync_buttons(self) -> None:
        """Let the buttons say what they would do."""
        panel, frame, current, both = self._panel, self._table.objects.frame, self._table.current, self._table.both
        one = None if current is None else self._summary(current)
        menu = "" if both else "\u2026"
        panel.swap.setText(f"Swap{menu}")
        panel.merge.setText(f"Merge{menu}")
        pair = "this object and another" if both is None else f"objects {both[0]} and {both[1]}"
        panel.swap.setToolTip(f"Exchange the numbers of {pair} from frame {frame} on: the tracker mixed them up.")
        which = "another object part of this one" if both is None else f"object {both[1]} part of object {both[0]}"
        panel.merge.setToolTip(f"Make {which}, on all frames: both are one cell.")
        panel.split.setToolTip(f"Let it be a new object from frame {frame} on: it is another cell there.")
        locked = one is not None and one.n_locked == one.n_followed
        panel.lock.setText("Unlock" if locked else "Lock")
        panel.lock.setToolTip("Let runs change it again." if locked else "No run changes it any more, on any frame.")
        n = len(self._table.ids)
        panel.delete.setText("Delete object" if n < 2 else f"Delete {n} objects")
        for button in (panel.first, panel.last, panel.worst, panel.name, panel.split, panel.lock):
            button.setEnabled(one is not None)


def _read(path: "Path") -> Overview:
    from napari_mosam.core.store.layout import open_group, reading

    with reading(path):
        return Overview.read(open_group(path, "r"))
