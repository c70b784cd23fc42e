"""The public functions on a fake model: which frames come, what is read, what is refused and when."""

import importlib.util
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.fake_model import CountingMovie, FakeSegmenter, disks, iou

from napari_mosam.core.api import preview, segment, track
from napari_mosam.core.config.engine import EngineConfig, MemoryConfig, MotionConfig
from napari_mosam.core.config.run import RunConfig
from napari_mosam.core.images.movie import Movie, MovieError
from napari_mosam.core.model.device import DeviceError
from napari_mosam.core.model.registry import ModelError
from napari_mosam.core.prompts.collection import BoxPrompt, MaskPrompt, PointPrompt, PromptError, Prompts
from napari_mosam.core.runs.arguments import merged_config
from napari_mosam.core.runs.request import RunRequest

N = 9
IMAGES, LABELS = disks([[(30, 30 + t), (66, 70)] for t in range(N)], radius=7)
CLICK = PointPrompt(1, 0, (30, 30))
CLICK_LATER = PointPrompt(1, 4, (30, 30))
QUICK = EngineConfig(motion=MotionConfig.off())


def follow(prompts, images=IMAGES, **options):
    return list(segment(images, prompts, **{"model": FakeSegmenter(), "config": QUICK, **options}))


def mask(object_id, frame, label=1):
    return MaskPrompt.from_frame(object_id, frame, LABELS[frame] == label)


def visited(results, direction, object_id=None):
    return [
        r.t for r in results if r.direction == direction and (object_id in (None, *(o.object_id for o in r.objects)))
    ]


# ---- which frames


@pytest.mark.parametrize("frame", [0, 4, N - 1])
def test_both_directions_cover_every_frame_once(frame):
    results = follow([mask(1, frame)])
    assert visited(results, "forward") == list(range(frame, N))
    assert visited(results, "backward") == list(range(frame - 1, -1, -1))


@pytest.mark.parametrize("frame", [0, 4, N - 1])
def test_one_direction(frame):
    assert visited(follow([mask(1, frame)], direction="forward"), "forward") == list(range(frame, N))
    assert visited(follow([mask(1, frame)], direction="backward"), "backward") == list(range(frame, -1, -1))


def test_a_reversed_movie_covers_the_same_frames_with_the_same_masks():
    forward = follow([mask(1, 0), mask(2, 0, 2)], direction="forward")
    flipped = [MaskPrompt(p.object_id, N - 1, p.mask, p.origin) for p in (mask(1, 0), mask(2, 0, 2))]
    backward = follow(flipped, IMAGES[::-1], direction="backward")
    assert [N - 1 - r.t for r in backward] == [r.t for r in forward]
    for one, other in zip(forward, backward, strict=True):
        assert np.array_equal(one.labels, other.labels)


def test_each_object_is_followed_from_its_own_prompts():
    prompts = [mask(1, 2), mask(1, 6), mask(2, 5, 2)]
    both = follow(prompts)
    assert visited(both, "forward", 1) == list(range(2, N))
    assert visited(both, "forward", 2) == list(range(5, N))
    assert visited(both, "backward", 1) == [5, 4, 3, 2, 1, 0]
    assert visited(both, "backward", 2) == [4, 3, 2, 1, 0]
    backward = follow(prompts, direction="backward")
    assert visited(backward, "backward", 1) == list(range(6, -1, -1))
    assert visited(backward, "backward", 2) == list(range(5, -1, -1))


@pytest.mark.parametrize("frames", [(2, 7), slice(2, 7), slice(2, 7, 1)])
def test_a_range_of_frames(frames):
    results = follow([mask(1, 4)], frames=frames)
    assert visited(results, "forward") == [4, 5, 6]
    assert visited(results, "backward") == [3, 2]


@pytest.mark.parametrize("frames", [(None, 3), (1, None), slice(None), (4, 5)])
def test_open_and_single_ranges(frames):
    start, stop, _ = slice(*frames).indices(N) if isinstance(frames, tuple) else frames.indices(N)
    results = follow([mask(1, start)], frames=frames)
    assert [r.t for r in results] == list(range(start, stop))


