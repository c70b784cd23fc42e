"""What runs on a GPU keeps its tensors there: checked on a device that computes on the CPU and refuses mixtures."""

import multiprocessing
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from tests.support.core_movies import CoreMovies
from training.data.movies import Mixed, SimulatedMovies
from training.nano.loop import Place, Trainer
from training.recipes import CONFIGS, read_config
from training.simulator.movies import random_scenes

from napari_mosam.core.api import segment
from napari_mosam.core.config.engine import EngineConfig, MotionConfig
from napari_mosam.core.model.build import load_weights
from napari_mosam.core.model.catalogue import SHIPPED
from napari_mosam.core.model.configs import build_from_yaml
from napari_mosam.core.model.registry import load_model
from napari_mosam.core.model.sam2 import Sam2Segmenter
from napari_mosam.core.prompts.collection import BoxPrompt, PointPrompt, Prompts
from napari_mosam.core.simulation import SimulationConfig, sample_movie, simulate, touching_cells

ENGINES = {
    "plain": EngineConfig.plain(),
    "learned": EngineConfig(motion=MotionConfig(encoder="learned", keypoints=True)),
    "selected": replace(
        EngineConfig(motion=MotionConfig(prompt="box+points", negatives=2)),
        memory=replace(EngineConfig().memory, selection="reliable", pixels="bias"),
    ),
}


def followed(device: torch.device, name: str) -> dict[tuple[int, int], np.ndarray]:
    """Masks of cells that are clicked, boxed, painted and corrected."""
    network = build_from_yaml(SHIPPED / "nano.yaml")
    load_weights(network, SHIPPED / "nano.safetensors")
    model = Sam2Segmenter(network.to(device), "nano")
    cells = sample_movie(0, n_frames=3, shape=(160, 160), vanish=())
    painted = list(Prompts.from_labels(cells.labels[0]))[2:4]
    y, x = (float(c.mean()) for c in np.nonzero(cells.labels[0] == 1))
    rows, columns = np.nonzero(cells.labels[1] == 2)
    box = BoxPrompt(2, 1, (float(rows.min()), float(columns.min()), float(rows.max()), float(columns.max())))
    prompts = [*painted, PointPrompt(1, 0, (y, x)), PointPrompt(1, 2, (y + 1, x)), box]
    config = replace(ENGINES[name], motion=replace(ENGINES[name].motion, flow_method="torch"))  # as 'auto' on CUDA
    results = segment(cells.images, prompts, model=model, config=config, direction="forward")
    return {(r.t, o.object_id): np.asarray(o.logits) for r in results for o in r.objects}


def engine(name: str) -> tuple[int, float]:
    """One engine on both devices: how many masks it gives, and by how much their logits differ at most."""
    from tests.support.pretended_gpu import CPU, pretended_gpu

    expected = followed(CPU, name)
    with pretended_gpu() as device:
        found = followed(device, name)
    return len(found), max(float(np.abs(found[key] - expected[key]).max()) for key in expected | found)


def waited(n_objects: int) -> list[str]:
    """What the processor waits for on a frame of cells that are followed, once their memories are full."""
    from tests.support.pretended_gpu import WAITS, pretended_gpu

    cells = simulate(SimulationConfig(seed=0, n_frames=9, shape=(256, 256), n_cells=n_objects, diameter=24.0))
    network = load_model("nano", device="cpu", image_size=128).network
    config = EngineConfig(motion=MotionConfig(flow_method="torch"))
    with pretended_gpu() as device:
        model = Sam2Segmenter(network.to(device), "nano", fast=True)
        done: list[str] = []
        for result in segment(cells.images, Prompts.from_labels(cells.labels[0]), model=model, config=config):
            assert len(result.objects) == n_objects and result.labels.any() and result.confidence.any()
            done, WAITS[:] = list(WAITS), []
        return done


def losses(device: torch.device, folder: Path, recompute: bool = False) -> dict[str, float]:
    """Of two updates: clips of one and of four frames, of the simulator and of another source."""
    smoke = read_config(CONFIGS / "smoke.toml")
    stages = tuple(replace(s, clips=2, objects=2, frames=n) for s, n in zip(smoke.stages, (1, 4), strict=True))
    prompt = replace(smoke.prompt, corrections=2, late_correction=1.0, motion=1.0)
    config = replace(smoke, stages=stages, prompt=prompt, data=replace(smoke.data, queue=0))
    config = replace(config, optimiser=replace(config.optimiser, steps=2, recompute=recompute))
    source = Mixed(SimulatedMovies(("nuclei",)), CoreMovies(touching_cells), 0.5)
    trainer = Trainer(config, source, Place(device, folder))
    trainer.run()
    assert trainer.skipped == 0
    assert {p.device for p in trainer.network.parameters()} == {device}
    return trainer._journal.latest


@pytest.mark.parametrize("recompute", [pytest.param(False, marks=pytest.mark.slow), True])
def test_training_computes_in_bfloat16_as_on_a_gpu(tmp_path, monkeypatch, recompute):
    monkeypatch.setattr("training.nano.loop.choose_dtype", lambda device: torch.float32)
    whole = losses(torch.device("cpu"), tmp_path / "float32")
    monkeypatch.setattr("training.nano.loop.choose_dtype", lambda device: torch.bfloat16)
    rough = losses(torch.device("cpu"), tmp_path / "bfloat16", recompute)
    assert rough["loss"] != whole["loss"]
    assert rough["loss"] == pytest.approx(whole["loss"], rel=0.05)


