"""The loop on a fake model: who is followed where, what is remembered, who gets which pixel."""

import numpy as np
import pytest
import torch
from tests.support.fake_model import CountingMovie, FakeSegmenter, disks, iou, middle

from napari_mosam.core.api import segment
from napari_mosam.core.config.engine import EngineConfig, LifecycleConfig, MemoryConfig, MotionConfig, WindowConfig
from napari_mosam.core.config.run import RunConfig
from napari_mosam.core.memory.bank import KEPT_FRAMES
from napari_mosam.core.motion.cues import FrameMotion
from napari_mosam.core.motion.history import N_FRAMES
from napari_mosam.core.prompts.collection import BoxPrompt, MaskPrompt, PointPrompt
from napari_mosam.core.results.frame import ObjectState
from napari_mosam.core.runs.request import RunRequest
from napari_mosam.core.runs.run import gather
from napari_mosam.core.tracking.propagate import Propagator

STILL_AND_MOVING = [[(30, 30), (60, 70 - 2 * t)] for t in range(12)]


def follow(images, prompts, model=None, **options):
    return list(segment(images, prompts, model=model or FakeSegmenter(), **options))


def masks(labels, frame=0):
    return [MaskPrompt.from_frame(int(i), frame, labels[frame] == i) for i in np.unique(labels[frame]) if i]


def of(result, object_id):
    return next(o for o in result.objects if o.object_id == object_id)


def propagator(images, prompts, config=EngineConfig(), motion=None):  # noqa: B008
    """One pass forward over a movie, whose table of objects can be looked at between frames."""
    request = RunRequest.build(images, prompts, RunConfig(direction="forward", engine=config))
    read, (one,), model = request.movie.__getitem__, request.passes, FakeSegmenter()
    return Propagator(model, read, len(images), gather(request, model), one, config, motion=motion)


# ---- following


@pytest.mark.parametrize("direction", ["forward", "backward"])
@pytest.mark.parametrize(
    "config", [EngineConfig(), EngineConfig.plain(), EngineConfig(window=WindowConfig(mode="full"))]
)
def test_disks_are_followed(direction, config):
    if config.window.mode == "full":
        config = EngineConfig(window=config.window, motion=MotionConfig.off())
        images, labels = disks([[(48, 48 + t)] for t in range(5)], radius=14)
    else:
        images, labels = disks(STILL_AND_MOVING)
    start = 0 if direction == "forward" else len(images) - 1
    results = follow(images, masks(labels, start), direction=direction, config=config)
    assert [r.t for r in results] == list(range(len(images)))[:: 1 if direction == "forward" else -1]
    for result in results:
        assert result.direction == direction
        assert np.array_equal(result.labels > 0, result.confidence > 0)
        for item in result.objects:
            assert iou(result.labels == item.object_id, labels[result.t] == item.object_id) > 0.85


def test_results_describe_their_pixels():
    images, labels = disks(STILL_AND_MOVING)
    for result in follow(images, masks(labels)):
        assert [o.object_id for o in result.objects] == [1, 2]
        for item in result.objects:
            ys, xs = np.nonzero(result.labels == item.object_id)
            assert item.area == len(ys)
            assert item.box == (ys.min(), xs.min(), ys.max(), xs.max())
            assert item.state is ObjectState.PRESENT
            assert item.logits.dtype == np.float32
            assert item.prompted == (result.t == 0)
            assert np.isnan(item.consistency) == (result.t == 0)
            assert item.memory_frames == tuple(range(result.t - 1, max(-1, result.t - 7), -1)) + (
                (0,) if result.t > 6 else ()
            )


def test_the_window_keeps_pace_with_a_growing_object():
    y, x = np.indices((160, 160))
    radii = np.linspace(10, 22, 16)
    images = np.stack([np.where(np.hypot(y - 80, x - 80) < r, 900, 50) for r in radii]).astype(np.uint16)
    prompt = [MaskPrompt.from_frame(1, 0, images[0] > 500)]

    def last_side(rescale):
        config = EngineConfig(window=WindowConfig(rescale=rescale), motion=MotionConfig.off())
        return follow(images, prompt, config=config)[-1].objects[0].window.size_yx[0]

    assert last_side(0.0) == pytest.approx(100, rel=0.05)
    assert 110 < last_side(0.1) < 215
    assert last_side(1.0) == pytest.approx(5 * 2 * radii[-2], rel=0.1)


