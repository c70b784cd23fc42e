"""The shipped model where identities are hard to keep: look-alikes that pass each other, absences, leaps of the stage.

More seeds and the comparison with plain SAM 2 memory are in ``benchmarks/stress.py``.
"""

import numpy as np
import pytest
from tests.support.fake_model import iou

from napari_mosam.core.api import segment
from napari_mosam.core.config.engine import EngineConfig, LifecycleConfig, MotionConfig
from napari_mosam.core.model.registry import load_model
from napari_mosam.core.prompts.collection import Prompts
from napari_mosam.core.simulation import (
    SimulationConfig,
    crowd,
    hopping,
    simulate,
    stage_leaps,
    twins_cross,
    two_disks_cross,
)


@pytest.fixture(scope="module")
def nano():
    return load_model("nano", device="cpu", dtype="float32")


def last_ious(model, movie, n_last=3, **options):
    """Mean IoU of every object of the first frame with its own truth over the last frames on which it shows."""
    found = {int(i): [] for i in np.unique(movie.labels[0]) if i}
    for result in segment(movie.images, Prompts.from_labels(movie.labels[0]), model=model, **options):
        for i, scores in found.items():
            true = movie.labels[result.t] == i
            if true.any():
                scores.append(iou(result.labels == i, true))
    return [float(np.mean(scores[-n_last:])) for scores in found.values()]


@pytest.mark.parametrize("movie", [two_disks_cross(0), twins_cross(1)], ids=["disks", "twins"])
def test_two_identical_disks_that_pass_each_other_keep_their_ids(nano, movie):
    assert min(last_ious(nano, movie)) > 0.8


@pytest.mark.slow
@pytest.mark.parametrize(
    "config", [EngineConfig(motion=MotionConfig(kalman=False)), EngineConfig(life=LifecycleConfig(max_hidden=0))]
)
def test_without_their_own_motion_they_do_not(nano, config):
    assert min(last_ious(nano, two_disks_cross(0), config=config)) < 0.5


@pytest.mark.slow
def test_a_crowd_of_identical_touching_nuclei_keeps_its_ids(nano):
    assert min(last_ious(nano, crowd(1, n_frames=8))) > 0.5


@pytest.mark.slow
def test_objects_survive_leaps_of_the_stage(nano):
    assert min(last_ious(nano, stage_leaps(0))) > 0.8


@pytest.mark.slow
def test_small_nuclei_that_move_nearly_a_diameter_a_frame_are_not_taken_for_lost(nano):
    """Two thirds of the masks lie on their nuclei; with a reach of one diameter it was .63."""
    movie = hopping(2, n_frames=7)
    on_it = []
    for result in segment(movie.images, Prompts.from_labels(movie.labels[0]), model=nano):
        on_it += [iou(result.labels == i, movie.labels[result.t] == i) > 0.5 for i in range(1, 21)]
    assert np.mean(on_it[20:]) > 0.65


def absent(n_gone):
    """A lone cell that wanders, is out of sight for some frames and returns."""
    settings = {"shape": (128, 128), "n_cells": 1, "cell_shape": "round", "diameter": 28.0, "speed": 1.0}
    return simulate(SimulationConfig(seed=4, n_frames=12 + n_gone, vanish=[(1, 5, 4 + n_gone)], **settings))


def test_a_cell_that_was_absent_for_twenty_frames_comes_back_with_its_id(nano):
    assert min(last_ious(nano, absent(20))) > 0.8


def test_nothing_is_made_of_noise_while_a_cell_is_absent(nano):
    movie = absent(8)
    prompts = Prompts.from_labels(movie.labels[0])

    def invented(life):
        results = segment(movie.images, prompts, model=nano, config=EngineConfig(life=life))
        return sum(bool(r.labels.any()) for r in results if not movie.labels[r.t].any())

    assert invented(LifecycleConfig()) == 0