def test_prompts_outside_the_range_play_no_part():
    inside = follow([mask(1, 3)], frames=(2, 7))
    more = follow([mask(1, 3), mask(1, 8), mask(1, 0, 2)], frames=(2, 7))
    for one, other in zip(inside, more, strict=True):
        assert np.array_equal(one.labels, other.labels)


@pytest.mark.parametrize("n_frames", [1, 2])
@pytest.mark.parametrize("direction", ["both", "forward", "backward"])
def test_the_shortest_movies(n_frames, direction):
    results = follow([mask(1, 0)], IMAGES[:n_frames], direction=direction)
    assert [r.t for r in results] == ([0] if direction == "backward" else list(range(n_frames)))
    assert all(iou(r.labels == 1, LABELS[r.t] == 1) > 0.8 for r in results)


def test_a_single_frame_without_a_time_axis():
    (result,) = follow([CLICK], IMAGES[0])
    assert iou(result.labels == 1, LABELS[0] == 1) > 0.8


PLACES = st.lists(st.tuples(st.integers(1, 3), st.integers(0, 5)), min_size=1, max_size=5)


@settings(max_examples=25)
@given(PLACES, st.sampled_from(["both", "forward", "backward"]), st.integers(0, 2), st.integers(3, 6))
def test_the_number_of_results_is_known_before_they_come(places, direction, start, stop):
    prompts = [MaskPrompt.from_frame(i, t, LABELS[0] == 1) for i, t in dict.fromkeys(places)]
    inside = {p.object_id for p in prompts if start <= p.frame < stop}
    if inside != {p.object_id for p in prompts}:
        with pytest.raises(PromptError, match="(has|have) no prompt on frames"):
            follow(prompts, IMAGES[:6], frames=(start, stop), direction=direction)
        return
    results = follow(prompts, IMAGES[:6], frames=(start, stop), direction=direction)
    asked = RunConfig(frames=(start, stop), direction=direction)
    assert len(results) == RunRequest.build(IMAGES[:6], prompts, asked).n_results
    assert all(r.objects for r in results)
    assert all(start <= r.t < stop for r in results)
    found = Counter((r.t, o.object_id) for r in results for o in r.objects)
    within = [p for p in prompts if start <= p.frame < stop]
    first, last = ({i: pick(p.frame for p in within if p.object_id == i) for i in inside} for pick in (min, max))
    for (t, i), n in found.items():
        assert n == (2 if direction == "both" and first[i] <= t < last[i] else 1)


# ---- streaming


@pytest.mark.parametrize("direction", ["both", "forward", "backward"])
def test_frames_are_read_singly_once_a_pass_and_once_for_the_prompts(direction):
    movie = CountingMovie(IMAGES)
    opened = Movie.open(movie)
    opened.limits  # noqa: B018  sampled once for the whole movie, before anything is followed
    movie.reads.clear()
    prompts = [mask(1, 3), mask(1, 6), mask(2, 5, 2)]
    results = follow(prompts, opened, direction=direction)
    passes = Counter(r.t for r in results)
    allowed = passes + Counter({3: 1, 5: 1, 6: 1}) + Counter({6: 1, 5: 1, 4: 1, 3: 1})
    read = Counter(movie.reads)
    assert all(read[t] <= allowed[t] for t in range(N))
    assert read.total() <= passes.total() + 3 + 3


def test_nothing_is_computed_before_the_first_result_is_asked_for():
    movie, model = CountingMovie(IMAGES), FakeSegmenter()
    run = segment(movie, [CLICK], model=model)
    assert (movie.reads, model.encoded) == ([], 0)
    next(run)
    assert model.encoded > 0


def test_results_come_as_frames_are_read():
    movie = CountingMovie(np.concatenate([IMAGES] * 4))
    opened = Movie.open(movie, limits=Movie.open(IMAGES).limits)  # those would be found on frames that are kept
    for n, result in enumerate(segment(opened, [CLICK], model=FakeSegmenter(), config=QUICK), start=1):
        read = movie.reads.copy()  # the next frame is read ahead, in a thread
        assert set(range(result.t + 1)) <= set(read) <= set(range(result.t + 2))
        assert len(read) <= n + 2
        if n == 10:
            break


