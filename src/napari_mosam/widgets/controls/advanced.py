"""The panel of engine settings: one control for each that has a label, drawn from what the setting says of itself."""

from collections.abc import Iterator
from functools import cached_property, reduce
from typing import Any

from magicgui.widgets import CheckBox, ComboBox, Container, FloatSpinBox, Label, PushButton, SpinBox
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget

from napari_mosam.core.config.engine import EngineConfig
from napari_mosam.core.config.fields import Range, Setting, settings_of

GROUPS = {"window": "View", "motion": "Motion", "memory": "Memory", "life": "Lost and found", "": "Pixels"}
FINEST = 0.01
"""Last digit that a control shows; an end that is left out is that far away."""
MOST = 9999
"""Largest number of a control for a setting without an upper end."""
NARROW, LABEL = 64, 103
"""Least widths of a number beside another and of what stands before a control, px: a dock of 320 px is wide enough."""

Path = tuple[str, ...]


class PairBox(Container):
    """Two numbers side by side."""

    def __init__(self, boxes: list[Any], **options: Any) -> None:
        super().__init__(widgets=boxes, layout="horizontal", labels=False, **options)
        self.margins = (0, 0, 0, 0)
        for box in boxes:
            box.native.setStyleSheet(f"min-width: {NARROW}px;")  # the style of napari asks for more

    @property
    def value(self) -> tuple[float, float]:
        """Both."""
        return self[0].value, self[1].value

    @value.setter
    def value(self, pair: tuple[float, float]) -> None:
        for box, number in zip(self, pair, strict=True):
            box.value = number


class EngineControls:
    """Controls for the engine's settings, in groups, and a button that resets them.

    Attributes
    ----------
    container : Container
        Everything, for a layout. Its signal `changed` is sent for a control and a reset, not for a new `config`.
    controls : dict of path to widget
    reset : PushButton
    """

    def __init__(self) -> None:
        shown = [setting for setting in settings_of(EngineConfig) if setting.meta.label]
        self.controls: dict[Path, Any] = {setting.path: make_control(setting) for setting in shown}
        self.reset = PushButton(text="Reset", tooltip="Give every setting of this panel its default.")
        self.container = Container(widgets=[*self._grouped(), self.reset], labels=False)
        self.container.margins = (0, 0, 0, 0)
        self.reset.changed.connect(self._reset)
        self.config = EngineConfig()

    @property
    def config(self) -> EngineConfig:
        """The configuration shown last, with what has been changed since."""
        tree = self._config.to_dict()
        for (*sections, name), value in self._values().items():
            if value != self._shown[(*sections, name)]:
                (tree[sections[0]] if sections else tree)[name] = value
        return EngineConfig.from_dict(tree)

    @config.setter
    def config(self, config: EngineConfig) -> None:
        with self.container.changed.blocked():
            for path, control in self.controls.items():
                _show(control, reduce(getattr, path, config))
        self._config, self._shown = config, self._values()  # a control may show less digits than there are

    def _values(self) -> dict[Path, Any]:
        return {path: control.value for path, control in self.controls.items()}

    def _reset(self) -> None:
        self.config = EngineConfig()
        self.container.changed.emit(self.container)

    def _grouped(self) -> Iterator[Any]:
        for section, title in GROUPS.items():
            heading = Label(value=title)
            heading.native.setStyleSheet("font-weight: bold;")
            yield heading
            inside = [control for path, control in self.controls.items() if "".join(path[:-1]) == section]
            group = Container(widgets=inside, labels=True)
            group.margins = (0, 0, 0, 0)
            for label in group.native.findChildren(QLabel):
                label.setMinimumWidth(LABEL)
            yield group


class EnginePanel(QWidget):
    """The controls for the engine's settings; made when they are first seen, or asked for.

    Attributes
    ----------
    changed : signal
        A control was changed, or all were reset; not sent for a new `config`.
    made : signal
        The controls are there.
    """

    changed = Signal()
    made = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._config = EngineConfig()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)

    @property
    def config(self) -> EngineConfig:
        """As :attr:`EngineControls.config`."""
        return self._inside.config if self.is_made else self._config

    @config.setter
    def config(self, config: EngineConfig) -> None:
        if self.is_made:
            self._inside.config = config
        else:
            self._config = config

    @property
    def is_made(self) -> bool:
        """Whether the controls are there."""
        return "_inside" in vars(self)

    @property
    def controls(self) -> dict[Path, Any]:
        """As of :class:`EngineControls`."""
        return self._inside.controls

    @property
    def reset(self) -> PushButton:
        """As of :class:`EngineControls`."""
        return self._inside.reset

    @property
    def container(self) -> Container:
        """As of :class:`EngineControls`."""
        return self._inside.container

    def showEvent(self, event: Any) -> None:
        """Have the controls as soon as somebody sees them."""
        _ = self._inside
        super().showEvent(event)

    @cached_property
    def _inside(self) -> EngineControls:
        inside = EngineControls()
        inside.config = self._config
        inside.container.changed.connect(lambda _: self.changed.emit())
        self.layout().addWidget(inside.container.native)
        inside.container.native.show()
        self.made.emit()
        return inside


def make_control(setting: Setting) -> Any:
    """The control that fits a setting."""
    tip = f"{setting.description} Allowed: {setting.allowed}."
    if setting.kind is bool:
        return CheckBox(text=setting.meta.label, tooltip=tip)
    told = {"label": setting.meta.label, "tooltip": tip}
    if setting.choices:
        return ComboBox(choices=[(word.capitalize(), word) for word in setting.choices], **told)
    boxes = [_number_box(setting, allowed, tip) for allowed in setting.ranges]
    if len(boxes) > 1:
        return PairBox(boxes, **told)
    boxes[0].label = setting.meta.label
    return boxes[0]


def _number_box(setting: Setting, allowed: Range, tip: str) -> Any:
    low = (allowed.low or 0) + FINEST * allowed.low_open
    high = (MOST if allowed.high is None else allowed.high) - FINEST * allowed.high_open
    if setting.kind is int:
        return SpinBox(min=int(low), max=int(high), tooltip=tip)
    return FloatSpinBox(min=low, max=high, step=0.5 if high > 4 else 0.05, tooltip=tip)


def _show(control: Any, value: Any) -> None:
    """Show a value, or the nearest that the control can show."""
    if isinstance(control, PairBox):
        for box, number in zip(control, value, strict=True):
            _show(box, number)
    else:
        control.value = min(max(value, control.min), control.max) if hasattr(control, "min") else value
