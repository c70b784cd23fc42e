"""What the last bits of a number depend on, and what they do not (docs/adr/0005-determinism.md)."""

import logging
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.support.fake_model import FakeSegmenter

from napari_mosam.core.config.run import ComputeConfig, MovieConfig, RunConfig
from napari_mosam.core.model import compute
from napari_mosam.core.model.compute import as_settled, fixed_threads, resolve, stepwise
from napari_mosam.core.model.device import CPU_CHUNK
from napari_mosam.core.model.protocol import MemoryFrame, MemorySelection, PointPrompts
from napari_mosam.core.model.registry import load_model
from napari_mosam.core.model.sam2 import Sam2Segmenter
from napari_mosam.core.prompts.kinds import MaskPrompt
from napari_mosam.core.runs.request import RunRequest
from napari_mosam.core.runs.run import run

ROOT = Path(__file__).parents[3]
SIDE = 128
MANY = pytest.param(64, marks=pytest.mark.slow)


PLAIN = [pytest.param((dtype, "plain"), marks=pytest.mark.slow) for dtype in ("float32", "bfloat16")]


@pytest.fixture(scope="module", params=[("float32", "fast"), ("bfloat16", "fast"), *PLAIN], ids=str)
def nano(request):
    dtype, network = request.param
    return load_model("nano", device="cpu", dtype=dtype, image_size=SIDE).computed_by(network)


@pytest.fixture(autouse=True)
def _own_threads():
    with fixed_threads(1):
        yield


def windows(n, seed=0):
    """Smooth blobs with noise, (n, SIDE, SIDE)."""
    rng = torch.Generator().manual_seed(seed)
    blobs = torch.rand(n, 1, 8, 8, generator=rng)
    smooth = torch.nn.functional.interpolate(blobs, size=(SIDE, SIDE), mode="bilinear")[:, 0]
    return (smooth + 0.05 * torch.rand(n, SIDE, SIDE, generator=rng)).clamp(0, 1)


def answers(model, images):
    """All that the network says of windows, through every method of the model; each (B, ...)."""
    middle = PointPrompts(torch.full((len(images), 1, 2), SIDE / 2), torch.ones(len(images), 1, dtype=torch.int32))
    features = model.encode_image(images)
    first = model.decode_masks(features, model.without_memory(features), points=middle)
    shown = torch.nn.functional.interpolate(first.logits[:, :1], size=(SIDE, SIDE))
    memories = model.encode_memory(features, shown, first.object_score)
    pointers = model.object_pointers(first.mask_tokens[:, 0], first.object_score)
    frames = [MemoryFrame(0, memory, own, 0.9, 4.0, 50.0) for memory, own in zip(memories, pointers, strict=True)]
    recalls = [MemorySelection(((0, frame),), ((1, frame),)) for frame in frames]
    conditioned = model.attend_memory(features, recalls, 9)
    then = model.decode_masks(features, conditioned)
    of_masks = model.object_pointers_of_masks(features, (shown > 0).float())
    numbers = then.logits, then.predicted_iou, then.object_score, then.mask_tokens
    return features.vision, *features.high_res, memories, pointers, of_masks, conditioned, *numbers


def same(found, expected):
    return all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))


def row(found, k):
    return [tensor[k] for tensor in found]


# ---- calls of the network


@pytest.mark.parametrize("n", [1, 7, MANY])
@pytest.mark.parametrize("chunk", [4, 8, 16])
def test_what_the_others_show_does_not_change_an_objects_bits(nano, n, chunk):
    model = nano.in_chunks_of(chunk)
    images, k = windows(n), n // 2
    among_others = windows(n, seed=1)
    among_others[k] = images[k]
    assert same(row(answers(model, among_others), k), row(answers(model, images), k))


