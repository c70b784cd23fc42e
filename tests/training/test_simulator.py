"""The batched simulator, held against the numpy back end and against its own truth."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import binary_erosion
from tests.support.truth import iou_but_for_the_rim, stands_free, warped
from training.simulator.movies import KINDS, SimulatedBatch, random_batch, random_config, render_batch

from napari_mosam.core.simulation import CASES, SimulatedMovie, SimulationConfig, simulate
from napari_mosam.core.simulation.optics import Camera, Optics
from napari_mosam.core.simulation.scene import build_scene

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
@pytest.mark.parametrize("case", ["disk_divides", "two_disks_cross"])
def test_both_back_ends_draw_the_named_cases_alike(case: str, modality: str) -> None:
    movie = CASES[case](1, modality=modality, noise=0.0, occluders=[(20, 30, 40, 44)])
    assert_agree(movie, render_batch([build_scene(movie.config)], "cpu", with_flow=True))


@pytest.mark.parametrize("camera", [{"inverted": True, "gamma": 0.6}, {"stretch": (5, 95), "grey_range": (0.2, 0.7)}])
def test_the_camera_converts_alike_in_both_back_ends(camera: dict[str, object]) -> None:
    config = SimulationConfig(noise=0.0, n_frames=2, camera=Camera(flicker=0.1, **camera), optics=Optics(defocus=1.5))
    images = render_batch([build_scene(config)], "cpu").images[0].numpy()
    np.testing.assert_allclose(images, simulate(config).images / 4095, atol=2e-3)


@settings(max_examples=4)
@given(seed=st.integers(0, 10_000))
def test_the_same_seed_gives_the_same_movies_bit_for_bit(seed: int) -> None:
    a, b = (random_batch(seed, 3, **SMALL, with_flow=True) for _ in range(2))
    assert torch.equal(a.images, b.images) and torch.equal(a.labels, b.labels) and torch.equal(a.flow, b.flow)


@settings(max_examples=4)
@given(seed=st.integers(0, 10_000))
def test_a_movie_does_not_depend_on_its_batch(seed: int) -> None:
    batch = random_batch(seed, 4, **SMALL, kinds=["phase", "rods"], with_flow=True)
    for movie, scene in list(enumerate(batch.scenes))[::2]:
        alone = render_batch([scene], "cpu", with_flow=True)
        assert torch.equal(alone.labels[0], batch.labels[movie])
        torch.testing.assert_close(alone.images[0], batch.images[movie], atol=1e-5, rtol=0)
        torch.testing.assert_close(alone.flow[0], batch.flow[movie], atol=1e-3, rtol=0)


@settings(max_examples=8)
@given(seed=st.integers(0, 10_000), kind=st.sampled_from(KINDS))
def test_a_batch_is_of_the_promised_form(seed: int, kind: str) -> None:
    batch = random_batch(seed, 2, **SMALL, kinds=[kind], with_flow=True)
    assert batch.images.shape == batch.labels.shape == (2, 3, 80, 88) and batch.flow.shape == (2, 2, 2, 80, 88)
    assert (batch.images.dtype, batch.labels.dtype, batch.flow.dtype) == (torch.float32, torch.int32, torch.float32)
    assert batch.images.min() >= 0 and batch.images.max() <= 1 and batch.flow.isfinite().all()
    for scene, labels in zip(batch.scenes, batch.labels.numpy(), strict=True):
        for t, frame in enumerate(labels):
            assert set(np.unique(frame)) <= {0} | set(scene.owner[t][scene.visible[t]])


@settings(max_examples=12)
@given(seed=st.integers(0, 10_000), kind=st.sampled_from(KINDS))
def test_flow_maps_every_free_cell_onto_the_next_frame(seed: int, kind: str) -> None:
    batch = random_batch(seed, 1, n_frames=3, shape=(120, 120), kinds=[kind], with_flow=True)
    (labels,), (flow,), (scene,) = batch.labels.numpy(), batch.flow.numpy(), batch.scenes
    becoming_two = {cell for cell, *_ in scene.config.buds + scene.config.divisions}
    for t in range(2):
        for cell in set(np.unique(labels[t])) & set(np.unique(labels[t + 1])) - {0} - becoming_two:
            large = (labels[t + 1] == cell).sum() > 300
            if large and stands_free(labels[t], cell) and stands_free(labels[t + 1], cell):
                assert iou_but_for_the_rim(warped(labels[t] == cell, flow[t]), labels[t + 1] == cell) > 0.95


@settings(max_examples=12)
@given(seed=st.integers(0, 10_000), kind=st.sampled_from(KINDS))
def test_a_free_cell_keeps_the_area_of_its_disk(seed: int, kind: str) -> None:
    config = random_config(np.random.default_rng(seed), n_frames=3, shape=(120, 120), kind=kind)
    scene = build_scene(replace(config, divisions=(), buds=(), confluent=False))
    for t, frame in enumerate(render_batch([scene], "cpu").labels[0].numpy()):
        for cell in np.unique(frame[frame > 0]):
            radius = scene.radius[cell - 1] * scene.size[t, cell - 1]
            if stands_free(frame, cell) and radius > 4:
                normalised = config.cell_shape == "amoeboid" or config.spikes > 0
                lobes = 0 if normalised else (scene.lobe_depth[cell - 1] ** 2).sum() / 2
                assert (frame == cell).sum() == pytest.approx((1 + lobes) * np.pi * radius**2, rel=0.1)


def labels_of(**settings: object) -> np.ndarray:
    return render_batch([build_scene(SimulationConfig(**settings))], "cpu").labels[0].numpy()  # type: ignore[arg-type]


def seen(labels: np.ndarray, cell: int) -> list[int]:
    return np.flatnonzero((labels == cell).any(axis=(1, 2))).tolist()


def test_a_mother_that_divides_is_gone_and_has_two_daughters() -> None:
    config = SimulationConfig(n_cells=1, n_frames=6, divisions=[(1, 3)], cell_shape="rod", solid=True, diameter=30)
    batch = render_batch([build_scene(config)], "cpu")
    labels = batch.labels[0].numpy()
    assert batch.scenes[0].parents == {2: 1, 3: 1}
    assert seen(labels, 1) == [0, 1, 2] and seen(labels, 2) == seen(labels, 3) == [3, 4, 5]
    mother = labels[2] == 1
    assert (mother & (labels[3] > 0)).sum() > 0.7 * mother.sum()


def test_a_bud_is_part_of_its_mother_until_it_divides_and_the_mother_lives_on() -> None:
    config = SimulationConfig(
        n_cells=1, n_frames=8, cell_shape="yeast", buds=[(1, 2, 6)], speed=0.0, modality="zernike"
    )
    batch = render_batch([build_scene(config)], "cpu", with_flow=True)
    labels = batch.labels[0].numpy()
    areas = (labels == 1).sum(axis=(1, 2))
    assert batch.scenes[0].parents == {2: 1}
    assert seen(labels, 1) == list(range(8)) and seen(labels, 2) == [6, 7]
    assert areas[1] < areas[2] < areas[5] and areas[6] < areas[5]
    assert_agree(
        simulate(replace(config, noise=0.0)),
        render_batch([build_scene(replace(config, noise=0.0))], "cpu", with_flow=True),
    )


def test_a_bud_that_the_movie_does_not_see_divide_has_no_parent() -> None:
    assert not build_scene(SimulationConfig(n_cells=1, cell_shape="yeast", buds=[(1, 2, 99)])).parents


def test_the_dead_and_the_vanished_are_not_in_the_labels() -> None:
    labels = labels_of(n_cells=3, n_frames=8, deaths=[(1, 5)], vanish=[(2, 2, 3)], shape=(160, 160))
    assert (
        seen(labels, 1) == [0, 1, 2, 3, 4] and seen(labels, 2) == [0, 1, 4, 5, 6, 7] and seen(labels, 3) == [*range(8)]
    )
    areas = (labels == 1).sum(axis=(1, 2))
    assert areas[4] < 0.7 * areas[0]


def test_a_jump_of_the_stage_moves_everything() -> None:
    settings = {"n_cells": 4, "n_frames": 4, "cell_shape": "amoeboid", "shape": (160, 160), "modality": "nomarski"}
    still, jumped = labels_of(**settings), labels_of(**settings, stage_jumps=[(2, 12, -9)])
    assert np.array_equal(still[:2], jumped[:2])
    assert np.array_equal(still[2:, :-12, 9:], jumped[2:, 12:, :-9])


def test_cells_of_a_sheet_meet_half_way() -> None:
    tracks = [np.full((1, 2), (40.0, x)) for x in (40.0, 56.0)]
    given = {"tracks": tracks, "n_frames": 1, "cell_shape": "round", "diameter_spread": 0.0, "shape": (80, 96)}
    (frame,) = labels_of(**given, confluent=True, modality="membrane")
    assert (frame[:, :48] != 2).all() and (frame[:, 49:] != 1).all() and (frame[40, 41:56] > 0).all()
    assert (frame[:, :48] == 1).sum() == pytest.approx((frame[:, 49:] == 2).sum(), rel=0.02)


def test_solid_rods_barely_overlap() -> None:
    settings = {"n_cells": 12, "cell_shape": "rod", "aspect": (4, 5), "touching": True, "shape": (240, 240)}
    solid, free = (labels_of(**settings, n_frames=3, solid=solid)[-1] > 0 for solid in (True, False))
    whole = 12 * np.pi * 14**2
    assert solid.sum() > 0.95 * whole and free.sum() < 0.9 * whole


@pytest.mark.parametrize("kind", KINDS)
def test_cells_can_be_seen(kind: str) -> None:
    config = without_noise(random_config(np.random.default_rng(3), n_frames=1, shape=(160, 160), kind=kind))
    batch = render_batch([build_scene(config)], "cpu")
    image, labels = batch.images[0, 0].numpy(), batch.labels[0, 0].numpy()
    inside = labels > 0
    relief = [np.abs(np.gradient(image)).sum(axis=0)[part].mean() for part in (inside, ~binary_erosion(inside))]
    assert np.abs(image[inside].mean() - np.median(image[~inside])) + relief[0] > 0.03


def test_scenes_of_several_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="shapes of the scenes"):
        render_batch([build_scene(SimulationConfig(n_frames=n)) for n in (2, 3)], "cpu")


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="kind = 'x'"):
        random_config(np.random.default_rng(0), **SMALL, kind="x")
