"""In every label frame of every run, an object that nobody painted there is one piece."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import label
from tests.support.fake_model import FakeSegmenter

from napari_mosam.core.api import preview, segment, track
from napari_mosam.core.api_results import rerun
from napari_mosam.core.config.engine import EngineConfig, MotionConfig, WindowConfig
from napari_mosam.core.prompts.collection import BoxPrompt, MaskPrompt, PointPrompt, Prompts
from napari_mosam.core.simulation import SimulationConfig, simulate
from napari_mosam.core.store.compose import as_bytes, compose

SHAPE, N = (72, 72), 6
QUICK = EngineConfig(motion=MotionConfig.off())
EIGHT = np.ones((3, 3))


@dataclass
class Ragged(FakeSegmenter):
    """Finds the same objects with rough logits, another pattern at every place: masks break where objects meet."""

    roughness: float = 9.0

    def _find(self, image, aim):
        logits, score = super()._find(image, aim)
        y, x = np.indices(image.shape)
        pattern = np.sin(0.9 * y + aim[0]) * np.sin(1.1 * x + 3 * aim[1] + image.sum())
        return np.where(logits > 0, logits + self.roughness * pattern, logits).astype(np.float32), score


def crowd(seed, n_cells):
    """Disks that walk at random through each other; images (N, Y, X) and the middle and radius of every cell."""
    rng = np.random.default_rng(seed)
    y, x = np.indices(SHAPE)
    radii = rng.uniform(5, 11, n_cells)
    ways = rng.uniform(18, 54, (n_cells, 1, 2)) + rng.normal(0, 2.5, (n_cells, N, 2)).cumsum(1)
    shown = [(np.hypot(y - cy, x - cx) <= r) for way, r in zip(ways, radii, strict=True) for cy, cx in way]
    disks = np.array(shown).reshape(n_cells, N, *SHAPE)
    return np.where(disks.any(0), 1000, 100).astype(np.uint16), disks, ways


def prompt(kind, object_id, t, disks, ways):
    """A prompt of one cell; a painted mask lies in two pieces."""
    cell, (y, x) = disks[object_id - 1, t], ways[object_id - 1, t]
    if kind == "click":
        return PointPrompt(object_id, t, tuple(np.clip((y, x), 0, 71)))
    if kind == "box":
        return BoxPrompt(object_id, t, box_of(cell))
    painted = cell.copy()
    middle = round(float(np.median(np.nonzero(cell)[0])))
    painted[middle - 1 : middle + 2] = False
    return MaskPrompt.from_frame(object_id, t, painted)


def in_pieces(labels, painted=()):
    """Ids of more than one piece, without those that were painted."""
    ids = set(np.unique(labels).tolist()) - {0} - set(painted)
    return sorted(i for i in ids if label(labels == i, EIGHT)[1] > 1)


def painted_on(prompts, t):
    """Objects with nothing but a painted mask on a frame."""
    here = [p for p in prompts if p.frame == t]
    clicked = {p.object_id for p in here if isinstance(p, PointPrompt)}
    return {p.object_id for p in here if isinstance(p, MaskPrompt)} - clicked


KINDS = st.sampled_from(["mask", "box", "click"])
LATER = st.tuples(KINDS, st.integers(1, 4), st.integers(1, N - 1))
GIVEN = st.lists(LATER, min_size=1, max_size=6, unique_by=lambda given: given[1:])
FEW = settings(max_examples=12, deadline=None)


def everyone(given, disks, ways):
    """Every cell is prompted on the first frame, in turn by mask, box and click; some of them again as given."""
    first = [prompt(("box", "click", "mask")[i % 3], i, 0, disks, ways) for i in (1, 2, 3, 4)]
    return Prompts([*first, *(prompt(kind, i, t, disks, ways) for kind, i, t in given)])


@FEW
@given(st.integers(0, 10_000), GIVEN, st.sampled_from([0.0, 9.0]), st.booleans())
def test_objects_are_one_piece_in_every_result_of_a_run(seed, given, roughness, whole_frame):
    images, disks, ways = crowd(seed, 4)
    prompts = everyone(given, disks, ways)
    config = EngineConfig(motion=MotionConfig.off(), window=WindowConfig(mode="full")) if whole_frame else QUICK
    for result in segment(images, prompts, model=Ragged(roughness=roughness), config=config):
        assert in_pieces(result.labels, painted_on(prompts, result.t)) == []
        assert np.array_equal(result.labels > 0, result.confidence > 0)
        for item in result.objects:
            assert item.area == (result.labels == item.object_id).sum()
    for t in prompts.frames:
        assert in_pieces(preview(images, prompts, t, model=Ragged()).labels, painted_on(prompts, t)) == []


@FEW
@given(st.integers(0, 10_000), st.sampled_from(["forward", "backward"]), st.sampled_from([0.0, 9.0]))
def test_records_compose_to_the_frames_of_the_run_that_wrote_them(seed, direction, roughness):
    images, disks, ways = crowd(seed, 4)
    t0 = 0 if direction == "forward" else N - 1
    prompts = [prompt(("box", "click", "mask")[i % 3], i, t0, disks, ways) for i in (1, 2, 3, 4)]
    model = Ragged(roughness=roughness)
    for result in segment(images, prompts, model=model, config=QUICK, direction=direction):
        labels, confidence = compose(result.objects, SHAPE, result.labels.dtype.type)
        assert np.array_equal(labels, result.labels)
        assert np.array_equal(confidence, as_bytes(result.confidence))


@pytest.mark.slow
@settings(max_examples=8, deadline=None)
@given(st.integers(0, 10_000), GIVEN, GIVEN, st.sets(st.tuples(st.integers(1, 4), st.integers(0, N - 1)), max_size=4))
def test_objects_are_one_piece_in_what_is_stored_before_and_after_a_rerun(
    tmp_path_factory, seed, given, changed, locked
):
    images, disks, ways = crowd(seed, 4)
    out = tmp_path_factory.mktemp("pieces") / "out.zarr"
    before = everyone(given, disks, ways)
    stored = track(images, before, out=out, model=Ragged(), config=QUICK)
    frames = stored.labels[:]
    assert [in_pieces(frames[t], painted_on(before, t)) for t in range(N)] == [[]] * N
    for object_id, t in locked:
        stored.lock(object_id, t)
    seen = []
    after = everyone(changed, disks, ways)
    again = rerun(out, images, after, model=Ragged(), neighbours=True, progress=lambda r, *_: seen.append(r))
    for t in range(N):
        fixed = {i for i, frame in locked if frame == t}
        left_as_they_are = painted_on(after, t) | fixed
        assert in_pieces(again.labels[t], left_as_they_are) == []
        for i in fixed:
            assert np.array_equal(again.labels[t] == i, frames[t] == i)
        assert np.array_equal(again.labels[t] > 0, again.confidence[t] > 0)
        areas = [(again.labels[t] == i).sum() for i in again.object_ids]
        assert np.nan_to_num(again.area[t]).tolist() == areas
    for result in seen:
        painted = painted_on(before, result.t) | painted_on(after, result.t)
        assert in_pieces(result.labels, painted) == []


def test_a_painted_mask_is_taken_as_it_is():
    images, disks, ways = crowd(3, 2)
    prompts = Prompts([prompt("mask", 1, 0, disks, ways)])
    assert in_pieces(preview(images, prompts, 0, model=Ragged()).labels) == [1]
    first = next(iter(segment(images, prompts, model=Ragged(), config=QUICK)))
    assert in_pieces(first.labels) == [1]
    assert first.objects[0].decoded_with == "painted"
    assert first.objects[0].prompted


def test_memory_is_written_before_pieces_are_dropped():
    """A bar of another cell lies across the first, so that the rest of that is in two pieces of unequal size."""
    images = np.full((2, 64, 64), 1000, np.uint16)
    one, bar = np.zeros((2, 64, 64), bool)
    one[24:40, 16:48], bar[16:48, 33:37] = True, True

    class Two(FakeSegmenter):
        def _find(self, image, aim):
            y, x = np.indices(image.shape)
            half = len(image) / 5 / 2  # the window is five diameters wide
            return np.where(np.hypot(y - aim[0], x - aim[1]) < half, 4.0, -12.0).astype(np.float32), 5.0

    model = Two()
    box = BoxPrompt(1, 0, (24.0, 16.0, 39.0, 47.0))
    shown = next(segment(images, [box, MaskPrompt.from_frame(2, 0, bar)], model=model, direction="forward"))
    assert in_pieces(shown.labels, [2]) == []
    assert in_pieces(shown.labels, [1]) == []
    (_, mask), *_ = model.remembered
    assert label(mask, EIGHT)[1] == 2


def test_without_the_rule_masks_fall_into_pieces():
    """What the properties above hold against."""
    config, found = EngineConfig(motion=MotionConfig.off(), prune=False), 0
    for seed in range(8):
        images, disks, ways = crowd(seed, 4)
        prompts = everyone([], disks, ways)
        for result in segment(images, prompts, model=Ragged(), config=config):
            found += len(in_pieces(result.labels, painted_on(prompts, result.t)))
    assert found > 0


def test_the_rule_is_kept_off_in_what_is_stored(tmp_path):
    images, disks, ways = crowd(5, 4)
    last = [prompt("box", i, N - 1, disks, ways) for i in (1, 2, 3, 4)]
    config = EngineConfig(motion=MotionConfig.off(), prune=False)
    prompts = Prompts([*everyone([], disks, ways), *last])
    stored = track(images, prompts, out=tmp_path / "out.zarr", model=Ragged(), config=config)
    assert any(in_pieces(stored.labels[t]) for t in range(1, N - 1))


@pytest.mark.slow
def test_nano_keeps_every_cell_of_a_crowd_in_one_piece(tmp_path):
    movie = simulate(SimulationConfig(seed=4, shape=(160, 160), n_frames=6, n_cells=14, diameter=30.0))
    first = {int(i): movie.labels[0] == i for i in np.unique(movie.labels[0]) if i}
    last = {i: movie.labels[-1] == i for i in first if (movie.labels[-1] == i).any()}
    boxes = [BoxPrompt(i, t, box_of(cell)) for t, cells in ((0, first), (5, last)) for i, cell in cells.items()]
    stored = track(movie.images, Prompts(boxes), out=tmp_path / "out.zarr")
    assert [in_pieces(stored.labels[t]) for t in range(6)] == [[]] * 6


def box_of(cell):
    ys, xs = np.nonzero(cell)
    return float(ys.min()), float(xs.min()), float(ys.max()), float(xs.max())
