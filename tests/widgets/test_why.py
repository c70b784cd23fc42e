"""The page 'Why': what it tells of a mask, which layers it draws, what it compares, and what it leaves behind."""

import sys
import time
from functools import partial

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from tests.widgets.conftest import PLACES, QUICK

from napari_mosam import EngineConfig, MemoryConfig, MotionConfig
from napari_mosam.core.config.run import RunConfig
from napari_mosam.core.inspection.findings import ExpectedObject, Inspection, MemoryComparison, MemoryInspection
from napari_mosam.core.masks.region import Region
from napari_mosam.core.results.frame import Cue, ObjectState
from napari_mosam.core.windows.window import Window
from napari_mosam.widgets.layers.tags import tag_of
from napari_mosam.widgets.picture.heat import LEFT_OUT, NOTHING, colors, encoded, inside_rims
from napari_mosam.widgets.why.flow import arrows_of
from napari_mosam.widgets.why.layers import BOTH, CONFIDENCE, FLOW, PLACE, outline_on
from napari_mosam.widgets.why.told import BOX, EXPECTED, POINT, WINDOW, lines_of, on_frame
from napari_mosam.widgets.why.words import comparison_sentence, cue_lines, memory_lines, why

MOVING = RunConfig(engine=EngineConfig(motion=MotionConfig(), memory=MemoryConfig(pixels="bias")))
SQUARE = Region((10, 10), np.ones((8, 8), bool))


@pytest.fixture
def followed(open_widget, movie, hands):
    """A function: a dock in which three disks were followed, on frame 4, with the page in sight."""

    def follow(config=QUICK, *, page=True):
        widget = open_widget(movie, show=True)
        widget.controls.settings = config
        hands.mark(widget, 1, 2, 3)
        hands.run(widget)
        widget.viewer.dims.set_point(0, 4)
        widget.controls.object_id.setValue(1)
        if page:
            turn_to(widget, hands, "Why")
        return widget

    return follow


def turn_to(widget, hands, title):
    bar = widget.pages.tabBar()
    row = next(i for i in range(bar.count()) if bar.tabText(i) == title)
    QTest.mouseClick(bar, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, bar.tabRect(row).center())
    hands.settle(widget)


def page_of(widget):
    return widget.pages.page("Why")


def panel_of(widget):
    return page_of(widget).panel


