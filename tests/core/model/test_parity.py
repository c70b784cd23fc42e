"""With every part of its own off, on the whole frame, the engine is SAM 2.

The reference is the video predictor of the sam2 package with the same weights and the engine's own normalised frames;
see ``benchmarks/stock.py``.
"""

import numpy as np
import pytest
import torch
from benchmarks import stock
from benchmarks.stock import Rounded, engine_masks, stock_masks

from napari_mosam.core.images.movie import Movie
from napari_mosam.core.model.configs import build_from_yaml, build_official
from napari_mosam.core.model.registry import model_info
from napari_mosam.core.model.sam2 import Sam2Segmenter
from napari_mosam.core.prompts.collection import BoxPrompt, MaskPrompt, PointPrompt
from napari_mosam.core.simulation import sample_movie, touching_cells

SIZE, N_FRAMES = 256, 12
LAST = N_FRAMES - 1
NANO_TOLERANCE = 1e-2
"""Logits. The predictor differs from itself by 2e-3 between one thread and two."""

RANGE_TOLERANCE = 1e-3
"""Of the range of the logits, for weights without training, whose logits are small."""

ABSENT = -1000.0
"""Every logit of an object that is not seen is lower."""

TINY = "sam2.1_hiera_t.yaml"
TINY_SEED = 2
"""Random weights whose object scores are positive and whose masks cover a part of the frame."""

SHY = 0.06
"""Taken from those object scores, the prompted frame's turns negative and the later ones stay positive."""


# ---- the two sides


class Pair(stock.Pair):
    """The same weights on both sides, and how far they may differ."""

    relative = False

    @classmethod
    def of(cls, build, relative, weights=None):
        """`build` makes a network; its class is the predictor's on the other side."""
        pair = super().of(build, weights)
        pair.relative = relative
        for side in (pair.model.network, pair.predictor):
            side.forward_image = remembering(side.forward_image)
        return pair

    def tolerance(self, masks):
        spread = min(np.ptp(mask) for mask in masks.values() if mask.max() > ABSENT)
        return RANGE_TOLERANCE * float(spread) if self.relative else NANO_TOLERANCE


def remembering(encode):
    """The image encoder, run once per picture in this file."""
    known = {}

    def encode_once(images):
        key = images.numpy().tobytes()
        if key not in known:
            with torch.no_grad():
                known[key] = encode(images)
        return {name: list(v) if isinstance(v, list) else v for name, v in known[key].items()}

    return encode_once


@pytest.fixture(scope="module", autouse=True)
def one_quiet_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with stock.quiet():
        yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def nano():
    path = model_info("nano").path
    return Pair.of(lambda: build_from_yaml(path.with_suffix(".yaml")), False, path)


def random_tiny(size):
    torch.manual_seed(TINY_SEED)
    return Pair.of(lambda: build_official(TINY, size), True)


@pytest.fixture(scope="module")
def tiny():
    with torch.random.fork_rng():
        return random_tiny(SIZE)


# ---- what is prompted

CELLS = sample_movie(0, n_frames=N_FRAMES, vanish=[(3, 4, 6)])
MOVIE = Movie.open(CELLS.images)


def middle(object_id, t, labels=CELLS.labels):
    y, x = (c.mean() for c in np.nonzero(labels[t] == object_id))
    return round(y * 4) / 4, round(x * 4) / 4


def click(object_id, t, on=None, offset=(0.0, 0.0)):
    """On the middle of the object, or against another one."""
    y, x = middle(on or object_id, t)
    return PointPrompt(object_id, t, (y + offset[0], x + offset[1]), positive=on is None)


def box(object_id, t, labels=CELLS.labels):
    y, x = np.nonzero(labels[t] == object_id)
    return BoxPrompt(object_id, t, (float(y.min()), float(x.min()), float(y.max()), float(x.max())))


def mask(object_id, t):
    return MaskPrompt.from_frame(object_id, t, CELLS.labels[t] == object_id)


