"""The review page: the worst first, with keys; accepting locks; a random sample; and the heat strip."""

import numpy as np
import pytest
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QWheelEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QAbstractButton, QApplication, QDockWidget, QLabel
from tests.widgets.test_actions import table

from napari_mosam.core.review.queue import review_queue
from napari_mosam.widgets.review.page import TITLE
from napari_mosam.widgets.review.panels import ReviewPanel
from napari_mosam.widgets.review.strip_dock import TITLE as STRIP

SHIFT = Qt.KeyboardModifier.ShiftModifier


@pytest.fixture
def reviewed(open_widget, movie, truth, hands, qtbot):
    """A function: a dock after a run in which disk 1 is not there on frame 6, disk 2 not on frames 3 and 4."""

    def opened(turn=True, show=False):
        images = movie.copy()
        images[6][truth[6] == 1] = 0
        images[3:5][truth[3:5] == 2] = 0
        widget = open_widget(images, show=show)
        widget.viewer.window._qt_window.resize(1000, 700)
        hands.mark(widget, 1, 2, 3)
        hands.run(widget)
        if not turn:
            return widget
        widget.pages.turn_to(TITLE)
        qtbot.waitUntil(lambda: page_of(widget).reviewed is not None, timeout=10_000)
        return widget, page_of(widget)

    return opened


def page_of(widget):
    return widget.pages.page(TITLE)


def key(widget, which, modifier=Qt.KeyboardModifier.NoModifier):
    QTest.keyClick(widget.viewer.window._qt_viewer.canvas.native, which, modifier)


def here(widget):
    """Object in hand, and the frame shown."""
    return widget.controls.object_id.value(), widget.frame


def rows(part):
    model = part.list.model()
    return [tuple(model.data(model.index(r, c)) for c in range(model.columnCount())) for r in range(model.rowCount())]


def strip_dock(widget):
    found = widget.viewer.window._qt_window.findChildren(QDockWidget)
    return next((dock for dock in found if dock.windowTitle() == STRIP and dock.widget() is not None), None)


# ---- the queue


def test_it_lists_what_is_unsure_the_worst_first(reviewed):
    _, page = reviewed()
    assert rows(page.widget.queue) == [("2", "3\u20134", "not found", ".00"), ("1", "6", "not found", ".00")]
    assert page.widget.queue.left.text().startswith("<b>2 places left</b> (3 frames)")


def test_keys_lead_through_it_and_take_each_object_in_hand(reviewed):
    widget, _ = reviewed(show=True)
    places = []
    for which in (Qt.Key.Key_J, Qt.Key.Key_J, Qt.Key.Key_J, Qt.Key.Key_K):
        key(widget, which)
        places.append(here(widget))
    assert places == [(2, 3), (1, 6), (2, 3), (1, 6)]


@pytest.mark.slow
def test_a_key_opens_the_page_and_goes_to_the_first_place(reviewed, hands, qtbot):
    widget = reviewed(turn=False, show=True)
    assert not widget.pages._made
    key(widget, Qt.Key.Key_J)
    qtbot.waitUntil(lambda: here(widget) == (2, 3), timeout=10_000)


def test_accepting_locks_goes_on_and_is_undone(reviewed, hands, qtbot):
    widget, page = reviewed(show=True)
    key(widget, Qt.Key.Key_J)
    key(widget, Qt.Key.Key_J, SHIFT)
    qtbot.waitUntil(lambda: len(rows(page.widget.queue)) == 1 and here(widget) == (1, 6), timeout=10_000)
    hands.settle(widget)
    result = widget.session.result
    assert [t for t in range(8) if 2 in result.locked(t)] == [3, 4]
    assert hands.says(widget).startswith("Object 2 is accepted on frames 3 to 4")
    page.widget.queue.accept.click()
    qtbot.waitUntil(lambda: not rows(page.widget.queue), timeout=10_000)
    assert "Nothing is left to look at" in page.widget.queue.left.text()
    hands.undo(widget)
    qtbot.waitUntil(lambda: len(rows(page.widget.queue)) == 1, timeout=10_000)
    assert not widget.session.result.locked(6)


