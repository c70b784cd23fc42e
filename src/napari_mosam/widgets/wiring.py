"""Which button and key of the dock does what."""

from functools import partial
from typing import TYPE_CHECKING

from napari_mosam.widgets.support import ViewerLink

if TYPE_CHECKING:
    from napari_mosam.widgets.widget import MosamWidget


def connect_buttons(dock: "MosamWidget") -> None:
    """Let the buttons do what they say."""
    c, marks = dock.controls, dock.prompts
    c.new_object.clicked.connect(partial(dock.use, lambda _: dock.new_object()))
    c.object_id.valueChanged.connect(partial(setattr, marks, "object_id"))
    c.box.clicked.connect(partial(dock.use, marks.use_boxes))
    c.plus.clicked.connect(partial(dock.use, lambda source: marks.use_points(source, "+")))
    c.minus.clicked.connect(partial(dock.use, lambda source: marks.use_points(source, "-")))
    c.seed.clicked.connect(dock.seed_from_labels)
    c.clear.clicked.connect(marks.clear)
    c.draw.clicked.connect(dock.measure_diameter)
    c.forget.clicked.connect(dock.forget_painted)
    c.preview.clicked.connect(dock.preview)
    c.result.undo.clicked.connect(dock.undo)
    c.result.redo.clicked.connect(dock.redo)
    c.show_confidence.toggled.connect(lambda _: dock.jobs.show_confidence())


def bind_keys(dock: "MosamWidget") -> ViewerLink:
    """Keys of the viewer for the buttons that are used most; close what is returned to give them back."""
    controls = dock.controls
    keys = {
        "N": lambda _: controls.new_object.click(),
        "U": lambda _: controls.preview.click(),
        "Q": lambda _: controls.absent.click(),
    }  # napari asks their name
    return ViewerLink(dock.viewer, keys=keys)
