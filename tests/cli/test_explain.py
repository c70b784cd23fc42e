"""The command 'mosam explain'."""

import sys

import numpy as np
import pytest
from tests.support.fake_model import FakeSegmenter, disks

from napari_mosam.cli.main import main
from napari_mosam.core.api import track
from napari_mosam.core.prompts.collection import MaskPrompt
from napari_mosam.core.results.explain import HEAD, plot_timeline
from napari_mosam.core.store.result import Result

IMAGES, LABELS = disks([[(48, 40 + t)] if not 5 <= t < 8 else [None] for t in range(12)], radius=7)


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    prompts = [MaskPrompt.from_frame(3, t, LABELS[t] == 1) for t in (0, 10)]
    return track(IMAGES, prompts, out=tmp_path_factory.mktemp("explain") / "out.zarr", model=FakeSegmenter())


def explain(result, *arguments):
    return main(["explain", str(result.path), "--object", "3", *arguments])


def test_there_is_a_line_per_frame(result, capsys):
    assert explain(result) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert [name for name in HEAD if name not in head] == []
    assert [line.split()[:2] for line in lines] == [[str(t), "lost" if 5 <= t < 8 else "present"] for t in range(12)]
    assert "prompted" in lines[0]
    assert lines[3].split()[-1] == "10"


def test_frames_are_chosen(result, capsys):
    assert explain(result, "--frames", "3:6") == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()[1:]] == ["3", "4", "5"]


def test_a_plot_is_drawn_and_never_replaced_unasked(result, tmp_path, capsys):
    import imageio.v3 as iio

    path = tmp_path / "three.png"
    assert explain(result, "--plot", str(path)) == 0
    picture = iio.imread(path)
    assert picture.shape[0] > 800
    assert len(np.unique(picture.reshape(-1, picture.shape[-1]), axis=0)) > 50
    assert explain(result, "--plot", str(path)) == 2
    assert "already exists; choose another place or add --overwrite" in capsys.readouterr().err
    assert explain(result, "--plot", str(path), "--overwrite") == 0


def test_the_panels_show_the_timeline(result):
    figure = plot_timeline(Result.open(result.path).timeline(3))
    labels = [ax.get_ylabel() for ax in figure.axes]
    assert {"quality", "area (px)", "shift (px)", "memory frame read", "rating"} <= set(labels)
    area = figure.axes[labels.index("area (px)")].lines[0].get_ydata()
    assert np.array_equal(area, result.area[:, 0])
    assert [figure.axes[0].get_legend().get_texts()[k].get_text() for k in range(3)] == ["present", "lost", "prompted"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--object", "4"], "there is no object 4 in .*; it holds 3"),
        (["--object", "3,4"], "are 2 objects; give one id"),
        (["--frames", "20:30"], "--frames 20:30 is not all there; allowed: within 0:12"),
        (["--plot", "a.jpg"], "allowed are .png, .pdf, .svg files"),
        (["--plot", "/nowhere/a.png"], "cannot write /nowhere/a.png; give a file in a folder that exists"),
    ],
)
def test_what_cannot_be_explained(result, arguments, message, capsys):
    import re

    try:
        code = explain(result, *arguments)
    except SystemExit as stop:
        code = stop.code
    assert code == 2
    assert re.search(message, capsys.readouterr().err)


def test_a_path_without_a_result(tmp_path, capsys):
    assert main(["explain", str(tmp_path / "none.zarr"), "--object", "1"]) == 2
    assert capsys.readouterr().err.startswith("mosam: error:")


def test_a_missing_matplotlib_is_named(result, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert explain(result, "--plot", str(tmp_path / "a.png")) == 2
    assert "pip install 'napari-mosam[plot]'" in capsys.readouterr().err