KINDS = {
    "click": lambda t: [click(1, t)],
    "clicks": lambda t: [click(1, t, offset=(-4, 2)), click(1, t, offset=(5, -3.5)), click(1, t, on=5)],
    "box": lambda t: [box(2, t)],
    "box and clicks": lambda t: [box(2, t), click(2, t), click(2, t, on=4)],
    "mask": lambda t: [mask(4, t)],
    "mask and click": lambda t: [mask(4, t), click(4, t, on=2)],
    "two frames": lambda t: [box(1, t), mask(1, 5)],
    "objects": lambda t: [click(1, t), box(2, t), mask(3, t), click(4, t), click(4, t, on=2)],
}


# ---- comparison


def agree(pair, found, expected, record_property):
    """Same objects and frames, logits within the tolerance, and the same pixels inside."""
    assert found.keys() == expected.keys()
    worst = max(float(np.abs(found[key] - expected[key]).max()) for key in expected)
    record_property("largest difference", worst)
    record_property("tolerance", pair.tolerance(expected))
    assert worst < pair.tolerance(expected), f"the logits differ by up to {worst:.2g}"
    for key, logits in expected.items():
        ours, theirs = found[key] > 0, logits > 0
        assert (ours & theirs).sum() >= 0.999 * (ours | theirs).sum(), key


def shown(masks):
    """Objects and frames on which there is a mask."""
    return {key for key, logits in masks.items() if (logits > 0).any()}


def ways(*both, forward=()):
    """Kinds of prompts that are followed in both directions, or only forward."""
    forwards = [pytest.param(kind, "forward", 0) for kind in (*both, *forward)]
    return [*forwards, *(pytest.param(kind, "backward", LAST) for kind in both)]


@pytest.mark.parametrize(
    ("kind", "direction", "t"),
    ways("objects", "two frames", forward=[kind for kind in KINDS if kind not in ("objects", "two frames")]),
)
def test_nano_gives_the_masks_of_sam2(nano, kind, direction, t, record_property):
    prompts = KINDS[kind](t)
    found, expected = (run(nano, MOVIE, prompts, direction) for run in (engine_masks, stock_masks))
    agree(nano, found, expected, record_property)
    assert len(expected) == N_FRAMES * len({p.object_id for p in prompts})
    assert shown(expected) >= {key for key in expected if key[0] != 3}


@pytest.mark.parametrize(("kind", "direction", "t"), ways("two frames", forward=("click", "box and clicks", "mask")))
def test_an_official_size_gives_the_masks_of_sam2(tiny, kind, direction, t, record_property):
    found, expected = (run(tiny, MOVIE, KINDS[kind](t), direction) for run in (engine_masks, stock_masks))
    agree(tiny, found, expected, record_property)
    assert shown(expected) == set(expected)


def test_both_directions_from_one_prompt_are_a_session_each(nano, record_property):
    prompts = [click(1, 5), box(2, 5)]
    expected = stock_masks(nano, MOVIE, prompts, "forward") | stock_masks(nano, MOVIE, prompts, "backward")
    agree(nano, engine_masks(nano, MOVIE, prompts, "both"), expected, record_property)


def test_an_object_that_is_out_of_sight_has_no_mask_in_either(nano, record_property):
    found, expected = (run(nano, MOVIE, [mask(3, 0)]) for run in (engine_masks, stock_masks))
    agree(nano, found, expected, record_property)
    assert 0 < len(set(expected) - shown(expected)) < 6


def test_an_object_that_is_not_seen_where_it_is_prompted_is_remembered_so(tiny, record_property):
    for side in (tiny.model.network, tiny.predictor):
        side.sam_mask_decoder.pred_obj_score_head.layers[-1].bias.data -= SHY
    try:
        found, expected = (run(tiny, MOVIE, [click(1, 0)]) for run in (engine_masks, stock_masks))
    finally:
        for side in (tiny.model.network, tiny.predictor):
            side.sam_mask_decoder.pred_obj_score_head.layers[-1].bias.data += SHY
    agree(tiny, found, expected, record_property)
    assert expected[1, 0].max() < ABSENT < expected[1, 1].max()


