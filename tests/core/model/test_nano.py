"""The shipped model on simulated cells, and on a real movie where one is at hand.

The floors lie below what was measured with the default settings, by about .05 for a mean and .1 for a single cell.
"""

import numpy as np
import pytest
import tifffile
from scipy.ndimage import distance_transform_edt
from tests.support.fake_model import iou

from napari_mosam.core.api import segment
from napari_mosam.core.model.registry import load_model
from napari_mosam.core.prompts.collection import BoxPrompt, MaskPrompt, PointPrompt
from napari_mosam.core.simulation import disk_moves, disk_vanishes, sample_movie, touching_cells


@pytest.fixture(scope="module")
def nano():
    return load_model("nano", device="cpu", dtype="float32")


def prompt(kind, labels, object_id, frame=0):
    mask = labels[frame] == object_id
    if kind == "mask":
        return MaskPrompt.from_frame(object_id, frame, mask)
    ys, xs = np.nonzero(mask)
    if kind == "box":
        return BoxPrompt(object_id, frame, (float(ys.min()), float(xs.min()), float(ys.max()), float(xs.max())))
    innermost = np.unravel_index(distance_transform_edt(mask).argmax(), mask.shape)
    return PointPrompt(object_id, frame, tuple(float(c) for c in innermost))


def scores(model, images, labels, ids, kind="mask", **options):
    """IoU on each later frame where the cell is visible, and the pixels given to it where it is not."""
    visible, absent = {i: [] for i in ids}, {i: [] for i in ids}
    prompts = [prompt(kind, labels, i) for i in ids]
    for result in segment(images, prompts, model=model, direction="forward", **options):
        for i in ids if result.t else ():
            found, true = result.labels == i, labels[result.t] == i
            (visible if true.any() else absent)[i].append(iou(found, true) if true.any() else int(found.sum()))
    return visible, absent


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize(("kind", "floor"), [("mask", 0.84), ("box", 0.84), ("click", 0.76)])
def test_a_cell_that_moves(nano, kind, floor, seed):
    movie = disk_moves(seed)
    visible, _ = scores(nano, movie.images, movie.labels, [1], kind)
    assert np.mean(visible[1]) > floor
    assert min(visible[1]) > floor - 0.15


@pytest.mark.parametrize(("kind", "mean", "worst"), [("mask", 0.84, 0.76), ("box", 0.80, 0.68)])
def test_cells_that_touch(nano, kind, mean, worst):
    movie = touching_cells(0, n_frames=8)
    visible, _ = scores(nano, movie.images, movie.labels, [1, 2, 3, 4, 5], kind)
    each = [np.mean(v) for v in visible.values()]
    assert np.mean(each) > mean
    assert min(each) > worst


@pytest.mark.parametrize("seed", [0, 2])
def test_a_cell_that_vanishes_and_returns(nano, seed):
    movie = disk_vanishes(seed)
    visible, _ = scores(nano, movie.images, movie.labels, [1])
    assert len(visible[1]) == 8
    assert np.mean(visible[1]) > 0.83
    assert visible[1][-1] > 0.83


def test_among_others_a_cell_that_vanished_is_known_to_be_absent(nano):
    movie = sample_movie(0, n_frames=9, vanish=[(3, 4, 6)])
    visible, absent = scores(nano, movie.images, movie.labels, [1, 2, 3, 4], "box")
    assert min(np.mean(v) for v in visible.values()) > 0.83
    assert visible[3][-1] > 0.85
    assert max(absent[3]) <= 20


def test_backward_is_as_good_as_forward(nano):
    movie = disk_moves(1)
    images, labels = movie.images[::-1], movie.labels[::-1]
    prompts = [prompt("mask", labels, 1, len(images) - 1)]
    results = list(segment(images, prompts, model=nano, direction="both"))
    assert len(results) == len(images)
    assert np.mean([iou(r.labels == 1, labels[r.t] == 1) for r in results[1:]]) > 0.84


def test_a_corrective_click_takes_a_neighbour_away(nano):
    movie = touching_cells(1, n_frames=2)
    clicks = [prompt("click", movie.labels, i) for i in (1, 2)]
    against = [PointPrompt(c.object_id, 0, o.yx, positive=False) for c, o in zip(clicks, clicks[::-1], strict=True)]
    result = next(iter(segment(movie.images, [*clicks, *against], model=nano)))
    for click, other in zip(clicks, clicks[::-1], strict=True):
        here, there = (tuple(round(c) for c in p.yx) for p in (click, other))
        assert result.labels[here] == click.object_id
        assert result.labels[there] == other.object_id


DIC_IDS = (5, 23, 32, 11, 27)
DIC_SCORE, DIC_TOLERANCE = 0.66, 0.04


def test_real_cells_are_followed_as_before(nano, mosam_data):
    """Mean IoU over frames 1 to 7 of touching HeLa cells; a change beyond the tolerance, up or down, wants a look."""
    folder = mosam_data / "timelapse" / "dic_hela_01"
    images, labels = (tifffile.imread(folder / name, key=range(8)) for name in ("images.tif", "masks.tif"))
    visible, _ = scores(nano, images, labels, DIC_IDS)
    assert np.mean([np.mean(v) for v in visible.values()]) == pytest.approx(DIC_SCORE, abs=DIC_TOLERANCE)
