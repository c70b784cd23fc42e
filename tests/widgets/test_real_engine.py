"""From the mouse to the labels with the shipped model."""

import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import tifffile

from napari_mosam.cli import main as cli
from napari_mosam.core.api import track
from napari_mosam.core.images.movie import Movie
from napari_mosam.core.prompts.collection import BoxPrompt
from napari_mosam.core.runs.write import write_run
from napari_mosam.core.store.result import Result
from napari_mosam.widgets.engine import Engine


@pytest.fixture
def disks():
    """Two bright disks of 20 px on a dark ground; they move right, 2 px per frame."""
    rng = np.random.default_rng(3)
    y, x = np.mgrid[:96, :128]
    centres = [[(30, 30 + 2 * t), (64, 60 + 2 * t)] for t in range(5)]
    truth = np.array([[np.hypot(y - cy, x - cx) < 10 for cy, cx in frame] for frame in centres])
    images = 400 + 2500 * truth.any(1) + rng.normal(0, 80, (5, 96, 128))
    return images.clip(0).astype(np.uint16), truth


def iou(a, b):
    return (a & b).sum() / (a | b).sum()


def test_boxes_become_tracks(open_widget, disks, hands):
    images, truth = disks
    widget = open_widget(images, with_engine=Engine(), scale=(1, 0.5, 0.5))
    hands.box(widget, 0, 20, 20, 40, 40)
    hands.box(widget, 0, 54, 50, 74, 70)
    widget.controls.show_flow.setChecked(True)
    widget.controls.propagate.click()
    hands.finish(widget, 120_000)
    assert widget.run.frames == set(range(5)), widget.controls.status.text()
    labels = np.asarray(hands.labels(widget).data[:])
    scores = [iou(labels[t] == i + 1, truth[t, i]) for t in range(5) for i in (0, 1)]
    assert np.mean(scores) > 0.8 and min(scores) > 0.6, scores
    assert "cpu" in widget.controls.status.text() or "cuda" in widget.controls.status.text()


def test_preview_then_backward_from_the_last_frame(open_widget, disks, hands):
    images, truth = disks
    widget = open_widget(images, with_engine=Engine())
    widget.viewer.dims.set_point(0, 4)
    hands.click(widget, 4, 30, 38)
    widget.controls.diameter.setValue(20)
    widget.controls.preview.click()
    hands.finish(widget, 60_000)
    preview = hands.layer(widget, "preview")
    assert preview is not None, widget.controls.status.text()
    assert iou(preview.data[0] == 1, truth[4, 0]) > 0.7
    widget.controls.direction.setCurrentIndex(widget.controls.direction.findData("backward"))
    widget.controls.propagate.click()
    hands.finish(widget, 120_000)
    labels = np.asarray(hands.labels(widget).data[:])
    assert widget.run.frames == set(range(5)), widget.controls.status.text()
    assert iou(labels[0] == 1, truth[0, 0]) > 0.6


def test_grey_limits_are_those_of_the_movie_and_never_the_contrast_of_the_layer(open_widget, disks, hands):
    images, _ = disks
    images[3] = 65535
    widget = open_widget(images, with_engine=Engine(), contrast_limits=(0, 65535))
    widget.viewer.dims.set_point(0, 0)
    hands.box(widget, 0, 20, 20, 40, 40)
    widget.controls.preview.click()
    hands.finish(widget, 60_000)
    low, high = Movie.open(images).limits
    assert (widget.controls.low.placeholderText(), widget.controls.high.placeholderText()) == (f"{low:g}", f"{high:g}")
    assert high < 4000
    assert "frame 3 took no part" in widget.controls.limits_note.text()
    widget.controls.low.setText("100")
    widget.controls.high.setText("9000.5")
    widget.controls.preview.click()
    hands.finish(widget, 60_000)
    assert widget.controls.high.placeholderText() == "9000.5" and not widget.controls.limits_note.text()


class Remembering(Engine):
    """Keeps what was asked of it."""

    def segment(self, request):
        self.asked = request
        return super().segment(request)


def test_widget_functions_and_command_ask_for_the_same_run_and_get_the_same_labels(
    open_widget, disks, hands, tmp_path, monkeypatch
):
    images, _ = disks
    engine = Remembering()
    widget = open_widget(images, with_engine=engine)
    hands.box(widget, 0, 20, 20, 40, 40)
    hands.box(widget, 0, 54, 50, 74, 70)
    shown = hands.run(widget)

    tifffile.imwrite(tmp_path / "movie.tif", images, photometric="minisblack", metadata={"axes": "TYX"})
    marked = [{"object": p.object_id, "frame": p.frame, "box": p.box} for p in engine.asked.prompts]
    (tmp_path / "prompts.json").write_text(json.dumps(marked))
    written = []

    def write(request, out, **options):
        written.append(request)
        return write_run(request, out, **options)

    monkeypatch.setitem(sys.modules, "napari_mosam.core.runs.write", SimpleNamespace(write_run=write))
    movie, prompts, out = (str(tmp_path / name) for name in ("movie.tif", "prompts.json", "command.zarr"))
    assert cli.main(["track", movie, "-p", prompts, "-o", out]) == 0
    boxes = [BoxPrompt(i, 0, box) for i, box in ((1, (20, 20, 40, 40)), (2, (54, 50, 74, 70)))]
    results = [track(images, boxes, out=tmp_path / "function.zarr"), Result.open(tmp_path / "command.zarr")]
    assert [p.box for p in engine.asked.prompts] == [p.box for p in boxes]
    assert len(written) == 2 and all(request == engine.asked for request in written)
    assert shown.any() and all(np.array_equal(result.labels[:], shown) for result in results)