@pytest.mark.parametrize(("direction", "first", "frames"), [("forward", 0, (4, 8)), ("backward", LAST, (7, 3))])
@pytest.mark.parametrize("kind", ["click", "mask"])
def test_clicks_on_a_followed_object_correct_it_as_in_sam2(nano, kind, direction, first, frames, record_property):
    """One click on one frame, then two on another; there every object is followed, corrected and followed on."""
    before = KINDS[kind](first)
    number = before[0].object_id
    corrections = [click(number, frames[0], offset=(4, -3)), click(number, frames[1]), click(number, frames[1], on=2)]
    expected = stock_masks(nano, MOVIE, before, direction, corrections)
    agree(nano, engine_masks(nano, MOVIE, [*before, *corrections], direction), expected, record_property)
    uncorrected = stock_masks(nano, MOVIE, before, direction)
    changed = {t for (_, t), logits in expected.items() if np.abs(logits - uncorrected[number, t]).max() > 0.1}
    assert changed == set(range(frames[0], N_FRAMES) if direction == "forward" else range(frames[0] + 1))


def test_a_correction_of_an_official_size_is_that_of_sam2(tiny, record_property):
    before, after = [box(2, 0)], [click(2, 4)]
    agree(
        tiny,
        engine_masks(tiny, MOVIE, [*before, *after]),
        stock_masks(tiny, MOVIE, before, corrections=after),
        record_property,
    )


def test_a_stretched_frame_is_prompted_at_the_same_places(nano, record_property):
    cells = touching_cells(0, n_frames=3, shape=(160, 224))
    prompts = [box(1, 0, cells.labels), PointPrompt(2, 0, middle(2, 0, cells.labels))]
    found, expected = (run(nano, Movie.open(cells.images), prompts) for run in (engine_masks, stock_masks))
    agree(nano, found, expected, record_property)


@pytest.mark.slow
def test_parity_at_1024_px(record_property):
    cells = sample_movie(0, n_frames=2, shape=(1024, 1024), diameter=160.0, vanish=())
    with torch.random.fork_rng():
        pair = random_tiny(1024)
    prompts = [box(1, 0, cells.labels), PointPrompt(2, 0, middle(2, 0, cells.labels))]
    found, expected = (run(pair, Movie.open(cells.images), prompts) for run in (engine_masks, stock_masks))
    agree(pair, found, expected, record_property)
    assert shown(expected) == set(expected)


def test_memory_in_full_precision_moves_no_pixel(nano):
    """What the rounding of memory amounts to: it stands for the only difference between the two sides."""
    exact = Sam2Segmenter(nano.model.network, "pair")
    found, expected = (engine_masks(nano, MOVIE, [click(1, 0)], model=model) for model in (exact, nano.model))
    assert max(np.abs(found[key] - expected[key]).max() for key in expected) < 0.1
    assert all(((found[key] > 0) == (expected[key] > 0)).all() for key in expected)


# ---- batches


def test_objects_together_are_as_each_alone(nano, record_property):
    """One of them enters later."""
    prompts = [*KINDS["objects"](0), click(5, 3)]
    alone = {}
    for object_id in {p.object_id for p in prompts}:
        alone |= engine_masks(nano, MOVIE, [p for p in prompts if p.object_id == object_id])
    agree(nano, engine_masks(nano, MOVIE, prompts), alone, record_property)


def test_the_size_of_a_batch_changes_nothing(nano, record_property):
    one, many = (Rounded(nano.model.network, "pair", chunk=chunk) for chunk in (1, 16))
    prompts = [click(i, 0) for i in range(1, 7)]
    found, expected = (engine_masks(nano, MOVIE, prompts, model=model, frames=(0, 4)) for model in (one, many))
    agree(nano, found, expected, record_property)
