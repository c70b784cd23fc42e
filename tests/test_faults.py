"""Inputs that users of such programs met: sizes, places and numbers of cells, encodings, names, light.

What is not there or not readable is in the tests of the zoo, of bad frames, of folders, of labels and of prompts.
"""

from typing import Any

import numpy as np
import pytest
import tifffile
from scipy.ndimage import gaussian_filter
from tests.support.fake_model import FakeSegmenter, disks, iou

from napari_mosam import BoxPrompt, EngineConfig, MaskPrompt, MotionConfig, PointPrompt, Prompts, segment, track
from napari_mosam.cli import main as cli
from napari_mosam.core.images.movie import Movie
from napari_mosam.core.prompts.files import load_prompts

# --- cells -----------------------------------------------------------------------------------------------------------


def seen(labels: np.ndarray, blur: float = 0.8) -> np.ndarray:
    """A camera's picture of bright cells: soft, with noise."""
    light = gaussian_filter((labels > 0).astype(float), (0, blur, blur))
    return (300 + 2200 * light + np.random.default_rng(0).normal(0, 50, labels.shape)).clip(0, 65535).astype(np.uint16)


def worst_iou(images: np.ndarray, labels: np.ndarray, prompts: list[Any]) -> float:
    """Of all objects and frames, by the shipped model."""
    found = {result.t: result.labels for result in segment(images, Prompts(prompts), direction="forward")}
    ids = sorted({p.object_id for p in prompts})
    there = [(t, i) for t in found for i in ids if (labels[t] == i).any()]
    return min(iou(found[t] == i, labels[t] == i) for t, i in there)


def box_of(labels: np.ndarray, i: int, pad: float = 1.0) -> BoxPrompt:
    y, x = np.nonzero(labels[0] == i)
    return BoxPrompt(i, 0, (y.min() - pad, x.min() - pad, y.max() + pad, x.max() + pad))


@pytest.mark.parametrize("kind", ["box", "point", "mask"])
def test_cells_of_seven_pixels_are_followed(kind: str) -> None:
    paths = [[(20 + t, 20), (20, 44 + t), (44 - t, 44), (44, 20)] for t in range(3)]
    _, labels = disks(paths, radius=3, shape=(64, 64))
    make: dict[str, Any] = {
        "box": lambda i: box_of(labels, i),
        "point": lambda i: PointPrompt(i, 0, tuple(np.argwhere(labels[0] == i).mean(0))),
        "mask": lambda i: MaskPrompt.from_frame(i, 0, labels[0] == i),
    }
    assert worst_iou(seen(labels), labels, [make[kind](i) for i in (1, 2, 3, 4)]) > 0.55


@pytest.mark.parametrize("kind", ["box", "point"])
def test_a_cell_over_half_of_the_frame_is_followed(kind: str) -> None:
    _, labels = disks([[(90 + 2 * t, 95)] for t in range(2)], radius=75, shape=(192, 192))
    texture = gaussian_filter(np.random.default_rng(1).normal(0, 1, (192, 192)), 4)
    texture = np.stack([np.roll(texture / texture.std(), 2 * t, 0) for t in range(2)])
    images = (seen(labels, 2) + (labels > 0) * 250 * texture).clip(0, 65535).astype(np.uint16)
    prompt = box_of(labels, 1) if kind == "box" else PointPrompt(1, 0, (90.0, 95.0))
    assert worst_iou(images, labels, [prompt]) > 0.9


def test_boxes_may_reach_beyond_the_frame_and_cells_be_cut_by_it() -> None:
    _, labels = disks([[(3, 40 + t), (40, 77), (78, 20)] for t in range(3)], radius=12, shape=(80, 80))
    boxes = [BoxPrompt(1, 0, (-10, 27, 16, 53)), BoxPrompt(2, 0, (27, 64, 53, 90)), BoxPrompt(3, 0, (65, 7, 91, 33))]
    assert worst_iou(seen(labels), labels, boxes) > 0.85


