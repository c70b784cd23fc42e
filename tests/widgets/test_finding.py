"""Finding cells in the dock: what is proposed, thinned out, dropped, accepted, and what never becomes a mark."""

import time
from functools import partial

import numpy as np
import pytest
from tests.support.fake_model import disks
from tests.widgets.mouse import drag, press

from napari_mosam.core.prompts.collection import MaskPrompt
from napari_mosam.widgets.finding.layer import DROPPED, HIDDEN, KEPT, dashed
from napari_mosam.widgets.layers.label_ids import labels_layers

DISKS = [(20, 20), (24, 60), (70, 30), (75, 75)]


@pytest.fixture
def cells():
    """Three frames of four disks with a diameter of 12 px, and their labels."""
    return disks([DISKS] * 3, radius=6)


@pytest.fixture
def found(open_widget, hands, cells):
    """A dock that has found the cells of the first frame."""
    widget = open_widget(cells[0], show=True)
    widget.controls.diameter.setValue(12)
    find(widget, hands)
    return widget


def find(widget, hands, frame=0):
    widget.viewer.dims.set_point(0, frame * widget.controls.image.layer.scale[0])
    widget.controls.finding.find.click()
    hands.finish(widget)


def proposals(widget):
    return widget.finding._layer.layer


def drawn(widget, frame=0):
    return np.asarray(proposals(widget).data[frame])


def kinds_at(widget, place, frame=0):
    """What is drawn around a disk."""
    y, x = place
    return set(np.unique(drawn(widget, frame)[y - 8 : y + 9, x - 8 : x + 9])) - {0}


def test_every_cell_is_proposed_and_none_is_marked(found, hands):
    assert hands.says(found).startswith("Found 4 cells on frame 0 in ")
    assert all(kinds_at(found, place) == {KEPT} for place in DISKS)
    assert not drawn(found, 1).any()
    assert found.controls.finding.accept.text() == "Accept (4)"
    assert not found.session.prompts and not found.session.history


def test_accepted_cells_are_objects_and_one_entry_of_the_history(found, hands, cells):
    found.controls.finding.accept.click()
    hands.settle(found)
    session = found.session
    assert session.history == ("4 found cells on frame 0",)
    assert session.prompts.object_ids == (1, 2, 3, 4)
    assert all(isinstance(mark, MaskPrompt) and mark.frame == 0 for mark in session.prompts)
    assert proposals(found) is None and not found.controls.finding.accept.isVisible()
    hands.run(found)
    truth, labels = cells[1], hands.shown(found)
    for k in range(1, 5):
        inside = labels[2][truth[2] == k]
        assert (inside == np.bincount(inside).argmax()).mean() > 0.7 and np.bincount(inside).argmax() > 0
    hands.undo(found)
    hands.undo(found)
    assert not session.prompts


@pytest.mark.slow
def test_a_click_drops_a_proposal_and_another_brings_it_back(found, hands, qtbot):
    press(found.viewer, qtbot, DISKS[1])
    assert kinds_at(found, DISKS[1]) == {DROPPED}
    assert found.controls.finding.accept.text() == "Accept (3)"
    assert "1 dropped" in hands.says(found)
    press(found.viewer, qtbot, DISKS[1])
    assert kinds_at(found, DISKS[1]) == {KEPT}
    press(found.viewer, qtbot, DISKS[1])
    press(found.viewer, qtbot, (48, 48))
    found.controls.finding.accept.click()
    hands.settle(found)
    marked = [mark.to_frame((96, 96)) for mark in found.session.prompts]
    assert len(marked) == 3 and not any(mask[DISKS[1]] for mask in marked)


def test_a_drag_moves_the_view_and_drops_nothing(found, qtbot):
    drag(found.viewer, qtbot, DISKS[1], (DISKS[1][0] + 12, DISKS[1][1]))
    assert found.controls.finding.accept.text() == "Accept (4)"


def test_the_slider_hides_the_weaker_ones_without_asking_the_model(found, hands, engine):
    engine.model.error = AssertionError("the model was asked")
    weaker = found.finding._pending.search.found.scores
    weaker[2:] = 0.5
    found.controls.finding.slider.setValue(60)
    assert found.controls.finding.accept.text() == "Accept (2)"
    assert hands.says(found) == "2 cells to accept; 2 hidden as weaker."
    assert sum(kinds_at(found, place) == {KEPT} for place in DISKS) == 2
    found.controls.finding.slider.setValue(95)
    assert not drawn(found).any() and not found.controls.finding.accept.isEnabled()
    found.controls.finding.slider.setValue(40)
    assert all(kinds_at(found, place) == {KEPT} for place in DISKS)


@pytest.mark.slow
def test_discard_leaves_nothing_and_gives_the_tool_back(open_widget, hands, cells):
    widget = open_widget(cells[0], show=True)
    widget.controls.plus.click()
    tool = widget.viewer.layers.selection.active
    find(widget, hands)
    assert widget.viewer.layers.selection.active is proposals(widget)
    widget.controls.finding.discard.click()
    assert proposals(widget) is None and widget.viewer.layers.selection.active is tool
    hands.qtbot.waitUntil(lambda: not any(layer.name == "MoSAM proposals" for layer in widget.viewer.layers))
    assert not widget.session.prompts


