"""What is on the review page: the queue of what is unsure, and a random sample."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication, QGridLayout, QLabel, QPushButton, QSizePolicy, QTabWidget, QVBoxLayout, QWidget

from napari_mosam.core.review.audit import N_DRAWN, NOT_SURE, RIGHT, WRONG
from napari_mosam.widgets.controls.builders import make_check, make_note, make_row, make_spin
from napari_mosam.widgets.review.places import PlaceList, Row

if TYPE_CHECKING:
    from napari_mosam.core.review.audit import Audit
    from napari_mosam.core.review.queue import ReviewItem
    from napari_mosam.widgets.review.reviewed import Reviewed

QUEUE, SAMPLE = "What is unsure", "Random sample"
"""Titles of the two parts."""

MARKS = {RIGHT: "✓ right", WRONG: "✗ wrong", NOT_SURE: "? not sure", "": ""}
"""What stands beside a mask that was drawn."""

ColorOf = Callable[[int], Any]


def frames_words(item: "ReviewItem") -> str:
    """Such as '12' and '12-19'."""
    return str(item.start) if len(item.frames) == 1 else f"{item.start}\u2013{item.stop - 1}"


def short(value: float) -> str:
    """A share, such as '.62' and '1.0'."""
    return "1.0" if round(value, 2) >= 1 else f"{value:.2f}".lstrip("0")


class QueuePanel(QWidget):
    """Places to look at, the worst first, and what to say of one."""

    def __init__(self, color_of: ColorOf) -> None:
        super().__init__()
        self.left = make_note()
        self.list = PlaceList(
            (
                ("Object", "Its number, or its name, and its colour."),
                ("Frames", "Frames in a row on which it is unsure. One look at one of them tells of all."),
                ("Why", "Why it is here."),
                ("IoU", "How well the mask of the frame that is shown is expected to fit, from 0 to 1."),
            ),
            (74, 58, 100, 40),
            color_of,
        )
        self.back, self.forth = QPushButton("◂ Back"), QPushButton("Next ▸")
        self.back.setToolTip("The place before. Key: K")
        self.forth.setToolTip("The next place, as it is worth a look. Key: J")
        self.accept, self.fix, self.absent = QPushButton("Accept"), QPushButton("Fix"), QPushButton("Not here")
        self.fix.setToolTip(
            "The mask is wrong: take the box tool for this object, draw a box around the cell, then press Track or G. "
            "Key: Shift+K"
        )
        self.absent.setToolTip("There is no such cell on the frame shown; it is followed again from there. Key: Q")
        column = QVBoxLayout(self)
        column.setContentsMargins(4, 6, 4, 0)
        column.addWidget(self.left)
        column.addLayout(make_row((self.back, 1), (self.forth, 1)))
        column.addLayout(make_row((self.accept, 1), (self.fix, 1), (self.absent, 1)))
        column.addWidget(_keys("J next, K back, Shift+J accept, Shift+K fix, Q not here"))
        column.addWidget(self.list)
        column.addStretch(1)

    def show_queue(self, reviewed: "Reviewed | None", at: int) -> None:
        """Show what is left."""
        queue = () if reviewed is None else reviewed.queue
        names = {} if reviewed is None else reviewed.names
        self.left.setText(_left(reviewed))
        self.list.show_rows([_row(item, names) for item in queue], at)
        self.show_current(queue[at] if 0 <= at < len(queue) else None)
        self.back.setEnabled(bool(queue))
        self.forth.setEnabled(bool(queue))

    def show_current(self, item: "ReviewItem | None") -> None:
        """Let the buttons say what they are about."""
        for button in (self.accept, self.fix, self.absent):
            button.setEnabled(item is not None)
        if item is not None:
            n = len(item.frames)
            which = f"frame {item.start}" if n == 1 else f"the {n} frames {item.start} to {item.stop - 1}"
            self.accept.setText("Accept" if n == 1 else f"Accept {n} frames")
            self.accept.setToolTip(
                f"Object {item.object_id} is right on {which}, or rightly not found: lock it there, so that no run "
                "changes it, and go on. Key: Shift+J"
            )


def _left(reviewed: "Reviewed | None") -> str:
    if reviewed is None:
        return "Nothing was followed yet. Mark cells and press Track; then what is unsure is listed here."
    n, frames = len(reviewed.queue), reviewed.n_frames_left
    if not n:
        return "<b>Nothing is left to look at.</b> A random sample tells how many masks are right."
    places, masks = f"place{'s' * (n != 1)}", f"frame{'s' * (frames != 1)}"
    return f"<b>{n} {places} left</b> ({frames} {masks}), most likely wrong first."


def _row(item: "ReviewItem", names: dict[int, str]) -> Row:
    texts = names.get(item.object_id) or str(item.object_id), frames_words(item), item.reason, short(item.expected_iou)
    return Row(item.object_id, texts)


class SamplePanel(QWidget):
    """Masks that were drawn at random, and what to say of one."""

    def __init__(self, color_of: ColorOf) -> None:
        super().__init__()
        self.about = make_note()
        self.n = make_spin(
            1, 9999, "How many masks are drawn: with 60, of which 57 are right, the interval is 86-98 %."
        )
        self.n.setValue(N_DRAWN)
        self.draw = QPushButton("Draw masks at random")
        self.draw.setToolTip("Draw masks of the result, each as likely as any other; a sample drawn before is dropped.")
        self.list = PlaceList(
            (
                ("Object", "Its number, or its name, and its colour."),
                ("Frame", "The frame on which its mask was drawn."),
                ("Judged", "What you said of it."),
            ),
            (74, 58, 100),
            color_of,
        )
        self.back, self.forth = QPushButton("◂ Back"), QPushButton("Next ▸")
        self.back.setToolTip("The mask before. Key: K")
        self.forth.setToolTip("The next mask. Key: J")
        self.right, self.wrong, self.unclear = (QPushButton(text) for text in ("Right", "Wrong", "Not sure"))
        self.right.setToolTip("The mask is the cell, as you would have drawn it; go on. Key: Shift+J")
        self.wrong.setToolTip("The mask is another cell, or misses a part that matters; go on. Key: Shift+K")
        self.unclear.setToolTip("It cannot be told; counts as wrong. Go on.")
        self.sentence = make_note()
        self.sentence.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.copy = QPushButton("Copy the sentence")
        self.copy.setToolTip("For a methods section.")
        self.copy.clicked.connect(lambda: QApplication.clipboard().setText(self.sentence.text()))
        column = QVBoxLayout(self)
        column.setContentsMargins(4, 6, 4, 0)
        self.keys = _keys("J next, K back, Shift+J right, Shift+K wrong")
        column.addWidget(self.about)
        column.addLayout(make_row(self.n, (self.draw, 1)))
        column.addLayout(make_row((self.back, 1), (self.forth, 1)))
        column.addLayout(make_row((self.right, 1), (self.wrong, 1), (self.unclear, 1)))
        column.addWidget(self.keys)
        column.addWidget(self.sentence)
        column.addWidget(self.copy)
        column.addWidget(self.list)
        column.addStretch(1)

    def show_sample(self, reviewed: "Reviewed | None", at: int) -> None:
        """Show what was drawn and judged."""
        audit = None if reviewed is None else reviewed.audit
        names = {} if reviewed is None else reviewed.names
        self.about.setText(_about(audit, past=reviewed is not None and reviewed.audit_is_past))
        self.draw.setEnabled(reviewed is not None)
        rows = [] if audit is None else _sampled(audit, names)
        self.list.show_rows(rows, at)
        self.list.setVisible(audit is not None)
        for part in (self.back, self.forth, self.right, self.wrong, self.unclear, self.keys):
            part.setVisible(audit is not None)
        self.choose(at if at < len(rows) else -1)
        judged = audit is not None and audit.n_judged > 0
        self.sentence.setText(audit.sentence() if judged and audit is not None else "")
        for part in (self.sentence, self.copy):
            part.setVisible(judged)

    def choose(self, at: int) -> None:
        """Mark the mask that is looked at; -1: none."""
        self.list.choose(at)
        for button in (self.right, self.wrong, self.unclear):
            button.setEnabled(at >= 0)


def _about(audit: "Audit | None", *, past: bool) -> str:
    if audit is None:
        return (
            "How many masks are right? Judge a random sample of them, and quote the share with its 95 % confidence "
            "interval. Cells that nobody marked are not in it."
        )
    left = len(audit.left)
    done = f"<b>{left} of {len(audit.places)} masks left to judge.</b>" if left else "<b>All masks are judged.</b>"
    return f"{done} Masks changed since they were drawn: draw others for the result as it is now." if past else done


def _sampled(audit: "Audit", names: dict[int, str]) -> list[Row]:
    pairs = zip(audit.places, audit.verdicts, strict=True)
    return [Row(i, (names.get(i) or str(i), str(t), MARKS[said])) for (i, t), said in pairs]


class ReviewPanel(QWidget):
    """Both parts, and what is shown of each place."""

    def __init__(self, color_of: ColorOf) -> None:
        super().__init__()
        self.queue, self.sample = QueuePanel(color_of), SamplePanel(color_of)
        self.parts = QTabWidget()
        self.parts.setDocumentMode(True)
        self.parts.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Maximum)
        for part, title, tip in (
            (self.queue, QUEUE, "Places on which a mask is likely wrong, the worst first."),
            (self.sample, SAMPLE, "Masks drawn at random: how many of all are right."),
        ):
            self.parts.setTabToolTip(self.parts.addTab(part, title), tip)
        self.zoom = make_check(
            "Zoom to the cell", True, "Bring the cell into the middle, and near. A zoom that you choose yourself stays."
        )
        self.strip = make_check(
            "Heat strip", True, "Below the picture: all objects on all frames, bright where a mask is likely wrong."
        )
        self.outlines = make_check(
            "Outlines", True, "Show masks as outlines as long as this page is in sight, so that the cell is seen."
        )
        column = QVBoxLayout(self)
        column.setContentsMargins(2, 2, 2, 2)
        column.addWidget(self.parts)
        switches = QGridLayout()
        switches.addWidget(self.zoom, 0, 0)
        switches.addWidget(self.outlines, 0, 1)
        switches.addWidget(self.strip, 1, 0)
        column.addLayout(switches)
        column.addStretch(1)

    @property
    def samples(self) -> bool:
        """Whether the random sample is in sight."""
        return self.parts.currentWidget() is self.sample


def _keys(text: str) -> QLabel:
    """A line that says which keys there are."""
    line = make_note()
    line.setText(text)
    return line
