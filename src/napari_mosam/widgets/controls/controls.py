"""The controls of the widget and nothing else: what they look like, and their values as settings and back."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFrame, QLabel, QLineEdit, QPushButton, QVBoxLayout, QWidget
from superqt import QCollapsible

from napari_mosam.core.config.checks import bytes_of
from napari_mosam.core.config.engine import Direction, EngineConfig, MotionConfig
from napari_mosam.core.config.run import Limits, RunConfig
from napari_mosam.widgets.controls.advanced import EnginePanel
from napari_mosam.widgets.controls.builders import (
    LayerCombo,
    bring_into_sight,
    choose,
    make_boxed,
    make_check,
    make_collapsible,
    make_decimal,
    make_form,
    make_menu,
    make_note,
    make_row,
    make_spin,
)
from napari_mosam.widgets.controls.look_row import LookRow
from napari_mosam.widgets.controls.mark_tools import mark_tools
from napari_mosam.widgets.controls.model_download import DownloadRow
from napari_mosam.widgets.controls.movie_menu import AxesMenu, LimitsNote, typed_limits
from napari_mosam.widgets.controls.object_table import ObjectPanel
from napari_mosam.widgets.controls.result_row import RecoverRow, ResultRow
from napari_mosam.widgets.controls.run_bar import RunBar
from napari_mosam.widgets.finding.row import FindRow
from napari_mosam.widgets.picture.switches import Switches

if TYPE_CHECKING:
    from napari_mosam.core.images.grey.limits import GreyLimits

MAX_ID = 2**31 - 1
"""Largest number that Qt's spin box holds."""

DIRECTION_LABELS: tuple[tuple[str, Direction], ...] = (
    ("Both ways", "both"),
    ("Forward in time", "forward"),
    ("Backward in time", "backward"),
)


