"""One way in: the functions, the command and files ask for the same run, which is checked in one place."""

import json
import sys
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
import tifffile
import torch
from tests.support.fake_model import FakeSegmenter, disks

from napari_mosam.cli import main as cli
from napari_mosam.core.api import preview, segment, track
from napari_mosam.core.api_results import rerun
from napari_mosam.core.config.engine import EngineConfig, MemoryConfig, MotionConfig
from napari_mosam.core.config.run import ComputeConfig, MovieConfig, RunConfig
from napari_mosam.core.images.movie import Movie
from napari_mosam.core.model.device import choose_chunk
from napari_mosam.core.prompts.collection import BoxPrompt, MaskPrompt, PointPrompt, PromptError, Prompts
from napari_mosam.core.runs.arguments import movie_config, run_config
from napari_mosam.core.runs.provenance import from_attributes, to_attributes
from napari_mosam.core.runs.request import RunRequest
from napari_mosam.core.runs.run import run
from napari_mosam.core.store.result import Result

N = 4
IMAGES, LABELS = disks([[(30, 30 + t), (66, 70)] for t in range(N)], radius=7)
PROMPTS = Prompts([BoxPrompt(1, 0, (23, 23, 37, 37)), PointPrompt(2, 1, (66, 70)), PointPrompt(2, 1, (50, 50), False)])
RECORDS = [
    {"object": 2, "frame": 1, "point": [66, 70]},
    {"object": 1, "frame": 0, "box": [23, 23, 37, 37]},
    {"object": 2, "frame": 1, "point": [50, 50], "positive": False},
]


@pytest.fixture
def files(tmp_path) -> SimpleNamespace:
    movie, prompts = tmp_path / "movie.tif", tmp_path / "prompts.json"
    tifffile.imwrite(movie, IMAGES, photometric="minisblack", metadata={"axes": "TYX"})
    prompts.write_text(json.dumps(RECORDS))
    return SimpleNamespace(movie=movie, prompts=prompts, out=tmp_path / "out.zarr")