def test_the_window_is_placed_by_the_last_centre_and_the_motion():
    class Steady:
        def step(self, frame):
            return FrameMotion(drift_yx=(1.0, -3.0))

    images, labels = disks([[(40 + t, 60 - 3 * t)] for t in range(6)])
    for result in list(propagator(images, masks(labels), motion=Steady()))[1:]:
        item = result.objects[0]
        assert item.shift_yx == (1.0, -3.0)
        assert item.window.center_yx == pytest.approx(middle(labels[result.t] == 1), abs=1)
        assert item.consistency > 0.85


def test_a_window_never_leaves_the_frame_altogether():
    images, labels = disks([[(10, 10 - 4 * t)] for t in range(8)])
    for result in follow(images, masks(labels)):
        y, x = result.objects[0].window.center_yx
        assert 0 <= y <= 95
        assert 0 <= x <= 95


# ---- an object that is not there


def vanishing(gone, n=12):
    return disks([[None if t in gone else (48, 40 + t)] for t in range(n)])


def test_an_absent_object_has_no_mask_and_writes_no_memory():
    gone = {5, 6, 7}
    images, labels = vanishing(gone)
    model = FakeSegmenter()
    results = follow(images, masks(labels), model)
    for result in results:
        item, absent = result.objects[0], result.t in gone
        assert (result.labels > 0).any() != absent
        assert item.state is (ObjectState.LOST if absent else ObjectState.PRESENT)
        assert (item.object_score <= 0) == absent
        assert item.remembered != absent
        assert (item.box is None) == (item.area == 0) == absent
        assert not gone & set(item.memory_frames)
    assert all(score > 0 and mask.any() for score, mask in model.remembered)
    assert iou(results[-1].labels == 1, labels[-1] == 1) > 0.85


def test_with_sam2s_memory_an_absent_object_is_remembered_as_absent():
    images, labels = vanishing({5, 6, 7})
    model = FakeSegmenter()
    results = follow(images, masks(labels), model, memory="sam2")
    assert all(o.remembered for r in results for o in r.objects)
    assert {5, 6, 7} <= set(results[8].objects[0].memory_frames)
    empty = [not mask.any() for score, mask in model.remembered if score <= 0]
    assert empty == [True] * 3


def test_an_object_that_never_returns_stays_lost():
    images, labels = vanishing(set(range(3, 10)), 10)
    results = follow(images, masks(labels))
    assert [r.objects[0].state == "lost" for r in results] == [False] * 3 + [True] * 7
    assert all(o.memory_frames == (2, 1, 0) for r in results[3:] for o in r.objects)


def test_a_prompt_on_nothing_is_lost_and_does_no_harm():
    images, labels = disks([[(30, 30)]] * 4)
    results = follow(images, [*masks(labels), PointPrompt(2, 0, (90, 90))], diameter=8)
    for result in results:
        assert of(result, 2).state is ObjectState.LOST
        assert iou(result.labels == 1, labels[0] == 1) > 0.85


def test_a_leap_in_size_is_not_remembered():
    images, labels = disks([[(48, 48)]] * 8, radius=6)
    images[5] = disks([[(48, 48)]], radius=13)[0]
    remembered = [r.objects[0].remembered for r in follow(images, masks(labels))]
    assert remembered == [True] * 5 + [False] + [True] * 2


def test_a_later_prompt_of_another_size_is_believed():
    small, labels = disks([[(80, 80)]] * 5, (160, 160), radius=6)
    large, large_labels = disks([[(80, 80)]] * 5, (160, 160), radius=14)
    prompts = [MaskPrompt.from_frame(1, 0, labels[0] == 1), MaskPrompt.from_frame(1, 5, large_labels[0] == 1)]
    results = follow(np.concatenate([small, large]), prompts, direction="forward")
    assert all(r.objects[0].remembered for r in results)


