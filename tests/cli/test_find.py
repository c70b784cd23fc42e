"""``mosam find``: what it writes is what 'mosam track' takes."""

from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
import tifffile
from tests.support.fake_model import FakeSegmenter, disks, iou

from napari_mosam import load_prompts
from napari_mosam.cli import main as cli
from napari_mosam.core.find import frame

IMAGES, LABELS = disks([[(20, 20), (60, 60)], [(22, 22), (60, 64)]], radius=6)


@pytest.fixture(autouse=True)
def job(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(frame, "load", lambda config: FakeSegmenter())
    tifffile.imwrite("movie.tif", IMAGES, photometric="minisblack", metadata={"axes": "TYX"})
    return tmp_path


def mosam(*arguments):
    return cli.main([str(argument) for argument in arguments])


def test_found_cells_are_written_as_prompts(capsys):
    assert mosam("find", "movie.tif", "--frame", 1, "--diameter", 12, "-o", "cells.json") == 0
    assert "2 cells on frame 1" in capsys.readouterr().out
    prompts = load_prompts("cells.json", IMAGES.shape)
    assert prompts.frames == (1,)
    masks = [p.to_frame(IMAGES.shape[1:]) for p in prompts]
    assert all(max(iou(mask, LABELS[1] == k) for mask in masks) > 0.7 for k in (1, 2))


def test_found_cells_are_written_as_labels():
    assert mosam("find", "movie.tif", "--frame", 0, "--diameter", 12, "-o", "cells.tif") == 0
    labels = tifffile.imread("cells.tif")
    assert np.unique(labels).tolist() == [0, 1, 2]
    assert iou(labels > 0, LABELS[0] > 0) > 0.7


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--frame", 2, "-o", "cells.json"), "frames 0 to 1"),
        (("--frame", 0, "-o", "cells.png"), "allowed are .json, .csv, .tif, .tiff"),
        (("--frame", 0, "-o", "movie.tif", "--overwrite"), "inputs are never outputs"),
        (("--frame", 0, "-o", "cells.json", "--diameter", 12, "--score", 1), "no cell was found"),
    ],
)
def test_what_cannot_be_is_refused(arguments, words, capsys):
    assert mosam("find", "movie.tif", *arguments) == 2
    assert words in capsys.readouterr().err


def test_masks_of_an_earlier_search_are_replaced_only_with_overwrite(capsys):
    words = ("find", "movie.tif", "--frame", 0, "--diameter", 12, "-o")
    masks = Path("cells_masks")
    masks.mkdir()
    for name in ("1_0.png", "7_1.png", "mine.png"):
        (masks / name).write_text("mine")
    for name in ("cells.json", "cells.csv"):
        assert mosam(*words, name) == 2
        assert "is there already; choose another name, or allow" in capsys.readouterr().err
    assert {path.read_text() for path in masks.iterdir()} == {"mine"}
    assert mosam(*words, "cells.json", "--overwrite") == 0
    assert sorted(path.name for path in masks.iterdir()) == ["1_0.png", "2_0.png", "mine.png"]
    assert (masks / "mine.png").read_text() == "mine"
    assert len(load_prompts("cells.json", IMAGES.shape)) == 2


def test_masks_are_never_written_among_the_images_of_a_movie(capsys):
    Path("cells_masks").mkdir()
    for t, image in enumerate(IMAGES):
        iio.imwrite(f"cells_masks/1_{t}.png", image)
    words = ("find", "cells_masks", "--frame", 0, "--diameter", 12, "-o", "cells.json", "--overwrite")
    assert mosam(*words) == 2
    assert "inputs are never outputs" in capsys.readouterr().err
    assert np.array_equal(iio.imread("cells_masks/1_0.png"), IMAGES[0])