def test_a_layer_that_is_deleted_is_as_good_as_discard(found):
    found.viewer.layers.remove(proposals(found))
    assert proposals(found) is None and not found.controls.finding.accept.isVisible()


def test_proposals_are_no_labels_from_which_marks_are_taken(found):
    assert proposals(found) not in labels_layers(found.viewer)


def test_on_a_later_frame_only_what_is_not_covered_is_proposed_and_that_is_said(open_widget, hands, cells):
    widget = open_widget(cells[0])
    widget.controls.diameter.setValue(12)
    for y, x in DISKS[:2]:
        hands.box(widget, 0, y - 6, x - 6, y + 6, x + 6)
    hands.run(widget)
    find(widget, hands, 2)
    assert hands.says(widget).startswith("Found 2 cells without a mask on frame 2 in ")
    assert kinds_at(widget, DISKS[0], 2) == set() and kinds_at(widget, DISKS[2], 2) == {KEPT}
    widget.controls.finding.accept.click()
    hands.settle(widget)
    assert {mark.frame for mark in widget.session.prompts if mark.object_id > 2} == {2}


@pytest.mark.slow
def test_a_search_can_be_cancelled_and_says_what_part_was_looked_at(open_widget, hands, qtbot, engine):
    rows = [(20 + 40 * i, 20 + 40 * k) for i in range(12) for k in range(12)]
    widget = open_widget(disks([rows], shape=(512, 512), radius=6)[0])
    widget.controls.diameter.setValue(12)
    widget.viewer.dims.set_point(0, 0)
    engine.model.waits = partial(time.sleep, 0.4)
    widget.controls.finding.find.click()
    qtbot.waitUntil(lambda: widget.controls.run_bar.bar.value() > 0, timeout=20_000)
    assert "views" in widget.controls.run_bar.bar.text()
    widget.controls.propagate.click()
    hands.finish(widget)
    found = widget.finding._pending
    assert found is not None and not found.search.found.complete and 0 < len(found.search.found) < 144
    assert "in the part that was looked at before Cancel" in hands.says(widget)
    assert not widget.session.prompts


@pytest.mark.slow
def test_nothing_is_started_while_a_search_is_going(open_widget, hands, qtbot, engine, cells):
    widget = open_widget(cells[0])
    engine.model.waits = partial(time.sleep, 0.15)
    widget.controls.finding.find.click()
    assert not widget.controls.finding.find.isEnabled()
    widget.preview()
    assert "A search for cells is going" in hands.says(widget)
    hands.finish(widget)
    assert widget.controls.finding.find.isEnabled()


def test_where_nothing_is_found_it_says_what_to_do(open_widget, hands):
    widget = open_widget(np.zeros((2, 64, 64), np.uint8))
    widget.controls.diameter.setValue(12)
    find(widget, hands)
    assert hands.says(widget).startswith("No cell was found on frame 0.")
    assert proposals(widget) is None


def test_another_movie_has_no_proposals_of_this_one(found):
    found.viewer.add_image(np.zeros((3, 40, 40)), name="other")
    found.controls.image.layer = found.viewer.layers["other"]
    assert proposals(found) is None


def test_proposals_lie_where_the_movie_lies(open_widget, hands, cells):
    widget = open_widget(cells[0], scale=(2, 0.5, 0.5), translate=(4, 10, 20))
    widget.controls.diameter.setValue(12)
    find(widget, hands)
    assert hands.says(widget).startswith("Found 4 cells")
    image, layer = widget.controls.image.layer, proposals(widget)
    np.testing.assert_allclose(layer.scale, image.scale)
    np.testing.assert_allclose(layer.translate, image.translate)


def test_dashes_lie_on_the_inside_of_outlines_and_leave_gaps():
    labels = disks([DISKS], radius=12)[1][0].astype(np.uint16)
    lines = dashed(labels, 1)
    on = lines > 0
    assert (lines[on] == labels[on]).all()
    edge = np.zeros_like(on)
    edge[1:-1, 1:-1] = (
        (labels[1:-1, 1:-1] != labels[:-2, 1:-1])
        | (labels[1:-1, 1:-1] != labels[2:, 1:-1])
        | (labels[1:-1, 1:-1] != labels[1:-1, :-2])
        | (labels[1:-1, 1:-1] != labels[1:-1, 2:])
    ) & (labels[1:-1, 1:-1] > 0)
    assert not on[~edge].any()
    assert 0.3 < on.sum() / edge.sum() < 0.7
    assert HIDDEN == 0


def test_a_movie_that_is_removed_while_its_cells_are_looked_for_leaves_the_next_one_alone(open_widget, hands, cells):
    widget = open_widget(cells[0])
    image = widget.controls.image.layer
    widget.controls.finding.find.click()
    widget.viewer.layers.remove(image)
    other = widget.viewer.add_image(cells[0], name="the next")
    hands.finish(widget)
    assert widget.source.image is other and proposals(widget) is None
    assert "Looking for cells" not in hands.says(widget)
    assert widget.session is widget.jobs.sessions.find(widget.source)
    hands.box(widget, 0, 1, 1, 20, 20)
    hands.settle(widget)
    assert set(widget.session.prompts.object_ids) == {1}