@pytest.mark.parametrize("n", [1, 7, MANY])
def test_in_chunks_of_one_an_objects_bits_depend_on_itself_only(nano, n):
    model, images = nano.in_chunks_of(1), windows(n)
    together = answers(model, images)
    for k in {0, n // 2, n - 1}:
        assert same(row(answers(model, images[[k]]), 0), row(together, k))


@pytest.mark.parametrize("chunk", [1, 4, 16])
def test_the_same_call_twice_gives_the_same_bits(nano, chunk):
    model = nano.in_chunks_of(chunk)
    assert same(answers(model, windows(7)), answers(model, windows(7)))


def test_a_model_of_sam2s_modules_can_be_sent_to_another_process(nano):
    model, images = nano.computed_by("plain").in_chunks_of(2).side_by_side(2, 1), windows(3)
    sent = pickle.loads(pickle.dumps(model))
    assert sent._workers.n == 2
    assert same([sent.encode_image(images).vision], [model.encode_image(images).vision])


@pytest.mark.parametrize("workers", [2, 3])
def test_how_many_calls_are_computed_at_a_time_changes_no_bit(nano, workers):
    model, images = nano.in_chunks_of(2), windows(7)
    assert same(answers(model.side_by_side(workers, 1), images), answers(model, images))


@pytest.mark.parametrize(
    ("n", "sizes"),
    [(0, []), (1, [1]), (2, [1, 1]), (3, [2, 1]), (8, [2] * 4), (20, [5] * 4), (40, [8] * 5), (41, [8] * 5 + [1])],
)
def test_rows_are_cut_by_their_number_alone_so_that_few_keep_several_cores_busy(nano, n, sizes):
    for model in (nano.in_chunks_of(8), nano.in_chunks_of(8).side_by_side(2, 1)):
        assert [len(rows) for rows in model._cuts(n)] == sizes


def test_calls_of_a_small_input_stand_side_by_side_on_all_threads(nano, monkeypatch):
    asked = []
    monkeypatch.setattr(Sam2Segmenter, "side_by_side", lambda self, *given: asked.append(given) or self)
    with fixed_threads(8):
        for compute in (ComputeConfig(threads=2), ComputeConfig(threads=8), ComputeConfig(threads=1, workers=3)):
            as_settled(nano, compute)
    assert asked == [(4, 2), (1, 8), (3, 1)]


def test_another_chunk_is_another_view_of_the_same_network(nano):
    other = nano.in_chunks_of(3)
    assert (other.chunk, nano.chunk) == (3, CPU_CHUNK)
    assert other.network is nano.network


@pytest.mark.parametrize("chunk", [0, -4])
def test_a_chunk_of_nothing_is_refused(nano, chunk):
    with pytest.raises(ValueError, match=f"chunk = {chunk} is not possible; allowed: 1 or more windows"):
        nano.in_chunks_of(chunk)


# ---- whole runs


def cells(n=7, n_frames=3):
    """Bright discs far apart on noise, each moving one px a frame; images (T, Y, X) and the prompts of frame 0."""
    yy, xx = np.mgrid[:96, : 96 * n]
    rng = np.random.default_rng(0)
    discs = [[(yy - 40 - t) ** 2 + (xx - 96 * k - 44) ** 2 < 100 for k in range(n)] for t in range(n_frames)]
    images = [0.8 * np.any(frame, 0) + rng.normal(0.1, 0.02, yy.shape) for frame in discs]
    prompts = [MaskPrompt.from_frame(k + 1, 0, disc) for k, disc in enumerate(discs[0])]
    return np.float32(images), prompts


def followed(model, threads, prompts, movie):
    """What is found of each object on each frame: its mask logits, scores and place."""
    found = {}
    asked = RunConfig(movie=MovieConfig(limits=(0, 1)), compute=ComputeConfig(threads=threads))
    for result in run(RunRequest.build(movie, prompts, asked), model):
        for o in result.objects:
            numbers = o.predicted_iou, o.object_score, *o.window.center_yx, *o.window.size_yx
            found[result.t, o.object_id] = np.asarray(o.logits).tobytes() + np.float64(numbers).tobytes()
    return found


def test_a_run_does_not_depend_on_the_threads_of_its_surroundings(nano):
    movie, prompts = cells(7)
    runs = []
    for own in (1, 2):
        with fixed_threads(own):
            runs.append(followed(nano, 1, prompts, movie))
    assert runs[0] == runs[1]


def test_in_chunks_of_one_an_object_far_from_others_is_followed_as_if_alone(nano):
    movie, prompts = cells(7)
    model = nano.in_chunks_of(1)
    together, alone = (followed(model, 1, some, movie) for some in (prompts, prompts[3:4]))
    assert len(alone) == 3
    assert alone.items() <= together.items()


DIGEST = """
import hashlib
from tests.core.model.test_determinism import cells, followed
from napari_mosam.core.model.registry import load_model
model = load_model("nano", device="cpu", dtype="float32", image_size=128)
movie, prompts = cells(7)
print(hashlib.sha256(repr(followed(model, {threads}, prompts, movie)).encode()).hexdigest())
"""


def digest(threads, environment):
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    given = {**os.environ, "OMP_WAIT_POLICY": "passive", **dict.fromkeys(names, str(environment))}
    code = DIGEST.format(threads=threads)
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env=given, cwd=ROOT, capture_output=True, text=True, check=True).stdout


