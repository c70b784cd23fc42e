"""The batched simulator, held against the numpy back end and against its own truth."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation

from napari_mosam.core._simulate_light import Camera
from napari_mosam.core._simulate_scene import Scene, build_scene
from napari_mosam.core.simulate import CASES, SimulatedMovie, SimulationConfig, simulate
from training.simulator import KINDS, SimulatedBatch, random_batch, random_config, render_batch

SMALL = {"n_frames": 3, "shape": (80, 88)}


def without_noise(config: SimulationConfig) -> SimulationConfig:
    return replace(config, noise=0.0, camera=replace(config.camera, photons=None))


def assert_agree(movie: SimulatedMovie, batch: SimulatedBatch) -> None:
    labels = batch.labels[0].numpy()
    assert set(np.unique(labels)) == set(np.unique(movie.labels))
    for cell in np.unique(movie.labels[movie.labels > 0]):
        theirs, ours = movie.labels == cell, labels == cell
        assert (theirs & ours).sum() >= 0.98 * (theirs | ours).sum() or (theirs ^ ours).sum() <= 2
    same = (labels == movie.labels)[:-1]
    off = np.abs(batch.flow[0].numpy() - movie.flow).max(axis=1)[same]
    assert np.quantile(off, 0.999) < 0.05 and (off > 0.05).mean() < 0.001
    assert np.corrcoef(batch.images[0].numpy().ravel(), movie.images.ravel())[0, 1] > 0.95


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("kind", KINDS)
def test_both_back_ends_draw_the_same(kind: str, seed: int) -> None:
    config = without_noise(random_config(np.random.default_rng(seed), **SMALL, kind=kind))
    assert_agree(simulate(config), render_batch([build_scene(config)], "cpu", with_flow=True))


@pytest.mark.parametrize("modality", ["fluorescence", "phase", "dic"])
@pytest.mark.parametrize("case", ["disk_divides", "two_disks_cross", "under_bar"])
def test_both_back_ends_draw_the_named_cases_alike(case: str, modality: str) -> None:
    movie = CASES[case](1, modality=modality, noise=0.0)
    assert_agree(movie, render_batch([build_scene(movie.config)], "cpu", with_flow=True))