def test_a_later_prompt_sets_the_window():
    small, labels = disks([[(80, 80)]] * 5, (160, 160), radius=6)
    large, large_labels = disks([[(80, 80)]] * 5, (160, 160), radius=14)
    prompts = [MaskPrompt.from_frame(1, 0, labels[0] == 1), MaskPrompt.from_frame(1, 5, large_labels[0] == 1)]
    results = follow(np.concatenate([small, large]), prompts)
    assert results[6].objects[0].window.size_yx[0] == pytest.approx(5 * 28, rel=0.1)


# ---- several objects


def test_objects_that_touch_never_overlap():
    centers = [[(48, 30 + 2 * t), (48, 66 - 2 * t)] for t in range(7)]
    images, labels = disks(centers, radius=9)
    model = FakeSegmenter(span=0.14)
    results = follow(images, masks(labels), model, config=EngineConfig(motion=MotionConfig.off()))
    touching = False
    for result in results:
        one, two = (of(result, i) for i in (1, 2))
        assert one.area + two.area == (result.labels > 0).sum()
        assert min(one.area, two.area) > 60
        assert middle(result.labels == 1)[1] < middle(result.labels == 2)[1]
        touching |= ((result.labels[:, :-1] == 1) & (result.labels[:, 1:] == 2)).any()
    assert touching


def remembered_overlap(compete):
    """Pixels of two touching disks that both write to memory, over windows at the same place."""
    images, labels = disks([[(48, 40), (48, 54)]] * 3, radius=9)
    model = FakeSegmenter(span=0.15)
    list(segment(images, masks(labels), model=model, compete=compete, direction="forward"))
    return max(mask.mean() for _, mask in model.remembered[-2:])


def test_what_a_rival_holds_is_not_written_to_memory():
    assert remembered_overlap(compete=True) < 0.85 * remembered_overlap(compete=False)


@pytest.mark.parametrize("compete", [True, False])
def test_the_output_never_overlaps_and_agrees_with_the_areas(compete):
    images, labels = disks([[(48, 40), (48, 54)]] * 3, radius=9)
    for result in follow(images, masks(labels), compete=compete):
        assert [o.area for o in result.objects] == [(result.labels == i).sum() for i in (1, 2)]


def test_the_order_of_the_prompts_does_not_matter():
    images, labels = disks([[(30, 30 + t), (60, 70 - 2 * t), (75, 25)] for t in range(6)])
    prompts = [
        PointPrompt(12, 0, (30, 30)),
        BoxPrompt(5, 2, (52, 58, 68, 74)),
        MaskPrompt.from_frame(9, 1, labels[1] == 3),
        PointPrompt(5, 4, (60, 62)),
    ]
    one, other = follow(images, prompts), follow(images, prompts[::-1])
    assert len(one) == len(other)
    for a, b in zip(one, other, strict=True):
        assert (a.t, a.direction) == (b.t, b.direction)
        assert np.array_equal(a.labels, b.labels)
        assert np.array_equal(a.confidence, b.confidence)
        assert (
            [o.object_id for o in a.objects]
            == [o.object_id for o in b.objects]
            == sorted({o.object_id for o in a.objects})
        )


def test_an_object_alone_is_followed_as_beside_others_far_away():
    images, labels = disks([[(25, 25 + t), (75, 70)] for t in range(5)], (100, 100), radius=6)
    both = follow(images, masks(labels))
    alone = follow(images, masks(labels)[:1])
    for a, b in zip(both, alone, strict=True):
        assert np.array_equal(a.labels == 1, b.labels == 1)