class Controls(QWidget):
    """Four numbered steps, top to bottom: image, objects, settings, run."""

    def __init__(self) -> None:
        super().__init__()
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(8, 6, 8, 8)
        self._column.setSpacing(5)
        self._build_image()
        self._build_objects()
        self._build_settings()
        self._build_run()
        self._build_footer()
        self._column.addStretch(1)
        self.recover = RecoverRow()
        self._column.insertWidget(0, self.recover)
        self._known_limits: GreyLimits | None = None
        self._given = RunConfig()
        self.set_n_frames(1)
        self.settings = self._given

    @property
    def settings(self) -> RunConfig:
        """The settings given last, with what has been changed since; the one place where controls become settings.

        There are controls for model, device, frames, direction, diameter, two grey limits and what the engine's panel
        shows. Everything else, and a value that a control cannot show, such as exact grey limits, stays as it was
        given; but the configuration of a checkpoint goes with its model.

        Raises
        ------
        ValueError
            When read, for frames or grey limits that cannot be; when set, for frames that the movie does not have.
        """
        changed = {name: value for name, value in self._values().items() if value != self._shown[name]}
        limits, ram = (changed.pop(name, getattr(self._given.movie, name)) for name in ("limits", "ram"))
        if "model" in changed:
            changed["checkpoint_config"] = None
        return replace(
            self._given,
            frames=self._frames(),
            movie=replace(self._given.movie, limits=limits, ram=ram),
            engine=self._engine_config(),
            **changed,
        )

    @settings.setter
    def settings(self, config: RunConfig) -> None:
        frames = config.range_in(self.last.maximum() + 1)
        self.first.setValue(frames[0])
        self.last.setValue(frames[-1])
        self.engine.config = config.engine
        self._sync_motion()
        choose(self.model, config.model)
        choose(self.device, config.device)
        choose(self.direction, config.direction)
        choose(self.memory, config.engine.memory.selection)
        self.compete.setChecked(config.engine.compete)
        self.diameter.setValue(config.diameter or 0)
        limits = config.movie.limits
        for box, value in zip((self.low, self.high), limits if isinstance(limits, tuple) else ("", ""), strict=True):
            box.setText(str(value))
        self.patience.setValue(config.stop_after_unsure or 0)
        self.ram.setValue(0 if config.movie.ram is None else bytes_of(config.movie.ram) / 1e9)
        same = limits == self._given.movie.limits
        self._given, self._shown = config, self._values()
        self.show_limits(self._known_limits if same else None)

    def set_n_frames(self, n_frames: int) -> None:
        """Let the frame range span a movie of that length."""
        for box, value in ((self.first, 0), (self.last, n_frames - 1)):
            box.setMaximum(n_frames - 1)
            box.setValue(value)
        for control in (self.first, self.last, self.direction):
            control.setEnabled(n_frames > 1)

    def set_busy(self, busy: bool, cancelling: bool = False) -> None:
        """Turn 'Track' into 'Cancel', and lock what a run may not change."""
        self.run_bar.set_busy(busy, cancelling=cancelling)
        self.preview.setEnabled(not busy)
        self.image.setEnabled(not busy)
        settings = self.model, self.device, self.diameter, self.draw, self.advanced
        for control in (self.absent, self.finding.find, *settings):
            control.setEnabled(not busy)  # a download may go on, and be cancelled
        self.range_box.setEnabled(not busy)
        self.forget.setEnabled(not busy and bool(self.painted.text()))

    def show_painted(self, text: str) -> None:
        """Say what was painted in the labels; where nothing was, there is nothing to forget."""
        self.painted.setText(text)
        self.painted.setVisible(bool(text))
        self.forget.setVisible(bool(text))
        self.forget.setEnabled(bool(text) and self.image.isEnabled())

    def say(self, text: str, error: bool = False) -> None:
        """Show one message; errors in red."""
        self.status.setText(text)
        self.status.setStyleSheet("color: #ff6b6b; font-weight: bold;" if error else "")

    def show_note(self, note: str) -> None:
        """Say what the cell diameter is in the unit of the image; nothing where that is not known."""
        self.diameter_note.setText(note)
        self.diameter_note.setVisible(bool(note))

    def show_limits(self, limits: "GreyLimits | None") -> None:
        """Show the grey limits of the movie, and what took no part in them; nothing before they are known."""
        unknown = "exact" if self._given.movie.limits == "exact" else "automatic"
        shown = (f"{limits.low:.6g}", f"{limits.high:.6g}") if limits else (unknown, unknown)
        for box, text in zip((self.low, self.high), shown, strict=True):
            box.setPlaceholderText(text)
        self._known_limits = limits
        self.limits_note.setVisible(self.image.layer is not None)
        self._say_limits()

    def _say_limits(self, *_: object) -> None:
        asked = self._given.movie.limits
        try:
            self.limits_note.say(self._known_limits, self._limits() or (asked if asked == "exact" else None))
        except ValueError:
            self.limits_note.say(None, None, possible=False)

    def show_limit_boxes(self, *_: object) -> None:
        """Unfold the settings as far as the grey limits, and have the first typed."""
        self.advanced.expand(animate=False)
        self.low.setFocus()
        bring_into_sight(self.low)

    def _values(self) -> dict[str, Any]:
        """What the controls show that have a setting to themselves."""
        return {
            "model": self.model.currentData(),
            "device": self.device.currentData(),
            "direction": self.direction.currentData(),
            "diameter": self.diameter.value() or None,
            "limits": self._limits(),
            "stop_after_unsure": self.patience.value() or None,
            "ram": f"{self.ram.value():g}GB" if self.ram.value() else None,
        }

    def _frames(self) -> tuple[int, int] | None:
        first, last = self.first.value(), self.last.value()
        if last < first:
            raise ValueError(f"frames {first} to {last} are empty; choose a last frame that is not before the first")
        return None if (first, last) == (0, self.last.maximum()) else (first, last + 1)

    def _limits(self) -> Limits:
        return typed_limits(self.low.text().strip(), self.high.text().strip())

    def _engine_config(self) -> EngineConfig:
        config = self.engine.config
        memory = replace(config.memory, selection=self.memory.currentData())
        return replace(config, memory=memory, compete=self.compete.isChecked())

    def _follow_motion(self, wanted: bool) -> None:
        """All motion cues at once."""
        self.engine.config = replace(self.engine.config, motion=MotionConfig() if wanted else MotionConfig.off())

    def _sync_motion(self, *_: object) -> None:
        """Say whether anything follows the motion of the image."""
        motion = self.engine.config.motion
        self.motion.blockSignals(True)
        self.motion.setChecked(motion.drift or motion.flow or motion.keypoints)
        self.motion.blockSignals(False)

    def _build_image(self) -> None:
        self._heading("1  Movie")
        self.image = LayerCombo("open a time-lapse first")
        self.image.setToolTip(
            "The image layer to work on: a time-lapse (T, Y, X) or a single image. Selecting an image in the layer "
            "list chooses it, and so does hiding all others. Every movie has its own marks."
        )
        self.axes = AxesMenu(self.image)
        self._column.addLayout(make_row((self.image, 2), (self.axes, 1)))
        self.image_note = make_note()
        self._column.addWidget(self.image_note)
        self.limits_note = LimitsNote()
        self.limits_note.linkActivated.connect(self.show_limit_boxes)
        self._column.addWidget(self.limits_note)

    def _build_objects(self) -> None:
        self._heading("2  Mark cells on any frame")
        self.new_object = QPushButton("New object")
        self.new_object.setToolTip("Start another cell, then drag a box around it in the image. Key: N")
        self.object_id = make_spin(
            1, MAX_ID, "The cell that boxes and clicks belong to. Go back to a number to correct that cell."
        )
        self.absent = QPushButton("Not here")
        self.absent.setToolTip(
            "The current object is not on the frame shown: take its mask away there, and follow it again. Key: Q"
        )
        self.object_id.setPrefix("Object ")
        self.box, self.plus, self.minus, self.pick = mark_tools()
        self._column.addLayout(make_row((self.new_object, 1), self.object_id, self.pick))
        self._column.addLayout(make_row((self.box, 1), (self.plus, 1), (self.minus, 1)))
        self.finding = FindRow()
        self._column.addWidget(self.finding)
        self.flat_note = make_note()
        self.flat_note.setVisible(False)
        self._column.addWidget(self.flat_note)
        self.seed_labels = LayerCombo("no labels layer")
        self.seed_labels.setToolTip("A labels layer in which cells are painted or segmented.")
        self.seed = QPushButton("Use labels")
        self.seed.setToolTip("Every label becomes an object with that number.")
        frames = [("this frame", "this"), ("first frames", "first"), ("all frames", "all")]
        tip = "The frame shown, the first frame on which each label is, or all frames of the labels."
        self.seed_frames = make_menu(frames, tip)
        self.seed_labels.setMinimumContentsLength(4)
        self.seed_frames.setMinimumContentsLength(6)
        self._column.addLayout(make_row((self.seed_labels, 1), (self.seed_frames, 1), self.seed))
        self.summary = make_note()
        self.clear = QPushButton("Clear")
        self.clear.setToolTip("Remove all boxes, clicks and label masks of this movie. Results stay.")
        self._column.addLayout(make_row((self.summary, 1), self.absent, self.clear))
        self.objects = ObjectPanel()
        self._column.addWidget(self.objects.box)

    def _build_settings(self) -> None:
        self._heading("3  Settings")
        box = QWidget()
        form = make_form(box)
        self.model = make_menu(
            (("nano (built in)", "nano"),),
            "The network. 'nano' comes with the plugin and runs on any computer; those with ↓ are downloaded first.",
        )
        self.device = make_menu(
            (("Automatic", None),), "Where to compute. Automatic takes the graphics card if there is one."
        )
        self.diameter = make_decimal(
            " px", "Typical cell diameter in pixels of the image. Helps clicks most; 0 means automatic."
        )
        self.draw = QPushButton("Draw")
        self.draw.setToolTip(
            "Measure a typical cell: draw a line across it, or switch to the ellipse tool for a circle."
        )
        self.diameter_note = make_note()
        self.model_download = DownloadRow()
        form.addRow("Model", self.model)
        form.addRow(self.model_download)
        form.addRow("Compute on", self.device)
        form.addRow("Cell diameter", make_boxed(make_row((self.diameter, 1), self.draw)))
        form.addRow("", self.diameter_note)
        self._column.addWidget(box)
        form.addRow(self._build_advanced())

    def _build_engine(self) -> QCollapsible:
        self.engine = EnginePanel()
        self.engine.changed.connect(self._sync_motion)
        self.motion.toggled.connect(self._follow_motion)
        self.engine_box = make_collapsible("Engine settings", "Every other knob of the engine.", self.engine)
        return self.engine_box

    def _build_advanced(self) -> QCollapsible:
        inner = QWidget()
        rows = make_form(inner)
        self.motion = make_check("Follow motion", True, "Estimate how cells and stage move, and look there.")
        self.compete = make_check("Cells compete for pixels", True, "Of touching cells, the surer one gets a pixel.")
        self.memory = make_menu(
            (("Only reliable frames", "gated"), ("Always the last six", "sam2")),
            "Which earlier frames the network remembers a cell by.",
        )
        rows.addRow(self.motion)
        rows.addRow(self.compete)
        rows.addRow("Remember", self.memory)
        self.low, self.high = (
            self._make_limit(f"The pixel value that the network sees as {colour}. Leave both empty to find them.")
            for colour in ("black", "white")
        )
        rows.addRow("Grey limits", make_boxed(make_row((self.low, 1), QLabel("to"), (self.high, 1))))
        self.ram = make_decimal(
            " GB", "Memory that a run may take. Automatic keeps some decoded pixels, .27 GB at most."
        )
        rows.addRow("Memory", self.ram)
        rows.addRow(self._build_engine())
        self.advanced = make_collapsible("Advanced", "Settings that seldom need a change.", inner)
        return self.advanced

    def _make_limit(self, tip: str) -> QLineEdit:
        box = QLineEdit()
        box.setPlaceholderText("automatic")
        box.textChanged.connect(self._say_limits)
        box.setToolTip(tip)
        return box

    def _build_run(self) -> None:
        self._heading("4  Segment and track")
        self.preview = QPushButton("Preview this frame")
        self.preview.setToolTip("Outline the cells marked on the frame shown, at once. Key: U")
        self.live = make_check("Preview while marking", True, "Outline each cell as soon as it is marked.")
        self._column.addLayout(make_row((self.preview, 1), self.live))
        self.range_box = QWidget()
        form = make_form(self.range_box)
        self.direction = make_menu(
            DIRECTION_LABELS, "Follow the cells from where they are marked: forward, backward or both."
        )
        self.first = make_spin(0, 0, "First frame of the run (frames count from 0).")
        self.last = make_spin(0, 0, "Last frame of the run, included.")
        form.addRow("Direction", self.direction)
        form.addRow("Frames", make_boxed(make_row((self.first, 1), QLabel("to"), (self.last, 1))))
        self._column.addWidget(self.range_box)
        self.switches = Switches()
        self.show_confidence, self.show_flow = self.switches.confidence, self.switches.flow
        self._column.addWidget(self.switches)
        self.painted = make_note()
        self.forget = QPushButton("Forget what was painted")
        self.forget.setToolTip(
            "Let the next run change what was painted, erased, swapped or merged. No pixel changes when you press this."
        )
        self._column.addWidget(self.painted)
        self._column.addWidget(self.forget)
        self.show_painted("")

    def _build_footer(self) -> None:
        """What is in sight however far the rest is scrolled."""
        self.footer = QWidget()
        column = QVBoxLayout(self.footer)
        column.setContentsMargins(8, 4, 8, 8)
        column.setSpacing(5)
        self.run_bar = RunBar()
        self.propagate, menu = self.run_bar.button, self.run_bar.menu
        self.only_current, self.patience = menu.only_current, menu.patience
        self.follow_painted, self.follow_frames = menu.follow_painted, menu.follow_frames
        column.addWidget(self.run_bar)
        self.status = make_note()
        self.status.setMinimumHeight(48)
        self.status.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.status.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.status.setToolTip(
            "What happens now, or what to do next. Numbers such as (.41) are the network's own estimate of how well a "
            "mask fits (IoU, from 0 to 1); below .7 a mask deserves a look."
        )
        column.addWidget(self.status)
        self.doubts = LookRow("unsure", "Look at what is unsure")
        self.changes = LookRow("changed", "Look at what changed")
        column.addWidget(self.doubts)
        column.addWidget(self.changes)
        self.result = ResultRow()
        column.addWidget(self.result)

    def _heading(self, text: str) -> None:
        if self._column.count():
            line = QFrame()
            line.setFrameShape(QFrame.Shape.HLine)
            line.setFixedHeight(1)
            self._column.addWidget(line)
        label = QLabel(text)
        label.setStyleSheet("font-weight: bold;")
        self._column.addWidget(label)
