"""Runs: they learn, stop and resume exactly, survive bad batches, and end in a model that the engine takes."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.support.core_movies import CoreMovies
from training.config import ModelConfig, StageConfig, TrainingConfig
from training.data.movies import Mixed, MovieBatch
from training.nano.checkpoints import CheckpointError
from training.nano.loop import CHECKPOINT, LOG, Place, Trainer
from training.nano.metrics_log import read_journal
from training.nano.networks import description_of, new_network
from training.pack import pack, reference_of, sha256_of
from training.recipes import CONFIGS, read_config
from training.run import main, provenance
from training.smoke import Smoke, SmokeError, check, smoke

from napari_mosam.core.model.build import read_weights
from napari_mosam.core.model.catalogue import SHIPPED
from napari_mosam.core.model.configs import read_description
from napari_mosam.core.model.registry import load_model
from napari_mosam.core.simulation import disk_moves

CPU = torch.device("cpu")
SMOKE = read_config(CONFIGS / "smoke.toml")


def tiny(steps: int, **changes: object) -> TrainingConfig:
    """The smoke recipe with batches of a few clips, counted in updates."""
    settings = replace(SMOKE.optimiser, seconds=0, steps=steps, log_every=2, save_every=1000, warmup=5)
    stages = (StageConfig(0.5, 2, 1, 1), StageConfig(1.0, 2, 2, 3))
    data = replace(SMOKE.data, per_movie=2)
    return replace(SMOKE, optimiser=replace(settings, **changes), stages=stages, data=data)


def trainer(config: TrainingConfig, folder: Path) -> Trainer:
    return Trainer(config, CoreMovies(disk_moves), Place(CPU, folder))


def states(run: Trainer) -> list[torch.Tensor]:
    return [*run.network.state_dict().values(), *run.average.state.values()]


def test_a_resumed_run_ends_where_an_uninterrupted_one_does(tmp_path):
    whole = trainer(tiny(4), tmp_path / "whole")
    whole.run()
    first = trainer(tiny(4), tmp_path / "parts")
    first.run(until=2)
    second = trainer(tiny(4), tmp_path / "parts")
    assert not all(map(torch.equal, states(first), states(second)))
    second.resume()
    assert second.step == 2
    second.run()
    assert whole.step == second.step == 4
    assert all(map(torch.equal, states(whole), states(second)))
    assert read_journal(tmp_path / "whole" / LOG)[-1]["loss"] == read_journal(tmp_path / "parts" / LOG)[-1]["loss"]


def test_a_checkpoint_of_another_model_is_refused(tmp_path):
    run = trainer(tiny(2), tmp_path)
    run.save()
    other = trainer(replace(tiny(2), model=replace(SMOKE.model, image_size=96)), tmp_path)
    with pytest.raises(CheckpointError, match="another model"):
        other.resume()


class Broken:
    """Movies of which the second batch is not a number."""

    def __init__(self) -> None:
        self._inner, self.n_asked = CoreMovies(disk_moves), 0

    def movies(self, seed: str, n: int, n_frames: int, side: int, device: torch.device) -> MovieBatch:
        batch = self._inner.movies(seed, n, n_frames, side, device)
        self.n_asked += 1
        return MovieBatch(batch.images * torch.nan, batch.labels) if self.n_asked == 2 else batch


def test_a_gradient_that_is_not_finite_changes_nothing(tmp_path):
    config = tiny(3)
    config = replace(config, data=replace(config.data, queue=0))
    run = Trainer(config, Broken(), Place(CPU, tmp_path))
    run.run(until=1)
    before = [value.clone() for value in states(run)]
    run._update([(1, run.drawing.batch(1, 0.0, CPU))])
    assert run.skipped == 1
    assert all(map(torch.equal, before, states(run)))
    run._update([(2, run.drawing.batch(2, 0.0, CPU))])
    assert not all(map(torch.equal, before, states(run)))
    assert all(torch.isfinite(value).all() for value in states(run))


def test_batches_of_an_update_are_averaged(tmp_path):
    run = trainer(tiny(2, accumulate=2), tmp_path)
    run.run(until=1)
    assert run.step == 1
    assert run.object_frames == 2 * 2  # batches, clips; of one object and one frame


def test_a_run_by_the_clock_ends_when_its_time_is_up(tmp_path):
    ticks = iter(range(10_000))
    settings = replace(tiny(1).optimiser, steps=0, seconds=24.0)
    config = replace(tiny(1), optimiser=settings, data=replace(SMOKE.data, queue=0, per_movie=2))
    run = Trainer(config, CoreMovies(disk_moves), Place(CPU, tmp_path), clock=lambda: float(next(ticks)))
    run.run()
    assert run.progress == 1
    assert 1 < run.step < 24


def test_sources_are_mixed_in_their_share():
    class Constant:
        def __init__(self, level: float) -> None:
            self._level = level

        def movies(self, seed, n, n_frames, side, device):
            images = torch.full((n, n_frames, side, side), self._level)
            return MovieBatch(images, images.int())

    mixed = Mixed(Constant(0.0), Constant(1.0), 0.3)
    counts = [int(mixed.movies(str(k), 5, 1, 8, CPU).images[:, 0, 0, 0].sum()) for k in range(60)]
    assert set(counts) == {1, 2}
    assert np.mean(counts) == pytest.approx(1.5, abs=0.25)


# ---- what comes out


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("packed")
    run = trainer(tiny(2), folder)
    return pack(run.average.state, run.description, provenance(run, False), folder, "tiny"), run


def test_a_packed_model_is_loaded_by_the_engine(packed):
    files, run = packed
    model = load_model(files.weights, device="cpu", dtype="float32")
    assert model.image_size == 64
    assert model.name == "tiny"
    for name, value in model.network.state_dict().items():
        assert torch.equal(value, run.average.state[name].half().float())


def test_a_packed_model_tells_how_it_was_made(packed):
    files, _ = packed
    described = json.loads(files.origin.read_text())
    assert described["sha256"] == files.sha256 == sha256_of(files.weights)
    assert described["dtype"] == "float16"
    assert described["params_m"]["total"] == pytest.approx(1.368, abs=0.01)
    assert described["training"]["recipe"]["seed"] == SMOKE.seed
    assert described["training"]["data"] == ["simulated movies"]


def test_a_packed_model_reproduces_its_reference(packed):
    files, _ = packed
    again = reference_of(load_model(files.weights, device="cpu", dtype="float32"))
    with np.load(files.reference) as stored:
        assert set(stored.files) == set(again)
        for name in stored.files:
            assert np.allclose(stored[name], again[name], atol=1e-4), name


def test_packing_the_shipped_weights_changes_no_number(tmp_path):
    config = ModelConfig(weights="nano")
    network = new_network(config, description_of(config), 0)
    files = pack(network.state_dict(), description_of(config), {}, tmp_path, "again")
    shipped, again = read_weights(SHIPPED / "nano.safetensors"), read_weights(files.weights)
    assert shipped.keys() == again.keys()
    assert all(torch.equal(shipped[name], again[name]) for name in shipped)
    assert read_description(files.network) == read_description(SHIPPED / "nano.yaml")


def test_the_command_line_trains_and_resumes(tmp_path, caplog):
    """The real simulator, two updates and then one more."""
    options = ["smoke", "--out", str(tmp_path), "--device", "cpu", "--no-stills", "--clips", "2"]
    main([*options, "--steps", "2"])
    assert (tmp_path / CHECKPOINT).is_file()
    main([*options, "--steps", "3", "--resume"])
    described = json.loads((tmp_path / "smoke.json").read_text())
    assert described["training"]["steps"] == 3
    assert read_journal(tmp_path / LOG)[-1]["step"] == 3


@pytest.mark.slow
def test_training_works(tmp_path):
    """A short smoke run: real loop, prompts and losses, the real simulator; the loss falls and disks are found.

    'make train-smoke' is a longer one.
    """
    settings = replace(SMOKE.optimiser, seconds=0, steps=60)
    found = smoke(replace(SMOKE, optimiser=settings), tmp_path)
    assert found.steps == 60
    check(found, least_iou=0.35)


WORKING = Smoke(first_loss=9.0, last_loss=3.0, prompted_iou=0.8, followed_iou=0.8, steps=90, seconds=60.0)


def test_a_run_that_learns_nothing_is_reported():
    check(WORKING)
    with pytest.raises(SmokeError, match=r"did not fall enough: 9\.000 to 9\.100"):
        check(replace(WORKING, last_loss=9.1))
    with pytest.raises(SmokeError, match=r"not found: mean IoU 0\.20"):
        check(replace(WORKING, prompted_iou=0.2))
