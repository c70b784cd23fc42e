"""The run button, what else can be run, and how far it is."""

from typing import Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QAction
from qtpy.QtWidgets import (
    QCheckBox,
    QLabel,
    QMenu,
    QProgressBar,
    QPushButton,
    QSpinBox,
    QToolButton,
    QVBoxLayout,
    QWidget,
    QWidgetAction,
)

from napari_mosam.widgets.controls.builders import make_boxed, make_check, make_row, make_spin

TRACK, CONTINUE, CANCEL, STOPPING = "Track", "Continue", "Cancel", "Stopping after this frame…"
"""What the run button says: with everything there or nothing yet, with half a result, during a run, and at its end."""

NEXT = 10
"""Frames of 'Next' at first: a look at whether it works takes no longer. Not measured."""


class RunMenu(QMenu):
    """Runs on a part of the frames, or of one object, and how runs behave.

    Attributes
    ----------
    run_on : Signal
        First and last frame on which to run.
    anew : Signal
        All is to be followed anew.
    """

    run_on = Signal(int, int)
    anew = Signal()

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.setToolTipsVisible(True)
        self._frame, self._last = 0, 0
        self.onward = self._entry("From here on", "Follow from the frame shown to the last one.")
        self.back = self._entry("Back from here", "Follow from the frame shown back to the first one.")
        self.next = make_spin(1, 1, "How many frames, the one shown included.")
        self._row("Next", self.next, "frames", self._run_next)
        self.to = make_spin(0, 0, "The last frame, or the first one where it lies before the one shown.")
        self._row("From here to", self.to, "", self._run_to)
        self.again = self._entry(
            "Everything anew", "Follow all cells again, as a new result. Undo brings this one back."
        )
        self.addSeparator()
        self.only_current = self._check(
            "Only the current object", "Run this object alone; the others stay as they are."
        )
        self.follow_frames = self._check("Show frames as they come", "Let the viewer show each frame when it is done.")
        self.follow_painted = self._check(
            "Follow what I paint", "After a stroke in the labels, follow that cell again from there, at once."
        )
        self.patience = make_spin(
            0, 999, "Stop as soon as a cell is lost or unsure on so many frames in a row; Continue goes on."
        )
        self.patience.setSpecialValueText("never")
        self._add(make_boxed(make_row(QLabel("Stop and ask after"), self.patience, QLabel("unsure frames"))))
        self.onward.triggered.connect(lambda: self.run_on.emit(self._frame, self._last))
        self.back.triggered.connect(lambda: self.run_on.emit(0, self._frame))
        self.again.triggered.connect(lambda: self.anew.emit())
        self.show_place(0, 1, 1)

    def show_place(self, frame: int, n_frames: int, object_id: int) -> None:
        """Say what the entries mean on the frame shown, for the object in hand."""
        self._frame, last, before = frame, n_frames - 1, self._last
        self.onward.setText(f"From here on (frames {frame} to {last})" if frame < last else "From here on")
        self.back.setText(f"Back from here (frames {frame} to 0)" if frame else "Back from here")
        self.only_current.setText(f"Only object {object_id}")
        self.onward.setEnabled(frame < last)
        self.back.setEnabled(frame > 0)
        self.next.setMaximum(n_frames)
        self.to.setMaximum(last)
        if last != before:  # another movie
            self._last = last
            self.next.setValue(NEXT)
            self.to.setValue(last)

    def _run_next(self) -> None:
        self.run_on.emit(self._frame, min(self._frame + self.next.value() - 1, self._last))

    def _run_to(self) -> None:
        self.run_on.emit(*sorted((self._frame, self.to.value())))

    def _entry(self, text: str, tip: str) -> QAction:
        entry = self.addAction(text)
        entry.setToolTip(tip)
        return entry

    def _check(self, text: str, tip: str) -> QCheckBox:
        """A box to tick, which leaves the menu open."""
        check = make_check(text, False, tip)
        self._add(make_boxed(make_row(check)))
        return check

    def _row(self, text: str, box: QSpinBox, unit: str, run: "object") -> None:
        """A button that runs, and its number."""
        button = QPushButton(text)
        button.clicked.connect(self.close)
        button.clicked.connect(run)
        self._add(make_boxed(make_row((button, 1), box, *([QLabel(unit)] if unit else []))))

    def _add(self, row: QWidget) -> None:
        row.layout().setContentsMargins(8, 2, 8, 2)
        action = QWidgetAction(self)
        action.setDefaultWidget(row)
        self.addAction(action)


class RunBar(QWidget):
    """The button, its menu, and a bar while something is computed."""

    def __init__(self) -> None:
        super().__init__()
        self.button = QPushButton(TRACK)
        self.button.setMinimumHeight(32)
        self.button.setStyleSheet("font-weight: bold;")
        self.button.setToolTip(
            "Follow all marked cells through the movie, or what is new since the last run. What you painted in the "
            "labels stays as it is. Cancel keeps the frames that are done."
        )
        self.menu = RunMenu(self)
        self.more = QToolButton()
        self.more.setText("▾")
        self.more.setMinimumSize(28, 32)
        self.more.setToolTip("Run on some frames, or one object; what runs show, and when they stop to ask.")
        self.more.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self.more.setStyleSheet("QToolButton::menu-indicator { image: none; }")
        self.more.setMenu(self.menu)
        self.bar = QProgressBar()
        self.bar.setMaximumHeight(18)
        self.bar.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.bar.hide()
        self._goes_on = False
        self._activity: Any = None
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        column.addLayout(make_row((self.button, 1), self.more))
        column.addWidget(self.bar)

    def set_busy(self, busy: bool, *, cancelling: bool = False) -> None:
        """Turn the run button into 'Cancel', or back."""
        idle = CONTINUE if self._goes_on else TRACK
        self.button.setText(STOPPING if cancelling else CANCEL if busy else idle)
        self.button.setEnabled(not cancelling)
        self.more.setEnabled(not busy)
        self.bar.setVisible(busy)
        if not busy:
            self.close_activity()
        if busy and not cancelling:
            self.bar.setRange(0, 0)
            self.bar.setFormat("")

    def set_goes_on(self, goes_on: bool) -> None:
        """Say whether a run goes on with half a result."""
        self._goes_on = goes_on
        if self.more.isEnabled():
            self.set_busy(False)

    def show_progress(self, done: int, total: int, left: str, unit: str = "frames") -> None:
        """Say how far it is, and how long it will take; also in napari's list of what is going on."""
        from napari.utils import progress

        self.bar.setUpdatesEnabled(False)  # or Qt draws the whole window before it goes on
        self.bar.setRange(0, max(total, 1))
        self.bar.setValue(done)
        self.bar.setFormat(" · ".join(filter(None, [f"{done} of {total} {unit}", left])))
        self.bar.setUpdatesEnabled(True)
        if self._activity is None:
            self._activity = progress(total=total, desc="MoSAM")
        self._activity.update(done - self._activity.n)

    def close_activity(self) -> None:
        """Nothing goes on any more."""
        if self._activity is not None:
            self._activity.close()
            self._activity = None