@pytest.fixture
def threads():
    """Leaves torch's threads as they were."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def asked(monkeypatch, files) -> list[RunRequest]:
    """What was asked, while nothing is run."""
    requests: list[RunRequest] = []

    def keep(request, *_, **__):
        requests.append(request)
        progress = SimpleNamespace(paused=None, begun=[])
        return SimpleNamespace(object_ids=(), n_object_frames=0, labels=None, path=files.out, progress=progress)

    monkeypatch.setitem(sys.modules, "napari_mosam.core.runs.run", SimpleNamespace(run=keep, preview_frame=keep))
    monkeypatch.setitem(sys.modules, "napari_mosam.core.runs.write", SimpleNamespace(write_run=keep))
    return requests


# --- the same request, the same labels -------------------------------------------------------------------------------


def test_functions_and_command_ask_for_the_same_run(files, asked):
    options = {"frames": (0, 3), "direction": "forward", "diameter": 14.0, "memory": "sam2", "motion": False}
    segment(IMAGES, PROMPTS, **options)
    segment(files.movie, list(reversed(PROMPTS.items[:1])) + list(PROMPTS.items[1:]), **options)
    segment(str(files.movie), files.prompts, **options | {"frames": slice(None, 3)})
    track(files.movie, PROMPTS, out=files.out, **options)
    line = "--frames 0:3 --direction forward --diameter 14 --memory sam2 --motion off"
    assert cli.main(["track", *map(str, (files.movie, "-p", files.prompts, "-o", files.out)), *line.split()]) == 0
    assert len(asked) == 5
    assert all(request == asked[0] and hash(request) == hash(asked[0]) for request in asked)


@pytest.mark.parametrize(
    "other",
    [
        {"direction": "forward"},
        {"frames": (0, 3)},
        {"diameter": 14.0},
        {"compete": False},
        {"memory": "sam2"},
        {"limits": (0, 500)},
        {"model": "tiny"},
        {"device": "cpu"},
    ],
)
def test_requests_differ_where_anything_that_is_asked_differs(asked, other):
    segment(IMAGES, PROMPTS)
    segment(IMAGES, PROMPTS, **other)
    assert asked[0] != asked[1]


def test_requests_differ_in_their_movies_and_prompts():
    one = RunRequest.build(IMAGES, PROMPTS)
    moved = IMAGES.copy()
    moved[N // 2, 0, 0] += 1
    assert one == RunRequest.build(IMAGES.copy(), PROMPTS)
    assert one != RunRequest.build(moved, PROMPTS)
    assert one != RunRequest.build(IMAGES, PROMPTS.items[:2])
    assert one != PROMPTS


def test_a_movie_may_be_opened_before_or_by_the_request(files):
    stack = np.stack([IMAGES, IMAGES[::-1]], 1)
    opened = Movie.open(stack, axes="TCYX", channel=1)
    config = RunConfig(movie=MovieConfig(axes="TCYX", channel=1))
    assert RunRequest.build(opened, PROMPTS) == RunRequest.build(stack, PROMPTS, config)
    assert RunRequest.build(opened, PROMPTS) != RunRequest.build(files.movie, PROMPTS)


def test_labels_are_the_same_whichever_way_was_taken(files):
    streamed = {r.t: r.labels for r in segment(IMAGES, PROMPTS, direction="forward", device="cpu")}
    written = track(files.movie, files.prompts, out=files.out, direction="forward", device="cpu")
    other = files.out.with_name("cli.zarr")
    line = ["track", *map(str, (files.movie, "-p", files.prompts, "-o", other)), "--direction", "forward"]
    assert cli.main([*line, "--device", "cpu"]) == 0
    labels = np.asarray(written.labels[:])
    assert labels.any() and np.array_equal(labels, np.asarray(Result.open(other).labels[:]))
    assert all(np.array_equal(labels[t], frame) for t, frame in streamed.items())


# --- settings from arguments -----------------------------------------------------------------------------------------


def test_numbers_of_numpy_and_lists_are_taken():
    movie = movie_config(axes="TCYX", channel=np.int64(1), z=np.uint8(2), limits=[np.float32(1), 5])
    assert movie == MovieConfig("TCYX", 1, 2, (1.0, 5.0))
    config = run_config(frames=[np.int64(1), None], diameter=np.float32(12), engine=EngineConfig(), movie=movie)
    assert (config.frames, config.diameter) == ((1, None), 12.0)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"direction": "up"}, "direction = 'up' is not possible; allowed: 'forward', 'backward' or 'both'"),
        ({"diameter": "big"}, "diameter = 'big' is not possible; allowed: a positive number of px"),
        ({"frames": (0, 2.5)}, r"frames = \(0, 2.5\) is not possible; allowed: a range"),
        ({"frames": slice(0, 4, 2)}, "every frame of a range is followed: give no step"),
        ({"channel": "red"}, "channel = 'red' is not possible; allowed: a whole number"),
        ({"channel": True}, "channel = True is not possible; allowed: a whole number"),
        (
            {"limits": "auto"},
            "limits = 'auto' is not possible; allowed: two numbers, low and high, or 'exact'",
        ),
        ({"z": "top"}, "z = 'top' is not possible; allowed: the number of a plane, counted from 0, or 'max'"),
    ],
)
def test_what_no_setting_can_be_is_said_in_plain_words(options, match):
    with pytest.raises(ValueError, match=match):
        segment(IMAGES, PROMPTS, **options)


def test_a_preview_asks_for_the_prompts_of_all_frames(asked):
    preview(IMAGES, PROMPTS, 1, diameter=14)
    assert asked[0] == RunRequest.build(IMAGES, PROMPTS, RunConfig(diameter=14.0))
    with pytest.raises(PromptError, match="nothing is prompted on frame 2; prompted frames: 0, 1"):
        preview(IMAGES, PROMPTS, 2)


# --- what a result keeps ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("compute", [ComputeConfig(), ComputeConfig(chunk=4), ComputeConfig(threads=2)])
def test_settings_are_kept_with_a_result_and_read_again(compute):
    engine = EngineConfig(motion=MotionConfig.off(), memory=MemoryConfig(n_frames=2))
    config = RunConfig(direction="backward", diameter=14.0, frames=(None, 3), engine=engine, compute=compute)
    request = RunRequest.build(IMAGES, PROMPTS, config)
    kept = json.loads(json.dumps(to_attributes(request, "nano")))
    assert ("compute" in kept) == (compute != ComputeConfig())
    assert RunRequest.build(IMAGES, PROMPTS, from_attributes(kept)) == request


def test_settings_that_version_0_1_kept_are_read():
    kept = {"model": "nano", "config": {"motion": {"flow": False}}, "direction": "both", "diameter": 9}
    config = from_attributes(kept | {"frames": [1, 4], "movie": "m.tif", "limits": [0, 5], "complete": True})
    expected = RunConfig(frames=(1, 4), diameter=9.0, engine=EngineConfig(motion=MotionConfig(flow=False)))
    assert config == expected


# --- the prompts of a request ----------------------------------------------------------------------------------------


def test_some_objects_change_among_others_as_they_were():
    before = Prompts([PointPrompt(1, 0, (30, 30)), PointPrompt(2, 0, (66, 70)), PointPrompt(3, 1, (9, 9))])
    given = RunRequest.build(IMAGES, [PointPrompt(1, 2, (30, 32)), PointPrompt(2, 2, (66, 70))])
    now = given.with_others(before, asked={1, 3}).prompts
    assert now == Prompts([PointPrompt(1, 2, (30, 32)), PointPrompt(2, 0, (66, 70))])


def test_no_prompts_at_all_are_refused_unless_the_last_object_is_removed():
    with pytest.raises(PromptError, match="nothing is marked"):
        RunRequest.build(IMAGES, [])
    assert len(RunRequest.build(IMAGES, [], empty=True).prompts) == 0


def test_prompts_are_found_by_frame_and_by_object():
    request = RunRequest.build(IMAGES, [*PROMPTS, MaskPrompt.from_frame(2, 3, LABELS[3] == 2)])
    assert [(r.object_id, len(r.clicks)) for r in request.requests(1)] == [(2, 2)]
    assert list(request.requests_of(2)) == [1, 3] and request.requests(2) == () and not request.requests_of(9)
    assert request.requests_of(2)[3] is request.requests(3)[0]
    assert request.requests(1)[0].diameter == pytest.approx(14, abs=1)


def calls_of(n_objects: int, n_frames: int) -> int:
    """Calls of functions, Python's and numpy's, from a label stack to what is asked of the model on every frame."""
    cells = np.arange(1, n_objects + 1).reshape(1, -1, 1).repeat(3, 1).repeat(5, 2)
    cells[:, ::3] = 0
    labels = np.repeat(cells, n_frames, axis=0)
    calls: Counter[str] = Counter()
    sys.setprofile(lambda _, event, __: calls.update([event]))
    try:
        request = RunRequest.build(np.broadcast_to(np.uint8(0), labels.shape), Prompts.from_labels(labels))
        asked = [one for t in range(n_frames) for one in request.requests(t)]
        request.passes  # noqa: B018
    finally:
        sys.setprofile(None)
    assert len(asked) == n_objects * n_frames and all(one.region.area == 10 for one in asked)
    return calls["call"] + calls["c_call"]


def test_the_work_grows_with_the_number_of_masks_and_nothing_else():
    calls_of(2, 2)  # what is done once
    base, fixed = calls_of(30, 10), calls_of(1, 1)
    assert calls_of(60, 10) - fixed < 2.1 * (base - fixed)
    assert calls_of(30, 20) - fixed < 2.1 * (base - fixed)
    assert base < 100 * 30 * 10


def test_what_the_last_bits_depend_on_is_kept_with_a_result_and_used_again(files, threads):
    torch.set_num_threads(1)
    result = track(IMAGES, PROMPTS, out=files.out, direction="forward", model=FakeSegmenter())
    assert result.attrs["compute"] == {"chunk": choose_chunk(torch.device("cpu")), "threads": 1}
    torch.set_num_threads(2)
    seen = []
    rerun(
        result,
        IMAGES,
        [*PROMPTS, PointPrompt(1, 2, (30, 32))],
        model=FakeSegmenter(),
        progress=lambda *_: seen.append(torch.get_num_threads()),
    )
    assert set(seen) == {1} and torch.get_num_threads() == 2


def test_a_run_computes_with_the_threads_that_are_asked_for(threads):
    torch.set_num_threads(2)
    asked = RunRequest.build(IMAGES, PROMPTS, RunConfig(compute=ComputeConfig(threads=1, chunk=3)))
    seen = []

    class Watched(FakeSegmenter):
        def encode_image(self, images):
            seen.append(torch.get_num_threads())
            return super().encode_image(images)

    between = [torch.get_num_threads() for _ in run(asked, Watched())]
    assert set(seen) == {1} and set(between) == {2}
