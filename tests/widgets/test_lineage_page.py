"""The page of divisions in a real viewer: proposals with pictures, what is accepted, the tree, links and the tracks."""

import numpy as np
import pytest
from qtpy.QtCore import QPoint
from qtpy.QtTest import QTest
from tests.core.session.test_dividing import BORN, DAUGHTERS, IMAGES, LABELS, N
from tests.widgets import mouse
from tests.widgets.mouse import LEFT, NO_KEY

from napari_mosam import MaskPrompt
from napari_mosam.core.lineage.tree import LineageTree
from napari_mosam.core.results.objects import ObjectSummary
from napari_mosam.widgets.lineage.pictures import DAUGHTERS as COLORS
from napari_mosam.widgets.lineage.pictures import SIDE
from napari_mosam.widgets.lineage.tree_view import TreeCanvas
from napari_mosam.widgets.sessions.threads import JobEnd


@pytest.fixture
def ran(open_widget, hands):
    """A dock in which a disk was followed that divides, and one that does not; and its page."""
    widget = open_widget(IMAGES, show=True, scale=(1, 0.5, 0.5))
    widget.session.prompts = [MaskPrompt.from_frame(i, 0, LABELS[0] == i) for i in (1, 2)]
    hands.settle(widget)
    hands.run(widget)
    widget.pages.turn_to("Lineage")
    hands.qtbot.waitUntil(lambda: widget.pages.page("Lineage").tree.canvas.tree.n_rows == 2, timeout=20_000)
    return widget, widget.pages.page("Lineage")


def press(button):
    QTest.mouseClick(button, LEFT)


def looked(widget, page, hands, button=None):
    """Press a button that looks for divisions, and wait for its cards."""
    press(button or page.find)
    hands.finish(widget)
    hands.qtbot.waitUntil(lambda: len(page.cards.cards) == len(page._proposals), timeout=20_000)
    return [card.proposal for card in page.cards.cards]


def divided(widget, page, hands):
    """Wait until a division is done, and the tree shows it."""
    hands.finish(widget)
    hands.qtbot.waitUntil(lambda: page.tree.canvas.tree.n_rows == 3, timeout=20_000)
    return widget.session.result.parents


def tracks(widget, hands):
    hands.settle(widget)
    hands.qtbot.wait(20)
    return hands.layer(widget, "tracks")


def test_a_proposal_is_shown_with_pictures_and_accepted_in_one_undoable_step(ran, hands):
    widget, page = ran
    before, steps = hands.stored(widget), widget.session.history
    (proposal,) = looked(widget, page, hands)
    card = page.cards.cards[0]
    assert (proposal.mother, proposal.frame) == (1, BORN)
    assert widget.session.history == steps and np.array_equal(hands.stored(widget), before)
    press(card.go)
    assert widget.frame == BORN and widget.controls.object_id.value() == 1
    press(card.accept)
    assert divided(widget, page, hands) == {3: 1, 4: 1}
    assert f"Cell 1 divides on frame {BORN} into cells 3 and 4" in hands.says(widget)
    assert page.cards.cards == [] and len(widget.session.history) == len(steps) + 1
    assert (hands.stored(widget)[-1] == 3).any() and (hands.stored(widget)[-1] == 4).any()
    hands.undo(widget)
    np.testing.assert_array_equal(hands.stored(widget), before)
    hands.qtbot.waitUntil(lambda: page.tree.canvas.tree.n_rows == 2, timeout=20_000)


@pytest.mark.slow
def test_pictures_show_the_mother_before_and_her_daughters_outlined(ran, hands):
    from napari_mosam.widgets.lineage.pictures import division_pictures

    widget, page = ran
    (proposal,) = looked(widget, page, hands)
    one, two = division_pictures(widget.source, widget.session.result, proposal)
    assert one.shape == two.shape == (SIDE, SIDE, 3)
    assert (one == 255).all(-1).any() and all((two == color).all(-1).any() for color in COLORS)
    columns = [np.nonzero((two == color).all(-1))[0].mean() for color in COLORS]
    assert abs(columns[0] - columns[1]) > SIDE / 4


@pytest.mark.slow
def test_what_is_rejected_does_not_come_again(ran, hands):
    widget, page = ran
    looked(widget, page, hands)
    press(page.cards.cards[0].reject)
    hands.settle(widget)
    assert page.cards.cards == [] and "not proposed again" in hands.says(widget)
    press(page.find)
    hands.finish(widget)
    assert page.cards.cards == [] and "No division was found" in page.found.text()


@pytest.mark.slow
def test_the_object_in_hand_divides_on_the_frame_shown(ran, hands):
    widget, page = ran
    widget.viewer.dims.set_point(0, BORN + 1)
    widget.controls.object_id.setValue(1)
    (proposal,) = looked(widget, page, hands, page.here)
    assert (proposal.mother, proposal.frame) == (1, BORN + 1)
    widget.viewer.dims.set_point(0, 2)
    press(page.here)
    hands.finish(widget)
    assert "No two cells are seen" in hands.says(widget)