def test_fix_takes_the_box_tool_and_the_queue_follows_the_correction(reviewed, hands, qtbot):
    widget, page = reviewed(show=True)
    key(widget, Qt.Key.Key_J)
    key(widget, Qt.Key.Key_K, SHIFT)
    assert widget.controls.box.isChecked() and here(widget) == (2, 3)
    assert "drag a box" in hands.says(widget)
    hands.box(widget, 4, 38, 34, 50, 46)
    hands.run(widget)
    qtbot.waitUntil(
        lambda: page._shown is widget.session.result and ("2", "3", "not found", ".00") in rows(page.widget.queue)
    )
    assert ("1", "6", "not found", ".00") in rows(page.widget.queue)


def test_not_here_takes_the_frame_off_the_queue(reviewed, hands, qtbot):
    widget, page = reviewed()
    page.widget.queue.forth.click()
    page.widget.queue.forth.click()
    assert here(widget) == (1, 6)
    page.widget.queue.absent.click()
    hands.finish(widget)
    qtbot.waitUntil(lambda: [row[0] for row in rows(page.widget.queue)] == ["2"], timeout=10_000)
    assert page._queue.at == 0 and not page._queue.seen, "what is next was not looked at yet"
    page.step(1)
    assert here(widget) == (2, 3)


def test_what_is_not_chosen_is_not_accepted(reviewed, hands):
    widget, page = reviewed()
    before = widget.session.history
    page.accept()
    assert "No place is chosen" in hands.says(widget) and widget.session.history == before


@pytest.mark.slow
def test_what_is_not_in_sight_is_not_accepted(reviewed, hands):
    widget, page = reviewed()
    before = widget.session.history
    page.step(1)
    widget.viewer.dims.set_point(0, 7)
    page.accept()
    assert hands.says(widget).startswith("Not in sight: object 2, frames 3 to 4") and widget.session.history == before
    page.go_to(1, 6)
    assert page._queue.at == 1, "a click in the strip chooses the place in the list"
    page.accept()
    hands.settle(widget)
    assert widget.session.history[-1] == "accepting object 1 on frame 6"


def test_before_the_first_run_it_says_what_to_do(open_widget, movie):
    widget = open_widget(movie)
    widget.pages.turn_to(TITLE)
    page = page_of(widget)
    assert "Nothing was followed yet" in page.widget.queue.left.text()
    page.step(1)
    assert strip_dock(widget) is None


def test_the_queue_is_that_of_the_session(reviewed):
    widget, page = reviewed()
    assert page.reviewed.queue == widget.session.queue() == review_queue(widget.session.result)


# ---- near enough


@pytest.mark.slow
def test_the_cell_comes_into_the_middle_and_a_zoom_of_ones_own_stays(reviewed):
    widget, page = reviewed(show=True)
    camera = widget.viewer.scene.camera
    page.step(1)
    first = camera.zoom
    assert camera.center[-2:] == pytest.approx((44, 40), abs=1.5)
    size = min(widget.viewer.canvas.size)
    assert 12 * first == pytest.approx(0.35 * size, rel=0.1)
    camera.zoom = first / 3
    page.step(1)
    assert camera.zoom == pytest.approx(first / 3) and camera.center[-2:] == pytest.approx((20, 25), abs=2)
    page.widget.zoom.setChecked(False)
    center = camera.center
    page.step(1)
    assert camera.center == center
    page.widget.zoom.setChecked(True)
    page.step(1)
    assert camera.zoom == pytest.approx(first, rel=0.1)


def test_masks_are_outlines_while_the_page_is_in_sight(reviewed, hands):
    widget, page = reviewed()
    labels = hands.labels(widget)
    assert labels.contour == 1
    page.widget.outlines.setChecked(False)
    assert labels.contour == 0
    page.widget.outlines.setChecked(True)
    widget.pages.turn_to("Track")
    assert labels.contour == 0
    labels.contour = 3
    widget.pages.turn_to(TITLE)
    assert labels.contour == 3, "what a person chose stays"
    widget.pages.turn_to("Track")
    assert labels.contour == 3


