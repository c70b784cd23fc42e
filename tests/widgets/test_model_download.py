"""Downloading a model in a real viewer, from a server on this machine."""

import random
import time

import pytest
from napari.utils.notifications import notification_manager
from tests.support.weights_server import Answer, serving
from tests.widgets.conftest import N

from napari_mosam.widgets.engine import Engine, ModelChoice
from napari_mosam.widgets.picture.first_use import draw_shapes, shapes_compiled

TINY = "sam2.1_hiera_tiny.pt"
CONTENT = random.Random(1).randbytes(2_000_000)


@pytest.fixture
def server(local_mirror, monkeypatch, tmp_path, publish):
    publish(CONTENT)
    with serving(files={TINY: CONTENT}) as running:
        monkeypatch.setenv("MOSAM_MODELS_URL", running.url)
        compiled = shapes_compiled()
        monkeypatch.setenv("MOSAM_CACHE", str(tmp_path / "models"))
        if compiled:
            draw_shapes()  # or each dock would have a child compile them again, since another cache knows of none
        yield running


class Quick(Engine):
    """The real engine, without loading a model at once."""

    def warm_up(self):
        pass


@pytest.fixture
def widget(open_widget, movie, server):
    return open_widget(movie, with_engine=Quick())


@pytest.fixture
def choose(widget):
    """A function that chooses a model in the menu."""
    menu = widget.controls.model
    return lambda name: menu.setCurrentIndex(menu.findData(name))


def row(widget):
    return widget.controls.model_download


def finish(qtbot, widget):
    qtbot.waitUntil(lambda: not widget.model_download.busy, timeout=20_000)


def started(qtbot, widget, server):
    """Press Download and wait for the first bytes."""
    row(widget).download.click()
    qtbot.waitUntil(lambda: row(widget).bar.value() > 0, timeout=10_000)


def test_the_menu_says_which_models_need_a_download(widget, choose):
    menu = widget.controls.model
    assert [menu.itemText(i) for i in range(menu.count())] == [
        "nano (built in)",
        "sam2.1-tiny ↓ 2 MB",
        "sam2.1-small ↓ 184 MB",
        "sam2.1-base+ ↓ 324 MB",
        "sam2.1-large ↓ 898 MB",
    ]
    assert row(widget).isHidden()
    choose("sam2.1-tiny")
    assert not row(widget).isHidden() and row(widget).download.text() == "Download 2 MB"
    choose("nano")
    assert row(widget).isHidden()


@pytest.mark.slow
@pytest.mark.parametrize("button", [pytest.param("preview", marks=pytest.mark.slow), "propagate"])
def test_a_run_with_a_missing_model_says_what_to_press(widget, choose, hands, button):
    choose("sam2.1-tiny")
    hands.mark(widget, 1)
    layers = list(widget.viewer.layers)
    getattr(widget.controls, button).click()
    assert widget.controls.status.text() == (
        "The model sam2.1-tiny is not on this computer yet; press 'Download 2 MB' under the menu, or choose nano "
        "(built in)"
    )
    assert not widget.jobs.busy and list(widget.viewer.layers) == layers


def test_a_download_shows_its_progress_and_makes_the_model_usable(widget, choose, server, qtbot, tmp_path):
    server.usual = Answer(seconds_per_mb=0.4)
    choose("sam2.1-tiny")
    started(qtbot, widget, server)
    seen = set()
    qtbot.waitUntil(
        lambda: seen.add(row(widget).bar.value()) or not widget.model_download.busy, timeout=20_000
    )  # polled every 10 ms
    assert len(seen) > 3 and seen <= set(range(1001))
    assert (tmp_path / "models" / TINY).read_bytes() == CONTENT
    assert row(widget).isHidden()
    assert widget.controls.model.currentText() == widget.controls.model.currentData() == "sam2.1-tiny"
    assert widget.controls.status.text() == "sam2.1-tiny is ready."