def test_two_clicks_divide_it_and_a_drag_is_none(ran, hands):
    widget, page = ran
    widget.viewer.dims.set_point(0, BORN)
    widget.controls.object_id.setValue(1)
    press(page.clicked)
    mouse.drag(widget.viewer, hands.qtbot, (12.5, 16), (15, 20))
    assert page._clicks.waiting and not page._clicks._places
    places = [np.argwhere(mask).mean(0) for mask in DAUGHTERS]
    for y, x in places:
        mouse.press(widget.viewer, hands.qtbot, (y / 2, x / 2))  # px of .5
    assert not page._clicks.waiting
    assert divided(widget, page, hands) == {3: 1, 4: 1}


def test_the_line_of_a_mother_reaches_the_bracket_of_her_daughters(qtbot):
    kin = ((1, 0, 2, None), (2, 3, 9, 1), (3, 3, 9, 1))
    objects = [ObjectSummary(i, first, last, 1, 1, 1.0, 1.0, first, "", mother) for i, first, last, mother in kin]
    canvas = TreeCanvas()
    qtbot.addWidget(canvas)
    canvas.resize(400, 80)
    canvas.color_of = lambda object_id: (1.0, 0.0, 0.0, 1.0)
    canvas.show_tree(LineageTree.of(objects), 10)
    row, picture = next(line.row for line in canvas.tree.lines if line.object_id == 1), canvas.grab().toImage()
    way = range(round(canvas.x_of(1)), round(canvas.x_of(3)))
    colors = [picture.pixelColor(x, round(canvas.y_of(row))) for x in way]
    assert all(color.red() > 200 and color.green() < 100 for color in colors)


@pytest.mark.slow
def test_a_click_in_the_tree_leads_to_the_object_and_the_frame(ran, hands):
    widget, page = ran
    canvas = page.tree.canvas
    line = next(line for line in canvas.tree.lines if line.object_id == 2)
    x, y = canvas.x_of(7), canvas.y_of(line.row)
    QTest.mouseClick(canvas, LEFT, NO_KEY, QPoint(round(x), round(y)))
    assert widget.frame == 7 and widget.controls.object_id.value() == 2
    assert canvas.frame == 7 and canvas.in_hand == 2


def test_kin_is_linked_and_broken_by_hand(ran, hands):
    widget, page = ran
    looked(widget, page, hands)
    press(page.cards.cards[0].accept)
    divided(widget, page, hands)
    widget.controls.object_id.setValue(3)
    assert page.broken.isEnabled() and "daughter of 1" in page.by_hand.text()
    press(page.broken)
    hands.settle(widget)
    assert widget.session.result.parents == {4: 1}
    hands.qtbot.waitUntil(lambda: not page.broken.isEnabled(), timeout=10_000)
    assert page._possible_mothers(3)[0] == 1
    page.link_to(3, 2)
    hands.settle(widget)
    assert widget.session.result.parents == {3: 2, 4: 1}


def test_the_layer_of_tracks_has_the_graph_after_every_change(ran, hands):
    widget, page = ran
    page.tracks.box.setChecked(True)
    layer = tracks(widget, hands)
    assert layer.graph == {} and {*layer.data[:, 0]} == {1, 2}
    np.testing.assert_array_equal(layer.scale, widget.source.image.scale)
    widget.session.divide(1, BORN, DAUGHTERS)
    assert tracks(widget, hands) is layer
    assert layer.graph == {3: [1], 4: [1]} and {*layer.data[:, 0]} == {1, 2, 3, 4}
    assert len(layer.features["object"]) == len(layer.data)
    widget.pages.turn_to("Track")
    widget.session.unlink(3)
    assert tracks(widget, hands).graph == {4: [1]}
    hands.undo(widget)
    hands.undo(widget)
    assert tracks(widget, hands).graph == {} and {*layer.data[:, 0]} == {1, 2}
    hands.redo(widget)
    assert tracks(widget, hands).graph == {3: [1], 4: [1]}
    rows = layer.data[layer.data[:, 0] == 3]
    assert rows[:, 1].tolist() == list(range(BORN, N))
    widget.viewer.layers.remove(layer)
    widget.session.rename(2, "other")
    assert tracks(widget, hands) is None and not page.tracks.box.isChecked()


def test_without_the_page_nothing_is_read(open_widget, hands, monkeypatch):
    from napari_mosam.core.lineage.tree import TrackTable

    def refuse(*given):
        raise AssertionError

    monkeypatch.setattr(LineageTree, "of", refuse)
    monkeypatch.setattr(TrackTable, "of", refuse)
    widget = open_widget(IMAGES)
    widget.session.prompts = [MaskPrompt.from_frame(1, 0, LABELS[0] == 1)]
    hands.settle(widget)
    hands.run(widget)
    assert not widget.pages._made and not widget.pages.listeners


@pytest.mark.slow
def test_a_search_that_was_cancelled_does_not_say_that_there_is_nothing(ran, hands):
    widget, page = ran
    page._seen(1, 3, JobEnd())
    assert hands.says(widget).startswith("Cancelled")
