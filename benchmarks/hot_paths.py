"""Times of the four things that are done most: a crop, memory attention, a step of 16 cells, a frame written.

    python -m pytest benchmarks/hot_paths.py            # 'make bench'
    python -m pytest benchmarks/hot_paths.py --benchmark-autosave --benchmark-compare

By pytest-benchmark, on one thread: to compare two versions on one machine, one after the other.
"""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.speed import Scene
from napari_mosam.core.api import segment
from napari_mosam.core.config.run import RunConfig
from napari_mosam.core.files.places import Place
from napari_mosam.core.model.compute import fixed_threads
from napari_mosam.core.model.protocol import MemoryFrame, MemorySelection
from napari_mosam.core.model.registry import load_model
from napari_mosam.core.results.frame import FrameResult
from napari_mosam.core.runs.provenance import origin, to_attributes
from napari_mosam.core.runs.request import RunRequest
from napari_mosam.core.runs.run import settled
from napari_mosam.core.runs.write import begin, writer_of
from napari_mosam.core.windows.pyramid import Pyramid
from napari_mosam.core.windows.window import Window

N_CELLS, SIDE, ROWS = 16, 256, 8
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with fixed_threads(1):
        yield


@pytest.fixture(scope="module")
def scene() -> Scene:
    """Twelve frames of 1024 px."""
    return Scene.simulated(12)


def test_crop_64_windows(benchmark: Any, scene: Scene) -> None:
    frame = scene.images[0].astype(np.float32)
    windows = [Window.square((200.0 + 9 * k, 900.0 - 11 * k), 180.0 + k) for k in range(64)]
    crops = benchmark(lambda: Pyramid.of(frame, CPU).crop(windows, SIDE))
    assert crops.shape == (64, SIDE, SIDE)


def test_attend_to_seven_frames(benchmark: Any) -> None:
    model = load_model("nano", device="cpu").in_chunks_of(ROWS)
    features = model.encode_image(torch.rand(ROWS, SIDE, SIDE))
    memories = model.encode_memory(features, torch.randn(ROWS, 1, SIDE, SIDE), torch.ones(ROWS))
    weight = torch.rand(memories.shape[-2:])

    def recall(row: int) -> MemorySelection:
        frames = [
            MemoryFrame(t, memories[row], torch.randn(model.network.hidden_dim), 0.9, 4.0, 50.0) for t in range(16)
        ]
        slots = tuple((slot, frames[slot]) for slot in range(7))
        return MemorySelection(slots, tuple(enumerate(frames))[1:], (None, *[weight] * 6))

    recalls = [recall(row) for row in range(ROWS)]
    attended = benchmark(lambda: model.attend_memory(features, recalls, 30))
    assert attended.shape == features.vision.shape


def followed(scene: Scene) -> Iterator[FrameResult]:
    """Results of frames on which memories are full."""
    steps = segment(scene.images, scene.prompts[:N_CELLS], model=load_model("nano", device="cpu"), direction="forward")
    return islice(steps, 8, None)


def test_step_of_16_cells(benchmark: Any, scene: Scene) -> None:
    steps = followed(scene)
    first = next(steps)
    benchmark.pedantic(lambda: next(steps), rounds=3)
    assert len(first.objects) == N_CELLS


def test_write_a_frame(benchmark: Any, scene: Scene, tmp_path: Path) -> None:
    request = RunRequest.build(scene.images, scene.prompts[:N_CELLS], RunConfig(direction="forward"))
    asked, model, _ = settled(request, load_model("nano", device="cpu"))
    place = Place(tmp_path / "cells.zarr")
    folder = begin(asked, model, place, to_attributes(asked, model.name) | origin(asked.movie, model, place.path))
    writer, frames = writer_of(folder, place.path, asked), list(followed(scene))
    left = iter(frames)
    benchmark.pedantic(lambda: writer.write(next(left)), rounds=len(frames))
    assert writer.n_written == len(frames)
