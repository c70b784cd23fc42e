"""Numbers on the cells: where they stand, when they are seen, and that they are nobody's marks."""

import numpy as np
import pytest
from tests.widgets.conftest import PLACES

from napari_mosam import Result
from napari_mosam.widgets.picture.numbers import NumbersOverlay, NumbersVisual


def drawn(widget):
    """Texts that are seen on the frame shown, and where."""
    numbers = widget.jobs.view._numbers
    return {} if numbers is None else numbers.drawn


def visual(widget, layer):
    """What napari's canvas draws of the numbers of a layer; None where it has none."""
    canvas = widget.viewer.window._qt_viewer.canvas
    found = canvas._layer_overlay_to_visual.get(layer, {}).items()
    return next((seen for overlay, seen in found if isinstance(overlay, NumbersOverlay)), None)


def test_every_cell_has_its_number_on_every_frame(after_a_run, hands, qtbot):
    widget, layer = after_a_run(1, 2)
    n_layers = len(widget.viewer.layers)
    for t in (0, 5):
        widget.viewer.dims.set_point(0, t)
        assert set(drawn(widget)) == {"1", "2"}
        for disk in (1, 2):
            assert drawn(widget)[str(disk)] == pytest.approx(PLACES[t][disk - 1], abs=1)
    assert isinstance(visual(widget, layer), NumbersVisual) and visual(widget, layer).node.visible
    assert len(widget.viewer.layers) == n_layers == 3 and len(widget.session.prompts) == 2
    hands.paint(widget, 5, hands.shown(widget)[5] == 2, 0)
    assert set(drawn(widget)) == {"1"}
    hands.undo(widget)
    assert set(drawn(widget)) == {"1", "2"}


@pytest.mark.slow
def test_numbers_go_with_the_switch_and_with_the_labels(after_a_run, hands):
    widget, layer = after_a_run(1)
    switch = widget.controls.switches.numbers
    switch.click()
    assert drawn(widget) == {} and not visual(widget, layer).node.visible
    widget.viewer.dims.set_point(0, 3)
    switch.click()
    assert drawn(widget)["1"] == pytest.approx(PLACES[3][0], abs=1)
    layer.visible = False
    assert not visual(widget, layer).node.visible
    layer.visible = True
    assert visual(widget, layer).node.visible
    widget.viewer.dims.order = (1, 0, 2)
    assert not visual(widget, layer).node.visible, "there is no frame in sight"
    widget.viewer.dims.order = (0, 1, 2)
    hands.undo(widget)
    assert layer not in widget.viewer.layers and visual(widget, layer) is None


def test_numbers_belong_to_the_plane_of_the_movie(open_widget, movie, hands):
    widget = open_widget(np.stack([movie, movie], 1), scale=(2, 1, 0.5, 0.5))
    widget.controls.box.click()
    y, x = PLACES[0][0]
    corners = [(0, 0, y + dy, x + dx) for dy, dx in ((-6, -6), (-6, 6), (6, 6), (6, -6))]
    widget.prompts.shapes.add(np.array(corners, float), shape_type="rectangle")
    hands.run(widget)
    widget.viewer.dims.set_point(0, 4)  # frame 2
    assert drawn(widget)["1"] == pytest.approx(PLACES[2][0], abs=1)
    numbers = widget.jobs.view._numbers
    widget.viewer.dims.set_point(1, 1)
    assert numbers.drawn == {}, "the other channel has no result"


@pytest.mark.slow
def test_middles_are_those_of_the_labels(after_a_run):
    widget, _ = after_a_run(1, 2)
    result = Result.open(widget.session.path)
    for t in (0, 7):
        frame = np.asarray(result.labels[t])
        assert result.centers(t) == {i: pytest.approx(np.argwhere(frame == i).mean(0)) for i in (1, 2)}
    with pytest.raises(IndexError, match="no frame 8"):
        result.centers(8)
