"""Following some objects of a result again, on a fake model: what changes, what may not, and how far it goes."""

import shutil

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.damage import seal
from tests.support.fake_model import FakeSegmenter, disks, iou

from napari_mosam.core.api import track
from napari_mosam.core.api_results import rerun
from napari_mosam.core.config.engine import EngineConfig, MotionConfig
from napari_mosam.core.images.grey.limits import GreyLimits
from napari_mosam.core.images.movie import Movie
from napari_mosam.core.prompts.collection import BoxPrompt, MaskPrompt, PointPrompt, Prompts
from napari_mosam.core.results.columns import TABLE
from napari_mosam.core.runs.rerun_checks import same_movie
from napari_mosam.core.runs.rerun_plan import PromptHistory, RerunSegment, ResultRange, grouped, plan_object
from napari_mosam.core.simulation import SimulationConfig, simulate
from napari_mosam.core.store.result import Result

N = 20
CENTERS = [[(30, 30 + t), (66, 70), (30, 44 + t)] for t in range(N)]
IMAGES, LABELS = disks(CENTERS, radius=6)
QUICK = EngineConfig(motion=MotionConfig.off())


def mask(object_id, frame, label=None):
    return MaskPrompt.from_frame(object_id, frame, LABELS[frame] == (label or object_id))