# ---- a random sample


def test_a_random_sample_is_judged_and_kept(reviewed, hands, qtbot):
    widget, page = reviewed(show=True)
    page.widget.parts.setCurrentIndex(1)
    sample = page.widget.sample
    assert sample.list.isHidden() and "Judge a random sample" in sample.about.text()
    sample.n.setValue(4)
    sample.draw.click()
    qtbot.waitUntil(lambda: len(rows(sample)) == 4, timeout=10_000)
    hands.settle(widget)
    audit = widget.session.audit
    assert here(widget) == audit.places[0]
    key(widget, Qt.Key.Key_J, SHIFT)
    qtbot.waitUntil(lambda: here(widget) == audit.places[1], timeout=10_000)
    key(widget, Qt.Key.Key_K, SHIFT)
    qtbot.waitUntil(lambda: here(widget) == audit.places[2], timeout=10_000)
    sample.unclear.click()
    qtbot.waitUntil(lambda: here(widget) == audit.places[3], timeout=10_000)
    hands.settle(widget)
    assert widget.session.audit.verdicts == ("right", "wrong", "not sure", "")
    assert [row[2] for row in rows(sample)] == ["✓ right", "✗ wrong", "? not sure", ""]
    assert sample.sentence.text() == widget.session.audit.sentence()
    sample.copy.click()
    assert QApplication.clipboard().text() == widget.session.audit.sentence()
    hands.undo(widget)
    qtbot.waitUntil(lambda: rows(sample)[2][2] == "", timeout=10_000)


@pytest.mark.slow
def test_a_sample_of_a_result_that_changed_says_so(reviewed, hands, qtbot):
    widget, page = reviewed()
    page.widget.parts.setCurrentIndex(1)
    page.draw()
    qtbot.waitUntil(lambda: page.reviewed.audit is not None, timeout=10_000)
    hands.settle(widget)
    widget.session.correct(3, 5, None, follow=False)
    qtbot.waitUntil(lambda: page.reviewed.audit_is_past, timeout=10_000)
    assert "Masks changed since they were drawn" in page.widget.sample.about.text()


def test_the_line_of_keys_is_written_as_other_text(qtbot):
    panel = ReviewPanel(lambda object_id: (1.0, 1.0, 1.0))
    qtbot.addWidget(panel)
    lines = [label for label in panel.findChildren(QLabel) if label.text().startswith("J next")]
    assert len(lines) == 2 and all(line.isEnabledTo(panel) for line in lines), "grey on grey cannot be read"


# ---- the heat strip


@pytest.mark.slow
def test_the_strip_lies_below_the_picture_while_the_page_is_in_sight(reviewed):
    widget, page = reviewed(show=True)
    dock, window = strip_dock(widget), widget.viewer.window._qt_window
    corner = Qt.Corner.BottomRightCorner
    assert dock.isVisible() and dock.height() < window.height() / 4
    assert window.corner(corner) == Qt.DockWidgetArea.RightDockWidgetArea, "the dock keeps its height"
    widget.pages.turn_to("Track")
    assert dock.isHidden() and page.widget.strip.isChecked()
    assert window.corner(corner) == Qt.DockWidgetArea.BottomDockWidgetArea
    widget.pages.turn_to(TITLE)
    assert dock.isVisible()
    page.widget.strip.setChecked(False)
    assert dock.isHidden()
    page.widget.strip.setChecked(True)
    widget.shut_down()
    assert page.strip.view is None


def test_a_viewer_that_is_closed_takes_the_strip_along(reviewed, qtbot):
    widget, page = reviewed()
    assert page.strip.view is not None
    widget.viewer.close()
    qtbot.waitUntil(lambda: page.strip.view is None, timeout=10_000)


