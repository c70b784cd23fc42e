"""From the mouse to the labels with the shipped model; and the same bytes from the dock, a function and the command."""

import json

import numpy as np
import pytest
import tifffile
from tests.support.crashes import content_but_journal

from napari_mosam import BoxPrompt, Result, Session
from napari_mosam.cli import main as cli
from napari_mosam.core.api import track
from napari_mosam.core.images.movie import Movie
from napari_mosam.core.session.recent import Recent
from napari_mosam.core.session.session_file import NAME
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


@pytest.fixture
def real(tmp_path, monkeypatch):
    """The real engine, with recent results in a folder of the test."""
    monkeypatch.setattr(Recent, "of_user", classmethod(lambda cls: cls(tmp_path / "recent")))
    return Engine()


def iou(a, b):
    return (a & b).sum() / (a | b).sum()


def test_boxes_become_tracks(open_widget, disks, hands, real):
    images, truth = disks
    widget = open_widget(images, with_engine=real, scale=(1, 0.5, 0.5))
    hands.box(widget, 0, 20, 20, 40, 40)
    hands.box(widget, 0, 54, 50, 74, 70)
    widget.controls.show_flow.setChecked(True)
    widget.controls.propagate.click()
    hands.finish(widget, 120_000)
    assert widget.run.frames == set(range(5)), hands.says(widget)
    labels = hands.shown(widget)
    scores = [iou(labels[t] == i + 1, truth[t, i]) for t in range(5) for i in (0, 1)]
    assert np.mean(scores) > 0.8 and min(scores) > 0.6, scores
    assert "cpu" in hands.says(widget) or "cuda" in hands.says(widget)


@pytest.mark.slow
def test_preview_then_backward_from_the_last_frame(open_widget, disks, hands, real):
    images, truth = disks
    widget = open_widget(images, with_engine=real)
    widget.viewer.dims.set_point(0, 4)
    hands.click(widget, 4, 30, 38)
    widget.controls.diameter.setValue(20)
    widget.controls.preview.click()
    hands.finish(widget, 60_000)
    assert hands.layer(widget, "preview") is not None, hands.says(widget)
    assert iou(widget.jobs.live.ids_on(4) == 1, truth[4, 0]) > 0.7
    widget.controls.direction.setCurrentIndex(widget.controls.direction.findData("backward"))
    widget.controls.propagate.click()
    hands.finish(widget, 120_000)
    assert widget.run.frames == set(range(5)), hands.says(widget)
    assert iou(hands.shown(widget)[0] == 1, truth[0, 0]) > 0.6


@pytest.mark.slow
def test_grey_limits_are_those_of_the_movie_and_never_the_contrast_of_the_layer(open_widget, disks, hands, real):
    images, _ = disks
    images[3] = 65535
    widget = open_widget(images, with_engine=real, contrast_limits=(0, 65535))
    widget.viewer.dims.set_point(0, 0)
    hands.box(widget, 0, 20, 20, 40, 40)
    widget.controls.preview.click()
    hands.finish(widget, 60_000)
    low, high = Movie.open(images).limits
    assert (widget.controls.low.placeholderText(), widget.controls.high.placeholderText()) == (f"{low:g}", f"{high:g}")
    assert high < 4000
    assert "Frame 3 took no part" in widget.controls.limits_note.text()
    widget.controls.low.setText("100")
    widget.controls.high.setText("9000.5")
    widget.controls.preview.click()
    hands.finish(widget, 60_000)
    assert widget.controls.high.placeholderText() == "9000.5" and "as typed" in widget.controls.limits_note.text()


def told(path):
    """All files of a result, but what can be undone and what a session adds."""
    return {name: found for name, found in content_but_journal(path).items() if name != NAME}


@pytest.mark.parametrize("direction", ["both", pytest.param("forward", marks=pytest.mark.slow)])
def test_dock_function_and_command_give_the_same_bytes(open_widget, disks, hands, real, tmp_path, direction):
    """One object is marked in the middle, so that it is followed both ways; all read the file that napari opened."""
    movie = tmp_path / "movie.tif"
    tifffile.imwrite(movie, disks[0], photometric="minisblack", metadata={"axes": "TYX"})
    boxes = [BoxPrompt(1, 0, (20.0, 20.0, 40.0, 40.0)), BoxPrompt(2, 2, (54.0, 54.0, 74.0, 74.0))]
    results = {name: tmp_path / name / "cells.zarr" for name in ("dock", "function", "command")}

    widget = open_widget(None, with_engine=real)
    widget.viewer.open(movie, plugin="napari")
    widget.controls.direction.setCurrentIndex(widget.controls.direction.findData(direction))
    hands.box(widget, 0, *boxes[0].box)
    widget.new_object()
    hands.box(widget, 2, *boxes[1].box)
    widget.controls.propagate.click()
    hands.finish(widget, 120_000)
    shown = hands.shown(widget)
    widget.session.save(results["dock"])

    track(movie, boxes, out=results["function"], direction=direction)
    marks = [{"object": p.object_id, "frame": p.frame, "box": p.box} for p in boxes]
    (tmp_path / "prompts.json").write_text(json.dumps(marks))
    asked = ["-p", str(tmp_path / "prompts.json"), "-o", str(results["command"]), "--direction", direction]
    assert cli.main(["track", str(movie), *asked]) == 0

    dock, function, command = (told(path) for path in results.values())
    assert dock == function == command
    stored = Result.open(results["command"])
    np.testing.assert_array_equal(shown, stored.labels[:])
    assert shown[4].any() and (shown[0] == 2).any() == (direction == "both")

    stroke = np.where(disks[1][3, 0], 9, shown[3])
    hands.labels(widget).data[3] = stroke
    hands.settle(widget)
    painted = Session.open(results["function"])
    painted.paint(3, stroke)
    np.testing.assert_array_equal(hands.stored(widget), painted.result.labels[:])
    assert told(results["dock"]) == told(results["function"])
