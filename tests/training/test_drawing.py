"""Batches drawn by other processes are those drawn here, in order; what goes wrong there is said here."""

from dataclasses import fields, replace
from pathlib import Path

import pytest
import torch
from training.config import StageConfig
from training.data.movies import SimulatedMovies
from training.nano.drawing import Drawing, DrawingProcesses
from training.recipes import CONFIGS, read_config

CPU = torch.device("cpu")
SMOKE = read_config(CONFIGS / "smoke.toml")
STAGES = (StageConfig(0.5, 2, 2, 2, (64, 96, 128)), StageConfig(1.0, 3, 1, 1))
CONFIG = replace(SMOKE, stages=STAGES, data=replace(SMOKE.data, side=96))


class Broken:
    """A source that cannot draw."""

    def movies(self, seed, n, n_frames, side, device):
        raise ValueError("no ink")


def progress(index: int) -> float:
    return index / 4


@pytest.mark.slow
def test_processes_draw_the_same_batches():
    drawing = Drawing(CONFIG, SimulatedMovies(), 64)
    processes = DrawingProcesses(drawing, 2, progress)
    folder = Path(processes._folder.name)
    try:
        for index in range(4):
            theirs, ours = processes.batch(index, CPU), drawing.batch(index, progress(index), CPU)
            assert len(ours.images) == (2 if index < 2 else 3)
            for field in fields(ours):
                assert torch.equal(getattr(theirs, field.name), getattr(ours, field.name)), field.name
    finally:
        processes.close()
    assert not folder.exists()


def test_an_error_of_a_process_is_raised_here():
    processes = DrawingProcesses(Drawing(CONFIG, Broken(), 64), 1, progress)
    try:
        with pytest.raises(ValueError, match="no ink"):
            processes.batch(0, CPU)
    finally:
        processes.close()


def test_each_size_of_a_stage_is_drawn():
    drawing = Drawing(CONFIG, SimulatedMovies(), 64)
    sizes = [drawing._size(STAGES[0], f"0/{k}") for k in range(60)]
    assert {size: sizes.count(size) > 10 for size in (64, 96, 128)} == dict.fromkeys((64, 96, 128), True)
    assert drawing._size(STAGES[1], "0/1") == 64