def training(folder: str) -> tuple[float, float]:
    """Training on both devices: the loss of each."""
    from tests.support.pretended_gpu import CPU, pretended_gpu

    expected = losses(CPU, Path(folder) / "cpu")
    with pretended_gpu() as device:
        found = losses(device, Path(folder) / "gpu")
    return found["loss"], expected["loss"]


class Difference(NamedTuple):
    """Movies made on both devices: whether all stayed on theirs, and by how much the values differ at most."""

    kept: bool
    by: dict[str, float]

    @classmethod
    def of(cls, found, expected, device, names):
        there, here = ([getattr(movies, name) for name in names] for movies in (found, expected))
        by = {n: float((t.cpu().float() - h.float()).abs().max()) for n, t, h in zip(names, there, here, strict=True)}
        return cls(all(t.device == device for t in there), by)


def stills(_: str) -> "Difference":
    """Movies of stills on both devices."""
    from tests.support.pretended_gpu import CPU, pretended_gpu
    from training.data.pseudo import PseudoMovies
    from training.data.stills import SOURCES, Still

    cells = touching_cells(0, n_frames=1)
    still = Still(SOURCES[0], np.asarray(cells.images[0], np.float32), cells.labels[0].astype(np.int32))
    source = PseudoMovies([still])
    expected = source.movies("seed", 2, 3, 64, CPU)
    with pretended_gpu() as device:
        found = source.movies("seed", 2, 3, 64, device)
        return Difference.of(found, expected, device, ("images", "labels"))


def simulator(_: str) -> "Difference":
    """One movie of every kind on both devices; random noise is drawn on each, so grey values are alike only."""
    from tests.support.pretended_gpu import CPU, pretended_gpu
    from training.simulator.movies import KINDS, render_batch

    scenes = [random_scenes(3, 1, n_frames=3, shape=(64, 64), kinds=[kind])[0] for kind in KINDS]
    expected = render_batch(scenes, CPU, with_flow=True)
    with pretended_gpu() as device:
        found = render_batch(scenes, device, with_flow=True)
        return Difference.of(found, expected, device, ("images", "labels", "flow"))


def mixing(_: str) -> tuple[bool, list[float], list[str]]:
    """What the pretended device does: keeps a result, multiplies by a number, and refuses two mixtures."""
    from tests.support.pretended_gpu import MixedDevices, pretended_gpu

    with pretended_gpu() as device:
        there, here = torch.ones(3, device=device), torch.ones(3)
        refused = []
        for mixture in (lambda: there + here, there.numpy):
            try:
                mixture()
            except (MixedDevices, TypeError) as error:
                refused.append(f"{type(error).__name__}: {error}")
        kept = (there + 1 + here.to(device)).device == device
        return kept, (there * torch.tensor(2.0)).cpu().tolist(), refused


@pytest.fixture(scope="module")
def apart():
    """Runs a check in a process of its own: the device stays registered for as long as a process lives."""
    if not hasattr(torch.utils.backend_registration, "_setup_privateuseone_for_python_backend"):
        pytest.skip("this torch cannot pretend to have a device")
    with multiprocessing.get_context("spawn").Pool(1, torch.set_num_threads, (1,)) as pool:
        yield pool.apply


def test_tensors_of_two_devices_are_noticed(apart):
    kept, doubled, (mixed, read) = apart(mixing, ("",))
    assert kept
    assert doubled == [2, 2, 2]
    assert "tensors of the GPU and of the CPU" in mixed
    assert read.startswith("TypeError") and "numpy" in read


@pytest.mark.parametrize("name", ["learned", *(pytest.param(n, marks=pytest.mark.slow) for n in ("plain", "selected"))])
def test_the_engine_keeps_to_its_device(apart, name):
    n_masks, worst = apart(engine, (name,))
    assert n_masks > 8, "four cells on three frames, one of them from the second on"
    assert worst < 1e-3


def test_the_device_is_waited_for_a_few_times_a_frame_however_many_objects_there_are(apart):
    few, many = apart(waited, (3,)), apart(waited, (12,))
    assert 3 < len(few) <= 13, few
    assert len(many) <= len(few) + 2, "masks of other sizes are pasted in other calls"


@pytest.mark.slow
def test_training_keeps_to_its_device(apart, tmp_path):
    found, expected = apart(training, (str(tmp_path),))
    assert found == pytest.approx(expected, rel=0.02)


def test_simulated_movies_of_every_kind_keep_to_their_device(apart):
    difference = apart(simulator, ("",))
    assert difference.kept
    assert difference.by["labels"] == 0
    assert difference.by["images"] < 1e-3
    assert difference.by["flow"] < 1e-4


def test_movies_of_stills_keep_to_their_device(apart):
    difference = apart(stills, ("",))
    assert difference.kept
    assert difference.by["labels"] == 0
    assert difference.by["images"] < 1e-4