@pytest.mark.slow
def test_it_can_be_closed_by_its_own_button_and_opened_again(reviewed):
    widget, page = reviewed(show=True)
    widget.viewer.window.remove_dock_widget(page.strip.view)
    assert not page.widget.strip.isChecked() and page.strip.view is None
    page.widget.strip.setChecked(True)
    assert page.strip.view.strip.words(2, 3) == "object 2, frame 3: not found"
    dock = strip_dock(widget)
    dock.close()
    assert not page.widget.strip.isChecked()


@pytest.mark.slow
def test_a_click_goes_to_object_and_frame(reviewed, hands):
    widget, page = reviewed(show=True)
    strip = page.strip.view.strip
    for place in ((3, 5), (1, 2)):
        QTest.mouseClick(strip, Qt.MouseButton.LeftButton, pos=strip.point(*place))
        assert here(widget) == place
    assert strip.words(2, 3) == "object 2, frame 3: not found"
    assert strip.words(2, 0) == "object 2, frame 0: marked"
    assert strip.words(1, 2) == "object 1, frame 2: expected IoU 0.90, sure"


@pytest.mark.slow
def test_the_wheel_shows_fewer_frames_and_a_double_click_all(reviewed):
    _, page = reviewed(show=True)
    strip = page.strip.view.strip
    strip.show_heat(big(), {})
    at = strip.point(7, 300)
    event = QWheelEvent(
        QPointF(at),
        QPointF(strip.mapToGlobal(at)),
        QPoint(),
        QPoint(0, 120 * 8),
        Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier,
        Qt.ScrollPhase.NoScrollPhase,
        False,
    )
    QApplication.sendEvent(strip, event)
    assert len(strip.frames) == round(1000 / 1.25**8) and 300 in strip.frames
    assert abs(strip.point(7, 300).x() - at.x()) < 4, "the frame under the mouse stays there"
    QTest.mouseDClick(strip, Qt.MouseButton.LeftButton, pos=at)
    QTest.mouseRelease(strip, Qt.MouseButton.LeftButton, pos=at)  # Qt's own double click never lets the button go
    assert strip.frames == range(1000)


@pytest.mark.slow
def test_rows_can_be_filtered_and_sorted(reviewed):
    widget, page = reviewed(show=True)
    view = page.strip.view
    assert view.strip._heat.object_ids == (2, 1, 3)
    view.order.setCurrentIndex(1)
    assert view.strip._heat.object_ids == (1, 2, 3)
    view.which.setCurrentIndex(1)
    assert view.strip._heat.object_ids == (1, 2)
    view.which.setCurrentIndex(2)
    widget.controls.object_id.setValue(3)
    assert view.strip._heat.object_ids == (3,)


# ---- nothing where it is not wanted, and nothing but calls on the session


def test_it_costs_nothing_where_nobody_opened_it(reviewed, monkeypatch):
    from napari_mosam.widgets.review import reviewed as module

    read = []
    monkeypatch.setattr(module.Reviewed, "read", classmethod(lambda cls, result: read.append(result)))
    widget = reviewed(turn=False)
    widget.viewer.dims.set_point(0, 3)
    assert not read and not widget.pages._made and strip_dock(widget) is None


def test_every_button_of_the_page_is_in_the_table_of_what_the_dock_does(reviewed):
    import re

    from tests.widgets.test_actions import ADR, ARROWS

    _, page = reviewed()
    text = ADR.read_text(encoding="utf-8")
    named = " ".join([*table(), *re.findall(r"^Draw.*session\.$", text, re.MULTILINE)])
    texts = [re.sub(r" \d+ frames", "", b.text()) for b in page.widget.findChildren(QAbstractButton) if b.text()]
    assert len(texts) > 10 and [t for t in texts if t not in named and t not in ARROWS] == []


def big():
    from tests.core.review.test_queue import table as of

    from napari_mosam.widgets.review.heat import Heat

    expected = np.full((1000, 300), 0.9)
    return Heat.of(of(expected))