def test_all_windows_of_a_frame_are_encoded_in_one_batch():
    model = FakeSegmenter()
    follow([mask(1, 0), mask(2, 0, 2)], model=model)
    assert model.encoded == 2 * N


# ---- bad input is refused at the call


def refuse(error, match, prompts=(CLICK,), images=IMAGES, **options):
    with pytest.raises(error, match=match):
        segment(images, prompts, **{"model": FakeSegmenter(), **options})


@pytest.mark.parametrize(
    ("prompts", "match"),
    [
        ([], "nothing is marked"),
        ([PointPrompt(1, N, (30, 30))], f"frame {N}.*frames 0 to {N - 1}"),
        ([PointPrompt(1, -1, (30, 30))], f"object 1 on frame -1: .*frames 0 to {N - 1} are allowed"),
        ([PointPrompt(1, 0, (30, 200))], r"lies outside the frame of 96 x 96 px"),
        ([BoxPrompt(1, 0, (100, 0, 120, 20))], r"box \[100, 0, 120, 20\] lies outside the frame of 96 x 96 px"),
        ([MaskPrompt.from_frame(1, 0, np.zeros((96, 96)))], "mask is empty"),
        ([MaskPrompt.from_frame(1, 0, np.ones((50, 50)))], r"the mask \(50, 50\) does not fit .*\(96, 96\)"),
        ([PointPrompt(1, 0, (30, 30), positive=False)], "negative points only"),
        ([PointPrompt(1, 2, (30, 30), positive=False), CLICK_LATER], "only negative points on frame 2"),
        ([PointPrompt(0, 0, (30, 30))], "1 or more"),
        ([mask(1, 0), mask(1, 0, 2)], "2 masks"),
        (["click"], "is no prompt"),
    ],
)
def test_prompts_that_cannot_be_used(prompts, match):
    refuse(PromptError, match, prompts)
    with pytest.raises(PromptError, match=match):
        track(IMAGES, prompts, out="never.zarr", model=FakeSegmenter())


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        (
            {"direction": "sideways"},
            ValueError,
            "direction = 'sideways' .* 'forward', 'backward' or 'both'",
        ),
        ({"diameter": 0}, ValueError, "diameter = 0 is not possible; allowed: a positive number of px"),
        ({"diameter": -4}, ValueError, "diameter = -4 is not possible; allowed: a positive number of px"),
        ({"diameter": float("nan")}, ValueError, "diameter = nan is not possible; allowed: a positive number of px"),
        ({"diameter": float("inf")}, ValueError, "diameter = inf is not possible; allowed: a positive number of px"),
        ({"frames": (3, 3)}, ValueError, r"frames = \(3, 3\) is not possible; allowed: a range .* start below stop"),
        ({"frames": (0, 10)}, ValueError, "frames 0:10 are not possible; the movie has frames 0:9"),
        ({"frames": (9, None)}, ValueError, "frames 9: are not possible; the movie has frames 0:9"),
        ({"frames": (-3, None)}, ValueError, r"frames = \(-3, None\) is not possible; allowed: a range"),
        ({"frames": slice(0, 8, 2)}, ValueError, "every frame of a range"),
        ({"frames": (4, 8)}, PromptError, "object 1 has no prompt on frames 4 to 7"),
        ({"memory": "all"}, ValueError, "memory selection = 'all'"),
        ({"model": "huge"}, ModelError, "no model 'huge'; choose one of nano"),
        ({"model": "nano", "device": "gpu"}, DeviceError, "device 'gpu' is unknown"),
        ({"axes": "TYXC"}, MovieError, "axes='TYXC' names 4 axes, but numpy array has 3"),
        ({"channel": 1}, MovieError, r"channel=1 is not in numpy array, which has 1 channel\(s\)"),
    ],
)
def test_options_that_are_not_possible(options, error, match, tmp_path):
    refuse(error, match, **options)
    with pytest.raises(error, match=match):
        track(IMAGES, [CLICK], out=tmp_path / "out.zarr", **{"model": FakeSegmenter(), **options})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("images", "match"),
    [
        (np.zeros((0, 8, 8)), r"is empty: its shape is \(0, 8, 8\)"),
        (np.zeros(5), r"has the shape \(5,\); a movie has at least the axes Y and X"),
        ("missing.tif", "^missing.tif does not exist; check the spelling"),
    ],
)
def test_movies_that_cannot_be_read(images, match):
    refuse(MovieError, match, images=images)