@pytest.mark.parametrize(("ids", "dtype"), [((300, 65535), np.uint16), ((300, 70000), np.uint32)])
def test_ids_beyond_bytes_and_words(ids, dtype):
    images, labels = disks([[(30, 30), (60, 70)]] * 3)
    prompts = [MaskPrompt.from_frame(i, 0, labels[0] == k) for k, i in enumerate(ids, 1)]
    for result in follow(images, prompts):
        assert result.labels.dtype == dtype
        assert set(np.unique(result.labels)) == {0, *ids}


def test_two_objects_never_share_one_cell():
    images, labels = disks([[(48, 30), (48, 66)]] + [[(48, 48), None]] * 3, radius=9)
    results = follow(images, masks(labels), FakeSegmenter(reach=0.4), motion=False)
    for result in results[1:]:
        assert sorted(bool(o.area) for o in result.objects) == [False, True]
        assert sum(o.area for o in result.objects) == pytest.approx((labels[1] > 0).sum(), rel=0.15)


@pytest.mark.parametrize(("most_iou", "kept"), [(0.5, [True, False]), (1.0, [True, True])])
def test_how_much_two_masks_may_overlap_before_they_are_one_is_a_setting(most_iou, kept):
    images, labels = disks([[(48, 30), (48, 66)]] + [[(48, 48), None]] * 3, radius=9)
    config = EngineConfig(motion=MotionConfig.off(), life=LifecycleConfig.off(), duplicate_iou=most_iou)
    results = follow(images, masks(labels), FakeSegmenter(reach=0.4), config=config)
    assert [bool(o.area) for o in results[-1].objects] == kept


# ---- prompts on several frames


def test_an_object_enters_where_it_is_prompted():
    images, labels = disks([[(30, 30), (60, 70)]] * 8)
    prompts = [MaskPrompt.from_frame(1, 0, labels[0] == 1), MaskPrompt.from_frame(2, 5, labels[5] == 2)]
    results = follow(images, prompts)
    present = [(r.direction[0], r.t, [o.object_id for o in r.objects]) for r in results]
    assert present == [("f", t, [1] if t < 5 else [1, 2]) for t in range(8)] + [("b", t, [2]) for t in range(4, -1, -1)]


def test_an_object_holds_its_cell_on_the_frame_where_a_backward_pass_meets_it():
    """Object 2 is lost backward from frame 5 on and would take the cell of object 1, which is prompted on frame 2."""
    images, labels = disks([[(48, 40), None]] * 5 + [[(48, 40), (48, 62)]] * 3, radius=9)
    prompts = [MaskPrompt.from_frame(1, 2, labels[2] == 1), MaskPrompt.from_frame(2, 6, labels[6] == 2)]
    results = follow(images, prompts, FakeSegmenter(reach=0.6), motion=False)
    met = next(r for r in results if r.direction == "backward" and r.t == 2)
    assert [(o.object_id, o.area) for o in met.objects] == [(2, 0)]
    assert not met.labels.any()
    assert all(of(r, 1).area > 200 for r in results if r.direction == "backward" and r.t < 2)


def test_a_corrective_prompt_puts_a_lost_object_back():
    leap = [[(25, 25)]] * 4 + [[(70, 70)]] * 6
    images, labels = disks(leap)
    lost = follow(images, masks(labels), motion=False)
    assert lost[-1].objects[0].state is ObjectState.LOST
    found = follow(images, [*masks(labels), PointPrompt(1, 5, (70, 70))], motion=False, direction="forward")
    assert [r.objects[0].prompted for r in found] == [t in (0, 5) for t in range(10)]
    for result in found[5:]:
        assert iou(result.labels == 1, labels[result.t] == 1) > 0.8


@pytest.mark.parametrize(
    ("n_hidden", "moved", "iou", "held"),
    [
        (0, 14, 0.6, True),
        (0, 20, 0.6, False),
        (0, 20, 0.9, True),
        (0, 30, 0.9, True),
        (0, 40, 0.9, False),
        (1, 30, 0.9, True),
        (1, 44, 0.9, False),
        (2, 14, 0.9, True),
        (2, 24, 0.9, False),
    ],
)
def test_how_far_from_where_it_was_a_cell_of_16_px_is_believed(n_hidden, moved, iou, held):
    """Two diameters while it was just seen and the model is sure, else one: small nuclei leap as far between frames."""
    images, labels = disks([[(48, 20)]] * 8 + [[None]] * n_hidden + [[(48, 20 + moved)]])
    model = FakeSegmenter(reach=0.6, present_iou=iou)
    last = follow(images, masks(labels), model, motion=False)[-1].objects[0]
    assert bool(last.area) is held