TWO = [mask(1, 0), mask(2, 0)]


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out.zarr"


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A result that is made once and copied by :func:`write`."""
    made = tmp_path_factory.mktemp("base") / "out.zarr"
    track(IMAGES, TWO, out=made, model=FakeSegmenter(), config=QUICK)
    return made


@pytest.fixture
def done(base, out):
    """Objects 1 and 2, followed from frame 0."""
    shutil.copytree(base, out)
    return Result.open(out)


def write(out, prompts=TWO, images=IMAGES, **options):
    return track(images, prompts, out=out, **{"model": FakeSegmenter(), "config": QUICK, **options})


def again(out, prompts, object_ids=None, images=IMAGES, **options):
    return rerun(out, images, prompts, object_ids, **{"model": FakeSegmenter(), **options})


def bytes_of(out, object_id, frames=slice(None)):
    """Everything stored of an object but its area in the label frames, which others may change."""
    group = zarr.open_group(out, mode="r")
    column = group["table/object_ids"][:].tolist().index(object_id)
    table = group["table/values"][frames, column]
    kept = np.delete(table, TABLE.index("area"), axis=1)
    return tuple(
        a.tobytes() for a in (kept, group["records/logits"][frames, column], group["records/details"][frames, column])
    )


def follows(result, object_id, label, frames=range(N)):
    return [t for t in frames if iou(result.labels[t] == object_id, LABELS[t] == label) < 0.8] == []


# ---- isolation


def test_a_new_object_is_followed_and_the_others_stay_the_same_to_the_bit(done, out):
    before = bytes_of(out, 1), bytes_of(out, 2)
    result = again(out, [*TWO, mask(3, 5)])
    assert result.object_ids == (1, 2, 3)
    assert follows(result, 3, 3)
    assert (bytes_of(out, 1), bytes_of(out, 2)) == before
    assert {p.object_id for p in result.prompts} == {1, 2, 3}


def test_objects_are_added_to_a_result_as_if_they_had_been_there(tmp_path):
    write(tmp_path / "a")
    added = again(tmp_path / "a", [*TWO, mask(3, 0)])
    joint = write(tmp_path / "b", [*TWO, mask(3, 0)])
    for t in range(N):
        assert iou(added.labels[t] == 3, joint.labels[t] == 3) > 0.95


def test_many_objects_are_added_at_once(out):
    write(out, TWO[:1])
    model = FakeSegmenter()
    result = again(out, [mask(1, 0), mask(2, 3), mask(70, 6, 3)], model=model)
    assert result.object_ids == (1, 2, 70)
    assert follows(result, 2, 2)
    assert follows(result, 70, 3)
    assert result.n_object_frames == 3 * N


def test_an_id_that_does_not_fit_widens_the_labels_and_undo_narrows_them(done, out):
    before = np.asarray(done.labels[:])
    result = again(out, [*TWO, mask(70000, 0, 3)])
    assert result.labels.dtype == np.uint32 and follows(result, 70000, 3)
    assert np.array_equal(np.where(result.labels[:] == 1, 1, 0), np.where(before == 1, 1, 0))
    narrow = result.undo()
    assert narrow.labels.dtype == np.uint16 and np.array_equal(narrow.labels[:], before)


def test_without_changes_nothing_is_done(done, out):
    before, model = bytes_of(out, 1), FakeSegmenter()
    again(out, list(reversed(TWO)), model=model)
    assert model.encoded == 0
    assert bytes_of(out, 1) == before


def test_frames_can_be_done_again_without_a_change(done, out):
    labels, model, seen = done.labels[:], FakeSegmenter(), []
    result = again(out, TWO, model=model, changed_frames={2: [6]}, progress=lambda r, *_: seen.append(r.t))
    assert seen[:7] == list(range(7))
    assert np.array_equal(result.labels[:], labels)


def test_only_the_objects_that_are_named_are_followed(done, out):
    before = bytes_of(out, 1)
    result = again(out, [mask(1, 0), mask(1, 9), mask(2, 0), mask(2, 9)], [2])
    assert bytes_of(out, 1) == before
    assert sorted(p.frame for p in result.prompts if p.object_id == 1) == [0]
    assert sorted(p.frame for p in result.prompts if p.object_id == 2) == [0, 9]


def test_prompts_left_out_remove_an_object_only_if_it_is_named(done, out):
    assert set(np.unique(again(out, TWO[:1]).labels[:])) == {0, 1, 2}
    result = again(out, TWO[:1], [2])
    assert set(np.unique(result.labels[:])) == {0, 1}
    assert np.isnan(result.area[:, 1]).all()
    assert {p.object_id for p in result.prompts} == {1}


# ---- how far a change reaches


WRONG = [mask(1, 0, 3), mask(2, 0)]


def directions(result, object_id):
    return "".join((result.record(object_id, t).direction[0]) for t in range(N))


@pytest.mark.parametrize("kind", ["mask", "box"])
def test_a_correction_reaches_to_the_prompts_on_both_sides(out, kind):
    write(out, [*WRONG, mask(1, 17)])
    before = [bytes_of(out, 1, slice(0, 1)), bytes_of(out, 1, slice(17, N)), bytes_of(out, 2)]
    new = mask(1, 10) if kind == "mask" else BoxPrompt(1, 10, (24, 34, 36, 46))
    result = again(out, [*WRONG, mask(1, 17), new])
    assert [bytes_of(out, 1, slice(0, 1)), bytes_of(out, 1, slice(17, N)), bytes_of(out, 2)] == before
    assert follows(result, 1, 1, range(10, 18))
    assert np.isfinite(result.disagreement[1:9, 0]).all()  # from frame 9 on the stored mask came from frame 17


def test_a_correction_after_the_last_prompt_changes_everything_behind_it(out):
    write(out, WRONG)
    result = again(out, [*WRONG, mask(1, 10)])
    assert follows(result, 1, 1, range(10, N))
    assert np.isnan(result.disagreement[11:, 0]).all()
    assert (result.disagreement[1:10, 0] > 0.9).all()


def test_clicks_correct_the_object_as_it_comes_from_the_frame_before(done, out):
    model, seen = FakeSegmenter(), []
    click = PointPrompt(1, 10, CENTERS[10][0])
    result = again(out, [*TWO, click], model=model, progress=lambda r, *_: seen.append((r.direction, r.t)))
    assert seen[:2] == [("forward", 9), ("forward", 10)]
    assert [result.record(1, t).prompted for t in (9, 10, 11)] == [False, True, False]
    assert result.record(1, 10).memory[0].t == 9
    assert ("backward", 9) in seen
    assert follows(result, 1, 1)


def test_clicks_far_from_the_object_start_it_anew(done, out):
    result = again(out, [*TWO, PointPrompt(2, 12, CENTERS[12][2])])
    assert follows(result, 2, 3, range(12, N))
    assert follows(result, 2, 2, [0])


def test_a_run_stops_where_it_agrees_with_what_is_stored(done, out):
    seen = []
    again(out, [*TWO, mask(2, 10)], progress=lambda r, done, total: seen.append((r.direction, r.t)))
    assert [t for direction, t in seen if direction == "forward"] == [10, 11, 12, 13, 14]
    assert [t for direction, t in seen if direction == "backward"] == [10, 9, 8, 7, 6, 5]
    assert follows(Result.open(out), 2, 2)


def test_a_run_does_not_stop_before_the_last_change(done, out):
    seen = []
    again(
        out, [*TWO, PointPrompt(2, 3, (66, 70)), PointPrompt(2, 12, (66, 70))], progress=lambda r, *_: seen.append(r.t)
    )
    assert set(range(2, 17)) <= set(seen)


def test_clicks_that_deny_an_object_clear_what_followed(out):
    images, labels = disks([[(48, 48)] if t < 12 else [None] for t in range(N)], radius=7)
    start = [MaskPrompt.from_frame(1, 0, labels[0] == 1)]
    write(out, start, images)
    result = again(out, [*start, PointPrompt(1, 16, (48, 48), positive=False)], images=images)
    assert not result.labels[12:].any()
    assert result.labels[11].any()


def test_a_prompt_that_is_taken_back_is_undone(out):
    first = write(out, [mask(1, 0), mask(2, 0)])
    labels = first.labels[:]
    again(out, [*TWO, mask(1, 10, 3)])
    assert not follows(Result.open(out), 1, 1, range(10, N))
    result = again(out, TWO)
    assert np.array_equal(result.labels[:], labels)


def test_a_first_prompt_that_is_taken_back(out):
    write(out, [mask(1, 4), mask(1, 12), mask(2, 0)])
    result = again(out, [mask(1, 12), mask(2, 0)])
    assert follows(result, 1, 1)
    assert directions(result, 1) == "b" * 12 + "f" * 8


def test_forward_only_results_forget_what_came_before_a_later_start(out):
    write(out, [mask(1, 2), mask(2, 0)], direction="forward")
    result = again(out, [mask(1, 8), mask(2, 0)])
    assert np.isnan(result.area[:8, 0]).all()
    assert not (result.labels[:8] == 1).any()
    assert follows(result, 1, 1, range(8, N))


@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_one_direction_is_corrected_in_that_direction(out, direction):
    t0 = 0 if direction == "forward" else N - 1
    start = [mask(1, t0, 3), mask(2, t0)]
    write(out, start, direction=direction)
    result = again(out, [*start, mask(1, 12)])
    later, earlier = (range(12, N), range(12)) if direction == "forward" else (range(13), range(13, N))
    assert follows(result, 1, 1, later)
    assert follows(result, 1, 3, earlier)


# ---- locks


def test_locked_pairs_never_change(out):
    result = write(out, WRONG)
    for t in (11, 15):
        result.lock(1, t)
    before, pixels = [bytes_of(out, 1, slice(t, t + 1)) for t in (11, 15)], result.labels[:] == 1
    changed = again(out, [*WRONG, mask(1, 10), mask(3, 0)])
    assert [bytes_of(out, 1, slice(t, t + 1)) for t in (11, 15)] == before
    for t in (11, 15):
        assert np.array_equal(changed.labels[t] == 1, pixels[t])
    assert follows(changed, 1, 1, (10, 12, 14, 16))


def test_unlocked_pixels_may_change_hands(out):
    write(out, WRONG)
    result = again(out, [*WRONG, MaskPrompt.from_frame(3, 0, LABELS[0] == 3)])
    assert result.area[0, 0] < (LABELS[0] == 3).sum()
    for t in range(N):
        assert result.area[t].tolist() == [(result.labels[t] == i).sum() for i in (1, 2, 3)]


# ---- neighbours


def test_neighbours_are_followed_again_on_request(out):
    images, labels = disks([[(48, 30), (48, 45 - 0.5 * min(t, 8)), (15, 15)] for t in range(N)], radius=6)
    one, two, far = (MaskPrompt.from_frame(i, 0, labels[0] == i) for i in (1, 2, 3))
    options = {"model": FakeSegmenter(span=0.17)}
    write(out, [one, far], images, **options)
    before = bytes_of(out, 1, slice(0, 3)), bytes_of(out, 3)
    seen = []
    again(out, [one, two, far], images=images, neighbours=True, progress=lambda r, *_: seen.append(r), **options)
    assert (bytes_of(out, 1, slice(0, 3)), bytes_of(out, 3)) == before
    assert {o.object_id for r in seen for o in r.objects} == {1, 2}


# ---- stopped midway


def test_a_run_that_was_stopped_is_made_up_for(out):
    def stop(result, done, total):
        if done == 8:  # more than it takes to agree
            raise KeyboardInterrupt

    write(out, WRONG)
    with pytest.raises(KeyboardInterrupt):
        again(out, [*WRONG, mask(1, 10)], progress=stop)
    half = Result.open(out)
    assert follows(half, 1, 1, range(10, 18))
    assert not follows(half, 1, 1, range(18, N))
    assert half.area.tolist() == [[int((half.labels[t] == i).sum()) for i in (1, 2)] for t in range(N)]
    assert follows(again(out, [*WRONG, mask(1, 10)]), 1, 1, range(10, N))


# ---- refused


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"images": IMAGES[:5]}, "the movie has the shape .*; give the movie it was made from"),
        (
            {"prompts": [*TWO, mask(3, 0)], "model": FakeSegmenter(name="other")},
            "made by the model 'fake', not 'other'",
        ),
        ({"object_ids": [9]}, "object 9 has no prompt; there are 1, 2"),
        ({"object_ids": [8, 9]}, "objects 8, 9 have no prompt; there are 1, 2"),
        ({"changed_frames": {1: [N]}}, f"frame {N} is not in the result"),
        ({"prompts": [*TWO, PointPrompt(3, 0, (30, 300))]}, "lies outside"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_changes(done, out, change, match):
    before = bytes_of(out, 1), bytes_of(out, 2)
    with pytest.raises(ValueError, match=match):
        again(out, **{"prompts": TWO, **change})
    assert (bytes_of(out, 1), bytes_of(out, 2)) == before
    assert Result.open(out).object_ids == (1, 2)


# ---- the plan

FRAMES = st.dictionaries(st.integers(0, 15), st.booleans(), min_size=1, max_size=5)
SPANS = st.builds(ResultRange, st.just(0), st.just(16), st.sampled_from(["both", "forward", "backward"]))


@settings(max_examples=200)
@given(FRAMES, st.sets(st.integers(0, 15), max_size=4), SPANS, st.booleans())
def test_plans_stay_between_the_unchanged_prompts(prompted, changed, span, clicks):
    prompted = {**prompted, 0: True}
    past = PromptHistory(
        1, prompted, frozenset(prompted if clicks else ()), frozenset({*prompted, *changed}), lambda t: 0 <= t < 16
    )
    plan = plan_object(past, changed, span)
    for leg in plan.legs:
        assert 0 <= min(leg.start, leg.end) <= max(leg.start, leg.end) < 16
        new = {t for t in leg.frames if leg.reports(t)}
        assert new
        assert {t for t in new if prompted.get(t)} <= changed
    assert {t for t in plan.stale if prompted.get(t)} <= changed
    if span.direction != "both":
        assert {leg.step for leg in plan.legs} <= {span.step}


LEGS = st.builds(
    lambda i, step, start, n: RerunSegment(i, step, start, start + step * n, True, start),
    st.integers(1, 3),
    st.sampled_from([1, -1]),
    st.integers(0, 20),
    st.integers(0, 5),
)


@given(st.lists(LEGS, max_size=8))
def test_groups_hold_every_leg_once_and_every_object_once(legs):
    groups = grouped(legs)
    assert sorted(map(repr, legs)) == sorted(repr(leg) for group in groups for leg in group)
    for group in groups:
        assert len({leg.step for leg in group}) == 1
        assert len({leg.object_id for leg in group}) == len(group)


def test_the_movie_is_scaled_as_it_was(done, out):
    result = again(out, [*TWO, mask(3, 0)], images=Movie.open(IMAGES))
    assert follows(result, 3, 3)
    assert isinstance(result.prompts, Prompts)


def test_the_limits_and_the_brightness_stored_with_a_result_are_used_again(out):
    light = np.linspace(1, 0.2, N)[:, None, None]
    faded = (IMAGES * light).astype(np.uint16)
    write(out, images=faded)
    stored = GreyLimits.from_dict(Result.open(out).attrs["grey_limits"])
    assert stored == Movie.open(faded).grey_limits and stored.brightness is not None
    opened = same_movie(Result.open(out), Movie.open(faded, limits=(0, 5)))
    assert opened.grey_limits == stored
    np.testing.assert_array_equal(opened[N - 1], Movie.open(faded)[N - 1])
    again(out, [*TWO, mask(3, 0)], images=faded)
    assert GreyLimits.from_dict(Result.open(out).attrs["grey_limits"]) == stored


def test_a_result_of_an_earlier_version_has_two_limits(done, out):
    attrs = zarr.open_group(out, mode="r+").attrs
    attrs["limits"] = [50.0, 800.0]
    del attrs["grey_limits"]
    seal(out)
    assert same_movie(Result.open(out), IMAGES).limits == (50, 800)


# ---- with a real model


def test_nano_adds_and_corrects_cells_and_leaves_the_others_alone(out):
    movie = simulate(SimulationConfig(seed=3, n_frames=8, n_cells=3, diameter=24.0))
    first = {i: MaskPrompt.from_frame(i, 0, movie.labels[0] == i) for i in (1, 2, 3)}
    track(movie.images, [first[1], first[2]], out=out)
    before = bytes_of(out, 2), bytes_of(out, 1, slice(0, 1))
    click = PointPrompt(1, 4, tuple(np.argwhere(movie.labels[4] == 1).mean(0)))
    result = rerun(out, movie.images, [*first.values(), click])
    assert (bytes_of(out, 2), bytes_of(out, 1, slice(0, 1))) == before
    for t in range(8):
        for i in (1, 2, 3):
            assert iou(result.labels[t] == i, movie.labels[t] == i) > 0.7
    assert [result.record(1, t).prompted for t in (3, 4, 5)] == [False, True, False]
    assert np.isfinite(result.predicted_iou).all()
