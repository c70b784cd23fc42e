"""Which button and key of the dock does what."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_mosam.widgets.widget import MosamWidget


def connect_buttons(dock: "MosamWidget") -> None:
    """Let the buttons do what they say."""
    c, marks = dock.controls, dock.prompts
    c.new_object.clicked.connect(_ready(dock, partial(dock.use, lambda _: dock.new_object())))
    c.object_id.valueChanged.connect(partial(setattr, marks, "object_id"))
    c.box.clicked.connect(_ready(dock, partial(dock.use, marks.use_boxes)))
    c.plus.clicked.connect(partial(dock.use, lambda source: marks.use_points(source, "+")))
    c.minus.clicked.connect(partial(dock.use, lambda source: marks.use_points(source, "-")))
    c.pick.clicked.connect(partial(dock.use, lambda source: marks.use_points(source, "pick")))
    c.seed.clicked.connect(dock.seed_from_labels)
    c.clear.clicked.connect(marks.clear)
    c.draw.clicked.connect(_ready(dock, dock.measure_diameter))
    c.forget.clicked.connect(dock.forget_painted)
    c.preview.clicked.connect(dock.preview)
    c.result.undo.clicked.connect(dock.undo)
    c.result.redo.clicked.connect(dock.redo)
    c.switches.numbers.toggled.connect(lambda _: dock.jobs.show_numbers())
    c.live.toggled.connect(dock.jobs.live.forget)
    c.diameter.valueChanged.connect(dock.jobs.live.update)
    c.model.currentIndexChanged.connect(dock.jobs.live.update)
    c.show_confidence.toggled.connect(lambda _: dock.jobs.show_confidence())


def _ready(dock: "MosamWidget", job: Callable[[], object]) -> Callable[[], None]:
    """The same, as soon as a shape can be drawn without a freeze."""
    return lambda *_: dock.first_use.when_ready(job)