def test_prompted_frames_are_shown_to_both_directions_and_kept():
    images, labels = disks([[(40, 40)]] * 30)
    results = follow(images, [MaskPrompt.from_frame(1, t, labels[0] == 1) for t in (10, 14)])
    by_frame = {r.t: r.objects[0].memory_frames for r in results if not r.objects[0].prompted}
    assert all({10, 14} <= set(read) for read in by_frame.values())
    assert {r.direction for r in results if r.t < 10} == {"backward"}


def test_a_painted_mask_beats_every_prediction():
    images, labels = disks([[(48, 40), (48, 53)]] * 4, radius=9)
    mine = np.zeros(images.shape[1:], bool)
    mine[44:52, 36:48] = True
    results = follow(images, [MaskPrompt.from_frame(1, 0, labels[0] == 2), MaskPrompt.from_frame(2, 2, mine)])
    frame = next(r for r in results if r.t == 2)
    assert iou(frame.labels == 2, mine) > 0.75


# ---- bounded and clean


def test_memory_does_not_grow_with_the_movie():
    images, labels = disks([[(40, 40)]] * 60, (64, 64), radius=6)
    run = propagator(images, masks(labels), EngineConfig(motion=MotionConfig.off()))
    for result in run:
        assert len(result.objects[0].memory_frames) <= 7
    (held,) = run.table
    assert (len(held.bank.conditioning), len(held.bank.tracked)) == (1, KEPT_FRAMES)
    assert len(held.bank.areas) == MemoryConfig().area_history
    assert len(held.history.frames) == N_FRAMES


def test_no_mode_of_torch_is_left_open_between_frames():
    images, labels = disks(STILL_AND_MOVING)
    for direction in ("forward", "backward"):
        start = 0 if direction == "forward" else len(images) - 1
        for _ in segment(images, masks(labels, start), model=FakeSegmenter(), direction=direction):
            assert torch.is_grad_enabled()
            assert not torch.is_inference_mode_enabled()
            assert not torch.is_autocast_enabled("cpu")


def test_a_run_can_be_closed_early():
    movie = CountingMovie(disks(STILL_AND_MOVING)[0])
    run = segment(movie, [PointPrompt(1, 0, (30, 30))], model=FakeSegmenter())
    next(run)
    next(run)
    movie.reads.clear()
    run.close()
    assert list(run) == []
    assert movie.reads == []


def test_the_flow_and_the_drift_of_a_frame_are_reported():
    images, labels = disks(STILL_AND_MOVING)
    results = follow(images, masks(labels))
    assert results[0].flow is None
    assert all(r.flow.shape == (2, 96, 96) for r in results[1:])
    assert all(r.flow is None and r.drift_yx == (0, 0) for r in follow(images, masks(labels), motion=False))


# ---- corrections on the way


def test_a_click_on_a_followed_object_corrects_its_mask_with_memory():
    images, labels = disks([[(48, 40)]] * 8)
    model = FakeSegmenter()
    results = follow(images, [*masks(labels), PointPrompt(1, 4, (48, 42))], model, direction="forward")
    corrected = results[4].objects[0]
    assert corrected.prompted
    assert corrected.decoded_with == "prompt"
    assert corrected.memory_frames[:3] == (3, 2, 1)
    assert 4 in results[7].objects[0].memory_frames
    run = propagator(images, [*masks(labels), PointPrompt(1, 4, (48, 42))])
    assert len(list(run)) == 8
    assert [f.t for f in run.table.by_id[1].bank.conditioning] == [0, 4]