def test_cuda_without_a_gpu(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    refuse(DeviceError, "device 'cuda' is not available here; use .*cpu", model="nano", device="cuda")


def test_opencv_flow_without_opencv_is_refused_at_the_call(monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "cv2" else found(name, *a))
    refuse(ValueError, "needs OpenCV", motion=MotionConfig(flow_method="dis"))


def test_motion_that_is_neither_a_switch_nor_a_config_is_refused():
    refuse(ValueError, "motion encoder = 'off' is not possible; allowed: 'classical' or 'learned'", motion="off")


# ---- settings


def test_motion_memory_and_compete_override_the_config():
    merged = merged_config(EngineConfig(memory=MemoryConfig(n_frames=2)), False, "sam2", False)
    assert merged.motion == MotionConfig.off()
    assert (merged.memory.n_frames, merged.memory.selection) == (2, "sam2")
    assert not merged.compete
    assert merged_config(EngineConfig.plain(), True, None, None).motion == MotionConfig()
    assert merged_config(EngineConfig.plain(), None, None, None) == EngineConfig.plain()


def test_clicks_take_the_size_of_their_objects_boxes_and_masks():
    prompts = Prompts([PointPrompt(1, 0, (30, 30)), mask(1, 4), PointPrompt(2, 0, (66, 70))])
    one, two = RunRequest.build(IMAGES, prompts).requests(0)
    assert one.diameter == pytest.approx(14, abs=1)
    assert two.diameter is None
    given = RunRequest.build(IMAGES, prompts, RunConfig(diameter=33.0))
    assert {r.diameter for r in given.requests(0)} == {33.0}


def test_the_public_names_need_no_napari():
    import napari_mosam

    assert napari_mosam.segment is segment
    assert napari_mosam.track is track


# ---- preview


def test_preview_shows_the_prompted_frame_only():
    movie = CountingMovie(IMAGES)
    opened = Movie.open(movie, limits=Movie.open(IMAGES).limits)
    prompts = [mask(1, 3), PointPrompt(2, 3, (66, 70)), mask(5, 6)]
    result = preview(opened, prompts, 3, model=FakeSegmenter())
    assert movie.reads == [3]
    assert [o.object_id for o in result.objects] == [1, 2]
    for item in result.objects:
        assert iou(result.labels == item.object_id, LABELS[3] == item.object_id) > 0.8
        assert item.area == (result.labels == item.object_id).sum()
    assert np.array_equal(result.labels > 0, result.confidence > 0)


def test_preview_agrees_with_the_run():
    prompts = [mask(1, 3), PointPrompt(2, 3, (66, 70))]
    shown = preview(IMAGES, prompts, 3, model=FakeSegmenter())
    (first,) = [r for r in follow(prompts) if r.t == 3]
    assert np.array_equal(shown.labels, first.labels)
    assert np.array_equal(shown.confidence, first.confidence)


def test_preview_of_a_frame_without_prompts():
    with pytest.raises(PromptError, match="nothing is prompted on frame 2; prompted frames: 3, 6"):
        preview(IMAGES, [mask(1, 3), mask(1, 6)], 2, model=FakeSegmenter())


def test_preview_refuses_the_diameters_that_a_run_refuses():
    with pytest.raises(ValueError, match="diameter = -3 is not possible; allowed: a positive number of px"):
        preview(IMAGES, [CLICK], 0, model=FakeSegmenter(), diameter=-3)