def press(widget, hands, button):
    """A true click, on the mark of a box to tick."""
    at = QPoint(8, button.height() // 2)
    QTest.mouseClick(button, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, at)
    hands.finish(widget)


def ours(widget, *roles):
    tags = [(layer, tag_of(layer)) for layer in widget.viewer.layers]
    return [layer for layer, tag in tags if tag is not None and tag.role in roles]


EVERY = (CONFIDENCE, PLACE, FLOW, *BOTH.values())


# ---- what it tells


def test_it_tells_which_frames_were_remembered_and_a_click_on_one_goes_there_and_back(followed, hands):
    widget = followed()
    panel = panel_of(widget)
    assert panel.title.text() == "Object 1 on frame 4"
    assert panel.text.text().startswith("Followed forward, from frame 3.")
    told = widget.session.inspect(1, 4)
    assert [b.text().split("\n")[0] for b in panel.pictures.buttons] == [f"frame {read.t}" for read in told.memory]
    assert "marked by you" in panel.pictures.buttons[-1].text()
    assert all(not button.icon().isNull() for button in panel.pictures.buttons)
    press(widget, hands, panel.pictures.buttons[1])
    assert widget.frame == 2
    assert panel.title.text() == "Object 1 on frame 4; you look at its memory of frame 2"
    assert [b.text().split("\n")[0] for b in panel.pictures.buttons] == [f"frame {read.t}" for read in told.memory]
    press(widget, hands, panel.back)
    assert widget.frame == 4 and panel.title.text() == "Object 1 on frame 4"


@pytest.mark.slow
def test_another_frame_or_object_is_another_question(followed, hands):
    widget = followed()
    panel = panel_of(widget)
    widget.viewer.dims.set_point(0, 0)
    hands.settle(widget)
    assert "You marked it on this frame" in panel.text.text()
    assert panel.memory.text() == "No earlier frame was read for this mask."
    widget.viewer.dims.set_point(0, 6)
    widget.controls.object_id.setValue(3)
    hands.settle(widget)
    assert panel.title.text() == "Object 3 on frame 6"
    assert len(panel.pictures.buttons) == len(widget.session.inspect(3, 6).memory)


def test_a_painted_mask_is_said_to_be_the_users_as_soon_as_it_is(followed, hands):
    widget = followed()
    where = np.zeros((64, 64), bool)
    where[14:20, 18:26] = True
    hands.paint(widget, 4, where, 1)
    hands.settle(widget)
    assert "You painted or corrected it" in panel_of(widget).text.text()


@pytest.mark.slow
def test_of_frames_that_go_by_quickly_the_last_one_is_told(followed, hands):
    widget = followed()
    asked = []
    inspect = widget.session.inspect
    widget.session.inspect = lambda *key: (asked.append(key), time.sleep(0.05), inspect(*key))[-1]
    for frame in (0, 1, 2, 3, 5, 6, 7):
        widget.viewer.dims.set_point(0, frame)
        hands.qtbot.wait(5)
    hands.settle(widget)
    assert panel_of(widget).title.text() == "Object 1 on frame 7"
    assert f"from frame {6}" in panel_of(widget).text.text()
    assert asked[-1] == (1, 7) and len(asked) < 7


@pytest.mark.parametrize("page_first", [True, False])
def test_before_there_is_anything_it_says_what_to_do(open_widget, movie, hands, page_first):
    widget = open_widget(movie if page_first else None)
    turn_to(widget, hands, "Why")
    words = panel_of(widget).text.text()
    assert "press Track first" in words if page_first else "Open a movie" in words


@pytest.mark.slow
def test_an_object_that_is_not_in_the_result_is_said_not_to_be(followed, hands):
    widget = followed()
    widget.controls.object_id.setValue(17)
    hands.settle(widget)
    panel = panel_of(widget)
    assert panel.text.text() == "Object 17 was not followed yet. Once it is marked, press Track."
    assert not panel.pictures.buttons


# ---- layers


def test_memory_confidence_lies_on_the_frames_that_were_remembered_where_the_movie_lies(open_widget, movie, hands):
    widget = open_widget(movie, show=True, scale=(2, 0.5, 0.5), translate=(0, 10, 20))
    widget.controls.settings = MOVING
    hands.mark(widget, 1)
    hands.run(widget)
    widget.viewer.dims.set_point(0, 8)
    turn_to(widget, hands, "Why")
    press(widget, hands, panel_of(widget).confidence)
    (layer,) = ours(widget, CONFIDENCE)
    image = widget.controls.image.layer
    np.testing.assert_allclose(layer.scale, image.scale)
    np.testing.assert_allclose(layer.translate, image.translate)
    told = widget.session.inspect(1, 4)
    drawn = [t for t in range(len(movie)) if np.asarray(layer.data[t]).any()]
    assert drawn == sorted(read.t for read in told.memory)
    shown = np.asarray(layer.data[told.memory[0].t])
    y0, x0, y1, x1 = told.memory[0].mask.box
    assert shown[(y0 + y1) // 2, (x0 + x1) // 2] > NOTHING
    assert panel_of(widget).bar.isVisible()
    press(widget, hands, panel_of(widget).confidence)
    assert not layer.visible and not panel_of(widget).bar.isVisible()


def test_where_it_looked_is_drawn_on_that_frame_in_the_colours_of_the_legend(followed, hands):
    widget = followed(MOVING)
    panel = panel_of(widget)
    press(widget, hands, panel.place)
    (layer,) = ours(widget, PLACE)
    assert set(layer.data[:, 0, 0]) == {4.0}
    corners = layer.data[:4, 0, 1:]
    window = widget.session.inspect(1, 4).window
    np.testing.assert_allclose(corners.min(0), window.start_yx, atol=1e-3)
    np.testing.assert_allclose(corners.max(0) - corners.min(0), window.size_yx, atol=1e-3)
    assert len(np.unique(layer.edge_color, axis=0)) == 4
    assert all(words in panel.legend.text() for words in ("network saw", "expected it", "box", "points"))
    widget.viewer.dims.set_point(0, 5)
    hands.settle(widget)
    assert ours(widget, PLACE) == [layer], "made once, then given other data"
    assert set(layer.data[:, 0, 0]) == {5.0}


@pytest.mark.slow
def test_motion_of_the_frame_is_drawn_with_heads_and_its_scale_is_said(followed, hands):
    widget = followed()
    panel = panel_of(widget)
    press(widget, hands, panel.flow)
    (layer,) = ours(widget, FLOW)
    arrows = arrows_of(widget.session, 4)
    assert layer.vector_style == "arrow" and layer.length == arrows.times
    assert f"drawn {arrows.times:g} times as long" in panel.flow_note.text() or arrows.times == 1
    assert f"the longest is {arrows.longest:.1f} px" in panel.flow_note.text()
    np.testing.assert_allclose(layer.data[:, 1, 1:], arrows.vectors[:, 1], atol=1e-5)
    right = layer.data[np.hypot(*(layer.data[:, 0, 1:] - PLACES[4][0]).T) < 12]
    assert len(right) and right[:, 1, 2].mean() > 0.3
    widget.viewer.dims.set_point(0, 0)
    hands.settle(widget)
    assert panel.flow_note.text() == "Frame 0 has no frame before it." and not layer.visible


@pytest.mark.slow
def test_layers_go_when_the_page_is_left_and_come_back_with_it(followed, hands):
    widget = followed(MOVING)
    panel = panel_of(widget)
    for switch in (panel.confidence, panel.place, panel.flow):
        press(widget, hands, switch)
    assert len(ours(widget, *EVERY)) == 3
    turn_to(widget, hands, "Track")
    hands.qtbot.waitUntil(lambda: not ours(widget, *EVERY), timeout=20_000)
    assert [layer.name for layer in widget.viewer.layers if layer.visible and "memory" in layer.name] == []
    turn_to(widget, hands, "Why")
    assert len(ours(widget, *EVERY)) == 3
    widget.shut_down()
    hands.qtbot.waitUntil(lambda: not ours(widget, *EVERY), timeout=20_000)


# ---- SAM 2's memory | MoSAM's


def test_both_memories_are_compared_and_the_result_stays(followed, hands, truth):
    widget = followed()
    widget.viewer.add_labels(truth, name="truth", visible=False)
    panel, before = panel_of(widget), hands.stored(widget)
    press(widget, hands, panel.with_truth)
    assert panel.truth.layer.name == "truth"
    press(widget, hands, panel.compare)
    found = widget.session.compare(1)
    same = int((found.agreement >= 0.9).sum())
    assert f"on all {same} frames" in panel.compared.text() if same == 8 else f"on {same} of 8" in panel.compared.text()
    j = found.j(truth)
    assert f"{j['mosam'].mean():.2f}".removeprefix("0") + " with MoSAM's" in panel.compared.text()
    sam2, mosam = (ours(widget, BOTH[which])[0] for which in ("sam2", "mosam"))
    region = found.mosam[4]
    assert np.asarray(mosam.data[4])[region.origin_yx[0] :].any()
    assert not (np.asarray(mosam.data[4]).astype(bool) & np.asarray(sam2.data[4]).astype(bool)).any() or same < 8
    np.testing.assert_array_equal(hands.stored(widget), before)
    assert widget.session.history[-1] == "the run"
    press(widget, hands, panel.outlines)
    assert not sam2.visible and not mosam.visible


@pytest.mark.slow
def test_a_comparison_can_be_cancelled_and_says_how_far_it_came(followed, hands, engine):
    widget = followed()
    engine.model.waits = partial(time.sleep, 0.05)
    panel = panel_of(widget)
    QTest.mouseClick(panel.compare, Qt.MouseButton.LeftButton)
    hands.qtbot.waitUntil(lambda: widget.controls.run_bar.bar.value() > 1, timeout=20_000)
    widget.controls.propagate.click()
    hands.finish(widget)
    assert "frames that were compared before Cancel" in panel.compared.text()


@pytest.mark.slow
def test_an_object_without_a_mark_is_refused_in_words(followed, hands, monkeypatch):
    widget = followed()
    popped = []
    monkeypatch.setattr("napari.utils.notifications.show_error", popped.append)
    widget.controls.object_id.setValue(17)
    press(widget, hands, panel_of(widget).compare)
    assert hands.says(widget) == "Object 17 has no mark to follow it from; mark it first" and not popped


# ---- nothing in the loop


@pytest.mark.slow
def test_a_run_does_nothing_for_the_page(followed, hands, tmp_path):
    widget = followed(MOVING, page=False)
    called = set()

    def note(frame, event, _):
        name = frame.f_code.co_filename
        if event == "call" and ("/core/inspection/" in name or "/widgets/why/" in name):
            called.add(name)

    files = sorted(path.relative_to(widget.session.path) for path in widget.session.path.rglob("*"))
    sys.setprofile(note)
    try:
        with_page_made = widget.pages.page("Why")
        called.clear()
        widget.session.run(anew=True)
        hands.settle(widget)
    finally:
        sys.setprofile(None)
    assert called == set()
    with_page_made.close()
    again = sorted(path.relative_to(widget.session.path) for path in widget.session.path.rglob("*"))
    assert [path for path in again if "journal" not in str(path)] == [p for p in files if "journal" not in str(p)]


# ---- words and pictures


def inspection(**other):
    given = {
        "object_id": 1,
        "frame": 5,
        "direction": "forward",
        "decoded_with": "memory",
        "window": Window.square((20, 20), 30),
        "shift_yx": (1.0, -2.04),
        "cues": (Cue("drift", (0.0, 0.0), 1.0), Cue("flow", (1.0, -2.04), 0.87, used=True), Cue("kalman", (0, 0), 0)),
        "memory": (),
        "expected": ExpectedObject(4, SQUARE, SQUARE.box, ((13.0, 13.0),), used=False),
    }
    return Inspection(**{**given, **other})


def test_words_are_those_of_a_person():
    said = " ".join(why(inspection(), ObjectState.PRESENT))
    assert "moved with the cell as optical flow said: 1.0 px down and 2.0 px left since frame 4." in said
    assert "off in the settings" in said
    assert cue_lines(inspection().cues) == [
        ("the whole image", "no motion, 1 sure", ""),
        ("optical flow", "1.0 px down and 2.0 px left, .87 sure", "used"),
        ("its path so far", "was not sure", ""),
    ]
    backward = " ".join(why(inspection(direction="backward", cues=()), ObjectState.LOST))
    assert "It was not found here. Followed backward, from frame 6." in backward
    assert "nothing was sure that it had moved" in backward


def test_a_remembered_frame_that_is_gone_is_said_to_be():
    assert memory_lines(MemoryInspection(3, 0.5))[0] == "frame 3\ngone"
    lost = MemoryInspection(3, 0.5, prompted=False, state=ObjectState.LOST)
    assert memory_lines(lost)[0] == "frame 3\ntracked\nrated .50, lost"


def test_how_alike_both_memories_are_is_one_sentence():
    found = MemoryComparison(2, (5, 6, 7), (SQUARE, None, SQUARE), (SQUARE, None, None), (30, 30))
    assert comparison_sentence(found) == (
        "Object 2: the same mask (IoU .9 or more) on 2 of 3 frames; they differ most on frame 7 (IoU .00).",
        7,
    )
    alike = MemoryComparison(2, (5,), (SQUARE,), (SQUARE,), (30, 30))
    assert comparison_sentence(alike) == ("Object 2: the same mask (IoU .9 or more) on the one frame there is.", None)
    none = MemoryComparison(2, (), (), (), (30, 30))
    assert comparison_sentence(none, complete=False) == ("Cancelled before a frame was compared.", None)


def test_equal_masks_have_two_outlines_beside_each_other():
    found = MemoryComparison(2, (5,), (SQUARE,), (SQUARE,), (30, 30))
    sam2, mosam = (outline_on(found, which, 5, (30, 30)) > 0 for which in ("sam2", "mosam"))
    inside = np.zeros((30, 30), bool)
    inside[10:18, 10:18] = True
    assert not (sam2 & inside).any() and not (mosam & ~inside).any()
    assert mosam.sum() == 28 and sam2.sum() == 32
    assert not outline_on(found, "sam2", 4, (30, 30)).any()
    edge = MemoryComparison(2, (5,), (Region((0, 0), np.ones((4, 4), bool)),), (None,), (30, 30))
    assert outline_on(edge, "sam2", 5, (30, 30))[4, 0] == 1


def test_lines_are_the_window_the_expected_mask_its_box_and_its_points():
    lines = lines_of(inspection())
    assert set(lines.kinds) == {WINDOW, EXPECTED, BOX, POINT}
    window = lines.vectors[lines.kinds == WINDOW]
    np.testing.assert_allclose(window[:, 0].min(0), (5, 5))
    np.testing.assert_allclose(window.sum(1).max(0), (35, 35))
    box = lines.vectors[lines.kinds == BOX]
    np.testing.assert_allclose((box[:, 0].min(0), box[:, 0].max(0)), ((9.5, 9.5), (17.5, 17.5)))
    outline = lines.vectors[lines.kinds == EXPECTED]
    np.testing.assert_allclose(outline[:, 0].max(0), (17.5, 17.5))
    assert set(lines_of(inspection(expected=None)).kinds) == {WINDOW}


def test_pixels_that_the_filter_left_out_are_seen():
    sure = np.full((4, 4), 0.8, np.float32)
    weight = np.ones((4, 4), np.float32)
    weight[0, 0] = 0
    read = MemoryInspection(3, 0.5, False, ObjectState.PRESENT, Window.square((20, 20), 32), SQUARE, sure, weight)
    values = on_frame(read, (40, 40))
    assert (values[4:12, 4:12] == LEFT_OUT).all() and values[13, 13] == encoded(np.array(0.8))
    assert values[39, 39] == NOTHING


def test_colours_rise_in_lightness_and_nothing_is_clear():
    shades = colors()
    assert shades.shape == (256, 4) and shades[NOTHING, 3] == 0 and (shades[1:, 3] == 1).all()
    light = shades[1:LEFT_OUT, :3] @ (0.2126, 0.7152, 0.0722)
    assert (np.diff(light) > -1e-3).all() and light[-1] > light[0] + 0.5
    assert encoded(np.array([np.nan, 0.0, 1.0])).tolist() == [NOTHING, 1, LEFT_OUT - 1]
    assert encoded(np.array([0.5, 0.4, 1.0]), 0.5).tolist() == [1, 1, LEFT_OUT - 1]


def test_confidence_leaves_the_rims_of_cells_to_their_colours():
    labels = np.zeros((20, 20), np.uint16)
    labels[4:16, 4:16] = 3
    values = inside_rims(np.where(labels > 0, 255, 0).astype(np.uint8), labels, 2)
    assert (values[6:14, 6:14] == LEFT_OUT - 1).all()
    assert values.astype(bool).sum() == 64