@pytest.mark.slow
def test_the_viewer_is_not_held_up(widget, choose, server, qtbot, hands):
    server.usual = Answer(seconds_per_mb=1)  # 2 s in all
    choose("sam2.1-tiny")
    longest, last = 0.0, time.perf_counter()
    started(qtbot, widget, server)
    hands.mark(widget, 1)
    last = time.perf_counter()
    while widget.model_download.busy:
        qtbot.wait(5)
        longest, last = max(longest, time.perf_counter() - last), time.perf_counter()
    assert longest < 1, longest
    assert widget.prompts.ids() == {1}


def test_cancel_keeps_what_came_and_the_next_download_continues(widget, choose, server, qtbot, tmp_path):
    server.usual = Answer(seconds_per_mb=3)
    choose("sam2.1-tiny")
    started(qtbot, widget, server)
    begun = time.perf_counter()
    row(widget).cancel.click()
    assert time.perf_counter() - begun < 0.2 and not row(widget).cancel.isEnabled()
    finish(qtbot, widget)
    kept = (tmp_path / "models" / f"{TINY}.part").stat().st_size
    assert 0 < kept < len(CONTENT)
    assert "Download cancelled." in widget.controls.status.text()
    assert row(widget).download.text() == f"Continue download ({kept / 1e6:.0f} of 2 MB)"
    server.usual = Answer()
    row(widget).download.click()
    finish(qtbot, widget)
    assert server.requests[-1]["range"] == f"bytes={kept}-"
    assert (tmp_path / "models" / TINY).read_bytes() == CONTENT


@pytest.mark.parametrize("trouble", ["wrong hash", pytest.param("404", marks=pytest.mark.slow)])
def test_a_failed_download_is_shown_and_nothing_else_breaks(widget, choose, server, qtbot, hands, trouble):
    server.files = {TINY: CONTENT[::-1]} if trouble == "wrong hash" else {}
    choose("sam2.1-tiny")
    notification_manager.records.clear()
    row(widget).download.click()
    finish(qtbot, widget)
    expected = "SHA-256 differs" if trouble == "wrong hash" else "There is no file at"
    assert expected in widget.controls.status.text() and "ff6b6b" in widget.controls.status.styleSheet()
    assert expected in notification_manager.records[-1].message
    assert row(widget).download.isVisibleTo(row(widget)) and row(widget).download.text() == "Download 2 MB"
    server.files = {TINY: CONTENT}
    row(widget).download.click()
    finish(qtbot, widget)
    assert widget.controls.status.text() == "sam2.1-tiny is ready."


@pytest.mark.slow
def test_another_model_is_used_during_a_download(open_widget, movie, engine, hands, qtbot, server):
    """The fake engine runs; the download is real."""
    engine.models = lambda: [ModelChoice("nano", "nano"), ModelChoice("sam2.1-tiny", "tiny", True, len(CONTENT))]
    engine.download = Engine().download
    server.usual = Answer(seconds_per_mb=1)
    widget = open_widget(movie)
    menu = widget.controls.model
    menu.setCurrentIndex(1)
    started(qtbot, widget, server)
    hands.mark(widget, 1)
    widget.controls.propagate.click()
    assert "still being downloaded" in widget.controls.status.text()
    menu.setCurrentIndex(0)
    assert not row(widget).isHidden() and "sam2.1-tiny: " in row(widget).bar.format()
    widget.controls.propagate.click()
    assert row(widget).cancel.isEnabled() and not menu.isEnabled()
    hands.finish(widget)
    assert widget.run.frames == set(range(N))
    row(widget).cancel.click()
    finish(qtbot, widget)


@pytest.mark.parametrize("what", [pytest.param("viewer", marks=pytest.mark.slow), "dock"])
def test_closing_stops_the_download_and_keeps_what_came(widget, choose, server, qtbot, tmp_path, what):
    server.usual = Answer(seconds_per_mb=5)
    choose("sam2.1-tiny")
    started(qtbot, widget, server)
    download, viewer = widget.model_download, widget.viewer
    if what == "viewer":
        viewer.close()
    else:
        viewer.window.remove_dock_widget(widget)
    qtbot.waitUntil(lambda: not download.busy, timeout=5_000)
    part = tmp_path / "models" / f"{TINY}.part"
    assert 0 < part.stat().st_size < len(CONTENT)