@pytest.mark.slow
def test_three_hundred_cells_in_large_frames() -> None:
    places = [(y, x) for y in range(120, 3900, 230) for x in range(120, 3900, 225)][:300]
    cell = disks([[(30, 30)]], radius=15, shape=(61, 61))[1][0]
    parts = [np.s_[y - 30 : y + 31, x - 30 : x + 31] for y, x in places]
    labels = np.zeros((2, 4096, 4096), np.uint16)
    for frame, shift in zip(labels, (0, 2), strict=True):
        for i, part in enumerate(parts, 1):
            frame[part] = np.roll(cell, shift, 0) * i
    boxes = [BoxPrompt(i, 0, (y - 16, x - 16, y + 16, x + 16)) for i, (y, x) in enumerate(places, 1)]
    for result in segment(seen(labels), Prompts(boxes), direction="forward"):
        wanted = labels[result.t]
        assert min(iou(result.labels[part] == i, wanted[part] == i) for i, part in enumerate(parts, 1)) > 0.85


# --- files -----------------------------------------------------------------------------------------------------------

FRAMES = np.random.default_rng(5).integers(100, 4000, (3, 40, 48)).astype(np.uint16)


def _pages(path: Any, *pages: np.ndarray) -> None:
    with tifffile.TiffWriter(path) as tiff:
        for page in pages:
            tiff.write(page, metadata=None, contiguous=False)


ENCODINGS: dict[str, tuple[np.ndarray, dict[str, Any]]] = {
    "packbits": (FRAMES, {"compression": "packbits"}),
    "jpeg 2000": (FRAMES, {"compression": "jpeg2000"}),
    "lerc": (FRAMES.astype(np.float32), {"compression": "lerc"}),
    "float16": ((FRAMES / 4096).astype(np.float16), {}),
    "negative": (FRAMES.astype(np.int16) - 3000, {}),
    "64 bits": (FRAMES.astype(np.uint64) * 2**40, {}),
    "axes of length one": (FRAMES[:, None, None], {"imagej": True, "metadata": {"axes": "TZCYX"}}),
    "an axis of another name": (FRAMES, {"metadata": {"axes": "QYX"}, "ome": True}),
}


@pytest.mark.parametrize("kind", ENCODINGS)
def test_pixels_are_read_as_they_were_written(tmp_path: Any, kind: str) -> None:
    pixels, options = ENCODINGS[kind]
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="minisblack", **options)
    movie, expected = Movie.open(tmp_path / "a.tif"), pixels.reshape(FRAMES.shape)
    np.testing.assert_array_equal([movie.raw(t) for t in range(len(movie))], expected)
    assert np.corrcoef(movie[1].ravel(), FRAMES[1].ravel())[0, 1] > 0.99


def test_a_page_of_another_kind_behind_the_movie_is_no_frame(tmp_path: Any) -> None:
    _pages(tmp_path / "a.tif", *FRAMES, np.zeros((8, 30), np.uint16))
    movie = Movie.open(tmp_path / "a.tif")
    np.testing.assert_array_equal([movie.raw(t) for t in range(len(movie))], FRAMES)


def test_names_may_hold_any_sign(tmp_path: Any, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    images, labels = disks([[(20 + t, 20)] for t in range(3)], radius=6, shape=(48, 48))
    folder = tmp_path / "Prüfung [1] #2 100%"
    folder.mkdir()
    monkeypatch.chdir(folder)
    tifffile.imwrite("Zelle ä (µ).tif", images, photometric="minisblack")
    tifffile.imwrite("Maske [0].tif", labels[0])
    prompts = load_prompts("Maske [0].tif", images.shape)
    config = EngineConfig(motion=MotionConfig.off())
    result = track("Zelle ä (µ).tif", prompts, out="Ergebnis ü [1].zarr", model=FakeSegmenter(), config=config)
    assert iou(result.labels[2] == 1, labels[2] == 1) > 0.8
    for name, words in (("Zelle ä (µ).tif", "3 frames, 48 x 48 px"), ("Ergebnis ü [1].zarr", "complete")):
        assert cli.main(["info", name]) == 0 and words in capsys.readouterr().out