def test_a_minus_click_corrects_an_object_that_is_followed():
    images, labels = disks([[(48, 40)]] * 8)
    minus = PointPrompt(1, 4, (48, 60), positive=False)
    results = follow(images, [*masks(labels), minus], direction="forward")
    assert [r.objects[0].prompted for r in results] == [t in (0, 4) for t in range(8)]


def test_a_minus_click_on_a_lost_object_does_nothing():
    images, labels = vanishing(set(range(3, 10)), 10)
    minus = PointPrompt(1, 6, (48, 44), positive=False)
    results = follow(images, [*masks(labels), minus], direction="forward")
    assert [r.objects[0].prompted for r in results] == [t == 0 for t in range(10)]


def test_a_correction_is_known_to_the_backward_pass():
    images, labels = disks([[(48, 40)]] * 12)
    prompts = [MaskPrompt.from_frame(1, 3, labels[0] == 1), PointPrompt(1, 8, (48, 41))]
    results = follow(images, prompts)
    back = [r for r in results if r.direction == "backward"]
    assert [r.t for r in back] == list(range(7, -1, -1))
    assert {3, 8} <= set(back[-1].objects[0].memory_frames)


# ---- motion


def test_every_cue_tells_what_it_saw_and_whether_it_was_used():
    images, labels = disks([[(48, 30 + 3 * t)] for t in range(8)])
    config = EngineConfig(motion=MotionConfig(keypoints=True, velocity=True))
    item = follow(images, masks(labels), config=config)[-1].objects[0]
    assert {cue.name for cue in item.cues} == {"drift", "flow", "keypoints", "velocity"}
    assert [cue.name for cue in item.cues if cue.used] == ["velocity"]
    assert next(c for c in item.cues if c.name == "velocity").shift_yx == pytest.approx((0, 3), abs=1)


@pytest.mark.parametrize("form", ["mask", "points", "box", "box+points"])
def test_motion_prompts_are_a_second_decode_of_the_same_features(form):
    images, labels = disks([[(48, 30 + 3 * t)] for t in range(6)])
    model = FakeSegmenter()
    config = EngineConfig(motion=MotionConfig(prompt=form))
    results = follow(images, masks(labels), model, config=config)
    plain = FakeSegmenter()
    follow(images, masks(labels), plain)
    assert model.encoded == plain.encoded
    assert all(iou(r.labels == 1, labels[r.t] == 1) > 0.8 for r in results)
    assert {r.objects[0].decoded_with for r in results[1:]} <= {"memory", "motion"}


@pytest.mark.parametrize("pixels", ["off", "bias", "feature"])
def test_remembered_frames_know_how_sure_their_pixels_are(pixels):
    images, labels = disks([[(48, 40)]] * 4)
    run = propagator(images, masks(labels), EngineConfig(memory=MemoryConfig(pixels=pixels)))
    assert len(list(run)) == 4
    sure = [frame.confidence for frame in run.table.by_id[1].bank.tracked]
    assert len(sure) == 3
    assert all((c is None) == (pixels == "off") for c in sure)
    assert all(0 <= c.min() <= c.max() <= 1 for c in sure if c is not None)


def test_a_mask_that_falls_apart_is_evidence_of_a_division():
    y, x = np.indices((96, 96))
    one = np.hypot((y - 48) / 1.0, (x - 48) / 1.6) <= 10
    two = one & (abs(x - 48) > 3)
    images = np.stack([np.where(m, 1000, 100) for m in (one, one, two)]).astype(np.uint16)

    class Both(FakeSegmenter):
        def _find(self, image, aim):
            return np.where(image > 0.5, 6.0, -6.0).astype(np.float32), 5.0

    results = follow(images, [MaskPrompt.from_frame(1, 0, one)], Both())
    assert [r.objects[0].division > 0.5 for r in results] == [False, False, True]


