"""The tools for marks in the dock: which is in hand, which object is, and where they do not work."""

from typing import TYPE_CHECKING, Any

from napari_mosam.widgets.layers.source import SourceError

if TYPE_CHECKING:
    from napari_mosam.widgets.widget import MosamWidget

FLAT = "Marks are made in 2-D. Press Ctrl+Y, or the cube at the lower left, to go back."


class Tools:
    """Buttons of the dock with which cells are marked.

    Parameters
    ----------
    dock : MosamWidget
    """

    def __init__(self, dock: "MosamWidget") -> None:
        self._dock, self._viewer = dock, dock.viewer
        c = dock.controls
        self._buttons = (c.new_object, c.box, c.plus, c.minus, c.pick)
        self._put_away: list[tuple[Any, str]] = []

    def new_object(self) -> str:
        """Choose an unused id, and keep the tool in hand, at first that of boxes; returns what to do next."""
        marks, source = self._dock.prompts, self._dock.source
        marks.object_id = marks.next_id()
        marks.use_again(source)
        clicks = marks.points is self._viewer.layers.selection.active
        what = "click inside the cell" if clicks else "drag a box around the cell"
        return f"Object {marks.object_id}: {what}."

    def seed_from_labels(self) -> None:
        """Make every label of the frame shown, or of all frames, a mask prompt."""
        dock, controls = self._dock, self._dock.controls
        labels = controls.seed_labels.layer
        if labels is None:
            raise SourceError("there is no labels layer; add one and paint a cell first")
        source, menu = dock.source, controls.seed_frames
        this = menu.currentData() == "this"
        frames = [dock.frame] if this else range(source.shape[0])
        ids = dock.prompts.seed(source, labels, frames, first=menu.currentData() == "first")
        where = f"frame {dock.frame}" if this else menu.currentText()
        controls.say(f"{len(ids)} label{'s' * (len(ids) != 1)} of '{labels.name}' taken from {where}.")

    def picked(self, object_id: int) -> None:
        """An object was taken in hand by a click on it; 0 where there is none."""
        dock = self._dock
        if not object_id:
            dock.controls.say("There is no object. Click on the outline, the mask or a mark of one.")
            return
        if dock.prompts.sign == "pick":
            dock.prompts.use_points(dock.source, "+")
        dock.controls.object_id.setValue(object_id)
        self.sync()
        dock.controls.say(f"Object {object_id} is in hand. Click on what is missing; right-click on what is too much.")

    def sync(self) -> None:
        """Show as pressed the tool which the next click on the canvas uses."""
        marks, controls = self._dock.prompts, self._dock.controls
        layer: Any = self._viewer.layers.selection.active
        mode = "" if layer is None or layer not in (marks.points, marks.shapes) else str(layer.mode)
        for button, sign in ((controls.plus, "+"), (controls.minus, "-"), (controls.pick, "pick")):
            button.setChecked(mode == "add" and marks.sign == sign)
        controls.box.setChecked(mode.startswith("add_"))

    def flat(self, *_: Any) -> None:
        """Say that marks are made in 2-D, as long as the viewer shows 3-D; the tool in hand comes back with 2-D."""
        in_3d = self._viewer.dims.ndisplay == 3
        controls = self._dock.controls
        controls.flat_note.setText(FLAT if in_3d else "")
        controls.flat_note.setVisible(in_3d)
        for button in self._buttons:
            button.setEnabled(not in_3d)
        live = self._dock.jobs.live
        if in_3d:
            self._take_away()
            live.forget()
        else:
            self._give_back()
            live.update()

    def check_flat(self) -> None:
        """Refuse marks in 3-D; SourceError."""
        if self._viewer.dims.ndisplay == 3:
            raise SourceError(FLAT)

    def _take_away(self) -> None:
        marks = self._dock.prompts
        for layer in (marks.points, marks.shapes):
            if layer is not None and str(layer.mode).startswith("add"):
                self._put_away.append((layer, str(layer.mode)))
                layer.mode = "pan_zoom"

    def _give_back(self) -> None:
        for layer, mode in self._put_away:
            if layer in self._viewer.layers:
                layer.mode = mode
        self._put_away = []