@pytest.mark.slow
@pytest.mark.parametrize("threads", [1, 2])
def test_processes_with_other_threads_give_the_same_bits(threads):
    assert len({digest(threads, environment) for environment in (1, 2)}) == 1


# ---- settled at the start


@pytest.fixture
def _eight_cores(monkeypatch):
    monkeypatch.setattr(compute, "usable_cores", lambda: 8)


@pytest.mark.usefixtures("_eight_cores")
def test_what_is_left_open_is_settled(nano):
    with fixed_threads(3):
        assert resolve(ComputeConfig(), nano) == ComputeConfig(chunk=CPU_CHUNK, threads=1, network=nano.computed)
    with fixed_threads(8):
        assert resolve(ComputeConfig(), nano).threads == 2
    assert resolve(ComputeConfig(), nano.in_chunks_of(5)).chunk == 5
    assert resolve(ComputeConfig(), FakeSegmenter()).chunk == CPU_CHUNK
    assert resolve(ComputeConfig(), FakeSegmenter(device=torch.device("cuda"))).chunk == 64


@pytest.mark.usefixtures("_eight_cores")
def test_what_is_given_is_kept(nano):
    given = ComputeConfig(chunk=5, threads=4, network="plain")
    assert resolve(given, nano) == given
    assert resolve(resolve(given, nano), FakeSegmenter()) == given


def test_a_model_computes_as_a_run_says(nano):
    fake = FakeSegmenter()
    asked = ComputeConfig(chunk=3, network="plain")
    model = as_settled(nano, asked)
    assert (model.chunk, model.computed) == (3, "plain")
    assert as_settled(fake, asked) is fake
    assert as_settled(nano, resolve(ComputeConfig(), nano)).parts is nano.parts


def test_no_more_threads_than_the_machine_has(nano, monkeypatch, caplog):
    monkeypatch.setattr(compute, "usable_cores", lambda: 2)
    with caplog.at_level(logging.WARNING):
        assert resolve(ComputeConfig(threads=16), nano).threads == 2
    assert "16 threads are asked for and this machine has 2" in caplog.text


# ---- nothing is left behind


def test_threads_are_given_back_after_an_error():
    with pytest.raises(KeyError), fixed_threads(2):
        raise KeyError
    assert torch.get_num_threads() == 1


def test_between_two_steps_the_caller_has_its_own_threads():
    def counted():
        for _ in range(3):
            yield torch.get_num_threads()

    steps = stepwise(counted(), 2)
    for step in steps:
        assert (step, torch.get_num_threads()) == (2, 1)


def test_steps_that_are_not_taken_leave_nothing_behind():
    steps = stepwise(iter(range(9)), 2)
    assert next(steps) == 0
    assert torch.get_num_threads() == 1
    steps.close()
    assert torch.get_num_threads() == 1