def test_an_object_that_left_through_the_border_is_not_looked_for_any_more():
    images, labels = disks([[(48, max(-30, 20 - 6 * t))] for t in range(20)])
    config = EngineConfig(life=LifecycleConfig(end_at_border=3))
    model = FakeSegmenter()
    results = follow(images, masks(labels), model, config=config)
    states = [r.objects[0].state for r in results]
    assert states[-1] is ObjectState.ENDED
    assert len(results) == 20
    assert model.encoded == 20 - states.count(ObjectState.ENDED) + 1


# ---- corners


FULL = WindowConfig(mode="full")


@pytest.mark.parametrize("window", [WindowConfig(), FULL])
@pytest.mark.parametrize("gone", [{2}, {2, 3}])
def test_an_object_far_from_the_middle_of_the_frame_is_found_again(window, gone):
    images, labels = disks([[None if t in gone else (20, 20)] for t in range(10)])
    config = EngineConfig(window=window, motion=MotionConfig.off())
    results = follow(images, masks(labels), FakeSegmenter(reach=1.0), config=config)
    assert "".join(r.objects[0].state.value[0] for r in results[5:]) == "ppppp"


def test_sam2s_memory_does_not_remember_what_has_ended():
    images, labels = disks([[(48, 5)]] * 3 + [[None]] * 12)
    config = EngineConfig(memory=MemoryConfig(selection="sam2"), life=LifecycleConfig(end_at_border=3))
    assert follow(images, masks(labels), config=config)[-1].objects[0].state is ObjectState.ENDED


@pytest.mark.parametrize("config", [EngineConfig(), EngineConfig.plain()])
def test_an_object_that_is_not_on_its_prompted_frame_is_lost_there(config):
    images, labels = disks([[(48, 40)]] * 3 + [[None]] + [[(48, 40)]] * 3)
    nowhere = BoxPrompt(1, 3, (40, 32, 56, 48))
    results = follow(images, [*masks(labels), nowhere], config=config, direction="forward")
    assert [r.objects[0].state.value[0] for r in results] == list("ppplppp")


def test_an_object_lost_in_the_middle_of_the_frame_never_ends():
    images, labels = disks([[(48, 20 + 2 * t)] for t in range(12)] + [[None]] * 40)
    results = follow(images, masks(labels), motion=MotionConfig(flow=False))
    assert results[-1].objects[0].state is ObjectState.LOST


def test_plain_remembers_the_logits_as_they_are():
    class Unsure(FakeSegmenter):
        def _find(self, image, aim):
            return np.full(image.shape, -0.5, np.float32), 5.0

    images, labels = disks([[(48, 40)]] * 3)
    results = follow(images, masks(labels), Unsure(), config=EngineConfig.plain())
    assert results[1].objects[0].logits.max() == np.float32(-0.5)


def test_prompts_on_the_way_do_not_change_the_course_of_an_object():
    images, labels = disks([[(48, 20 + 4 * t)] for t in range(12)], (96, 120))

    def shift(prompts):
        run = propagator(images, prompts)
        assert len(list(run)) == 12
        return run.table.by_id[1].kalman.velocity_yx[1]

    later = MaskPrompt.from_frame(1, 6, labels[6] == 1)
    assert shift(masks(labels)) == pytest.approx(4, abs=0.3)
    assert shift([*masks(labels), later]) == pytest.approx(4, abs=0.3)


def test_what_a_consumer_does_to_a_result_does_not_reach_the_engine():
    images, labels = disks([[(48, 40)]] * 6)
    prompts = [MaskPrompt.from_frame(1, t, labels[t] == 1) for t in (0, 3)]
    for result in segment(images, prompts, model=FakeSegmenter()):
        result.objects[0].logits[:] = -5
        assert result.objects[0].area > 100


def test_a_window_stops_growing():
    images, labels = disks([[(48, 40)]] + [[None]] * 1100, (64, 64), radius=6)
    config = EngineConfig(life=LifecycleConfig(widen=2.0, max_widen=2.0), motion=MotionConfig.off())
    *_, last = segment(images, masks(labels), model=FakeSegmenter(), config=config)
    assert last.objects[0].window.size_yx[0] == pytest.approx(2 * 5 * 12, rel=0.1)
