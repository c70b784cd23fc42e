"""Slices of a run: schedule and batches go on where they were, from two small files that are whole at any time."""

import copy
import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import safetensors.torch
import torch
from safetensors import safe_open
from tests.support.core_movies import CoreMovies
from training.config import StageConfig, TrainingConfig
from training.nano.checkpoints import CheckpointError
from training.nano.loop import LOG, Place, Trainer
from training.nano.metrics_log import read_journal
from training.nano.networks import new_network
from training.recipes import CONFIGS, read_config
from training.run import main
from training.slices import HEADER, Slice, read_slice

from napari_mosam.core.model.build import ModelError, read_weights
from napari_mosam.core.model.catalogue import SHIPPED
from napari_mosam.core.model.registry import load_model
from napari_mosam.core.simulation import disk_moves

CPU = torch.device("cpu")
SMOKE = read_config(CONFIGS / "smoke.toml")
DATA = ["simulated movies"]
HALF = 2
ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"}
FP16 = 2**-10
"""Largest relative error of a weight that is written in half precision; twice what rounding can do."""


def recipe(steps: int = 2 * HALF) -> TrainingConfig:
    """The smoke recipe with batches of a few clips, and other batches in its second half."""
    settings = replace(SMOKE.optimiser, seconds=0, steps=steps, log_every=1, warmup=3)
    stages = (StageConfig(0.5, 2, 1, 1), StageConfig(1.0, 2, 2, 3))
    return replace(SMOKE, optimiser=settings, stages=stages)


class Watched(CoreMovies):
    """Movies that note which batches are asked for."""

    def __init__(self) -> None:
        super().__init__(disk_moves)
        self.seeds: list[str] = []

    def movies(self, seed, n, n_frames, side, device):
        self.seeds.append(seed)
        return super().movies(seed, n, n_frames, side, device)


def trainer(folder: Path, config: TrainingConfig | None = None) -> tuple[Trainer, Watched]:
    config = config or recipe()
    config, source = replace(config, data=replace(config.data, queue=0)), Watched()
    return Trainer(config, source, Place(CPU, folder)), source


class Clock:
    """Seconds that pass when told."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Updates:
    """A keeper that ends a run after some updates and leaves a slice."""

    def __init__(self, folder: Path, n: int) -> None:
        self._slice, self._left = Slice(9, folder, DATA), n

    def goes_on(self, trainer: Trainer) -> bool:
        self._left -= 1
        return self._left > 0

    def save(self, trainer: Trainer) -> Path:
        return self._slice.save(trainer)


@pytest.fixture(scope="module")
def two_slices(tmp_path_factory):
    """A run in two slices, on two machines so to speak: each one's folder, run and source."""
    folders = [tmp_path_factory.mktemp(name) for name in ("first", "second")]
    first, seen = trainer(folders[0])
    first.run(keeper=Updates(folders[0], HALF))
    second, seen_later = trainer(folders[1])
    second.resume_from(folders[0] / "smoke.safetensors", DATA)
    second.run(keeper=Updates(folders[1], HALF))
    return folders, (first, second), (seen, seen_later)


def test_two_slices_have_the_schedule_and_the_batches_of_one_run(two_slices, tmp_path):
    folders, (first, second), (seen, seen_later) = two_slices
    whole, seen_whole = trainer(tmp_path)
    whole.run()
    assert [*seen.seeds, *seen_later.seeds] == seen_whole.seeds
    assert len(set(seen_whole.seeds)) == 2 * HALF
    lines = [line for folder in folders for line in read_journal(folder / LOG)]
    expected = read_journal(tmp_path / LOG)
    for name in ("step", "progress"):
        assert [line[name] for line in lines] == [line[name] for line in expected]
    early, late = ([line["rate"] for line in some if line["step"] > HALF] for some in (lines, expected))
    assert [line["rate"] for line in lines if line["step"] <= HALF] == [
        line["rate"] for line in expected if line["step"] <= HALF
    ]
    assert early[0] < late[0], "the optimiser of a slice is fresh, and warms up"
    assert (second.step, second.object_frames) == (whole.step, whole.object_frames)
    assert first.object_frames == HALF * 2 * 1 * 1
    assert second.object_frames == first.object_frames + HALF * 2 * 2 * 3


def test_a_slice_goes_on_from_the_running_mean_in_half_precision(two_slices, tmp_path):
    folders, (first, _), _ = two_slices
    resumed, _ = trainer(tmp_path)
    resumed.resume_from(folders[0] / "smoke.safetensors", DATA)
    assert resumed.step == first.step == HALF
    assert not resumed._optimiser.state
    for name, value in first.average.state.items():
        for found in (resumed.average.state[name], resumed.network.state_dict()[name]):
            assert torch.allclose(found, value, rtol=FP16, atol=1e-7), name
            assert torch.equal(found, value.half().float())


def test_the_files_of_a_slice_say_the_same_and_are_a_model(two_slices):
    folders, (_, second), _ = two_slices
    path = folders[1] / "smoke.safetensors"
    described = json.loads(path.with_suffix(".json").read_text())
    with safe_open(path, framework="pt") as file:
        assert json.loads(file.metadata()[HEADER]) == described["training"]
    state = read_slice(path)
    assert (state.updates, state.total_updates, state.slices) == (2 * HALF, 2 * HALF, 2)
    assert state.progress == described["training"]["progress"] == 1
    assert state.object_frames == second.object_frames
    assert state.losses == {k: v for k, v in read_journal(folders[1] / LOG)[-1].items() if k in state.losses}
    assert {"loss", "mask", "iou", "score", "waited"} <= state.losses.keys()
    assert state.seconds > read_slice(folders[0] / "smoke.safetensors").seconds
    assert path.stat().st_size < 2.1 * sum(p.numel() for p in second.network.parameters())
    assert load_model(path, device="cpu", dtype="float32").image_size == 64


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda c: replace(c, seed=7), "seed: 0 there, 7 here"),
        (lambda c: recipe(steps=6), "optimiser: .*'steps': 4.*'steps': 6"),
        (lambda c: replace(c, stages=c.stages[1:]), "stages"),
        (lambda c: replace(c, model=replace(c.model, image_size=96)), "model"),
    ],
)
def test_a_slice_of_another_recipe_is_refused(two_slices, tmp_path, change, told):
    folders, _, _ = two_slices
    other, _ = trainer(tmp_path, change(recipe()))
    with pytest.raises(CheckpointError, match=told):
        other.resume_from(folders[0] / "smoke.safetensors", DATA)
    assert other.step == 0


def test_what_changes_no_number_may_differ(two_slices, tmp_path):
    folders, _, _ = two_slices
    config = recipe()
    settings = replace(config.optimiser, recompute=True, log_every=7, save_every=3)
    other, _ = trainer(tmp_path, replace(config, optimiser=settings))
    other.resume_from(folders[0] / "smoke.safetensors", DATA)
    assert other.step == HALF


def test_a_slice_on_other_data_is_refused(two_slices, tmp_path):
    folders, _, _ = two_slices
    other, _ = trainer(tmp_path)
    with pytest.raises(CheckpointError, match="movies: .*simulated movies.*stills"):
        other.resume_from(folders[0] / "smoke.safetensors", [*DATA, "stills"])


def test_weights_of_another_shape_are_refused(two_slices, tmp_path):
    """The recipe names the file of a network, which may have changed since."""
    folders, _, _ = two_slices
    other, _ = trainer(tmp_path)
    description = copy.deepcopy(other.description)
    description["num_maskmem"] += 1
    other.network = new_network(SMOKE.model, description, 0)
    with pytest.raises(ModelError, match="maskmem_tpos_enc"):
        other.resume_from(folders[0] / "smoke.safetensors", DATA)


def test_other_files_are_no_slices(tmp_path):
    with pytest.raises(CheckpointError, match="no slice"):
        read_slice(tmp_path / "nothing.safetensors")
    (tmp_path / "broken.safetensors").write_bytes(b"not weights")
    for path in (tmp_path / "broken.safetensors", SHIPPED / "nano.safetensors"):
        with pytest.raises(CheckpointError, match="was not written by a slice"):
            read_slice(path)


@pytest.mark.parametrize(("minutes", "update_s", "latest"), [(9, 1.0, 480.0), (9, 20.0, 480.0), (0.5, 1.0, 24.0)])
def test_a_slice_leaves_time_for_writing_and_writes_on_the_way(tmp_path, monkeypatch, minutes, update_s, latest):
    clock, written = Clock(), []
    keeper = Slice(minutes, tmp_path, DATA, clock)

    def save(_):
        written.append(clock.now)
        clock.now += 1
        keeper._written = clock.now

    monkeypatch.setattr(keeper, "save", save)
    clock.now = 7.0  # the network is built
    n_updates = 0
    while True:
        clock.now += update_s
        n_updates += 1
        if not keeper.goes_on(None):
            break
    assert latest - 2 * max(update_s, 8.0) <= clock.now <= latest
    gaps = [b - a for a, b in zip([0.0, *written], [*written, clock.now], strict=True)]
    assert max(gaps) <= 45.0 + update_s + 1
    assert bool(written) == (minutes > 1)


def test_a_killed_write_leaves_the_last_whole_files(two_slices, tmp_path, monkeypatch):
    """The process ends while the weights are written, and between the two files."""
    run, _ = trainer(tmp_path)
    keeper = Slice(9, tmp_path, DATA)
    path = keeper.save(run)
    before = path.read_bytes()
    run.step = 1

    def cut_short(tensors, filename, metadata):
        Path(filename).write_bytes(before[:1000])
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(safetensors.torch, "save_file", cut_short)
        with pytest.raises(KeyboardInterrupt):
            keeper.save(run)
    assert path.read_bytes() == before
    with monkeypatch.context() as patched:
        patched.setattr("training.pack._write_json", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            keeper.save(run)
    assert read_slice(path).updates == 1
    resumed, _ = trainer(tmp_path / "later")
    resumed.resume_from(path, DATA)
    assert resumed.step == 1


def test_the_command_line_trains_in_slices_and_packs_the_whole(tmp_path):
    """The real simulator; the first slice is too short for more than one update."""
    options = ["smoke", "--device", "cpu", "--no-stills", "--clips", "2", "--steps", "2"]
    first, last = tmp_path / "first", tmp_path / "last"
    main([*options, "--out", str(first), "--slice", "0.001"])
    weights = first / "smoke.safetensors"
    assert read_slice(weights).updates == 1
    assert {p.name for p in first.iterdir()} == {"smoke.safetensors", "smoke.yaml", "smoke.json", LOG}
    main([*options, "--out", str(last), "--resume-from", str(weights)])
    described = json.loads((last / "smoke.json").read_text())
    assert described["training"]["steps"] == 2
    assert read_weights(last / "smoke.safetensors").keys() == read_weights(weights).keys()
    with pytest.raises(ValueError, match="--steps"):
        main(["smoke", "--device", "cpu", "--no-stills", "--seconds", "5", "--out", str(first), "--slice", "1"])


@pytest.mark.slow
def test_a_killed_slice_leaves_files_that_another_goes_on_from(tmp_path):
    """The process is killed outright while it trains and writes after every update."""
    program = (
        "import sys; from training import slices; slices.SAVE_S = 0.0; from training.run import main;"
        "main(['smoke', '--device', 'cpu', '--no-stills', '--clips', '2', '--steps', '100000', '--slice', '5',"
        " '--out', sys.argv[1]])"
    )
    process = subprocess.Popen([sys.executable, "-c", program, str(tmp_path / "killed")], env=ENVIRONMENT)
    weights = tmp_path / "killed" / "smoke.safetensors"
    end = time.monotonic() + 120
    while time.monotonic() < end and not (weights.is_file() and read_slice(weights).updates >= 5):
        assert process.poll() is None
        time.sleep(0.05)
    process.kill()
    process.wait()
    done = read_slice(weights).updates
    assert done >= 5
    options = ["smoke", "--device", "cpu", "--no-stills", "--clips", "2", "--steps", "100000", "--slice", "0.001"]
    main([*options, "--out", str(tmp_path / "later"), "--resume-from", str(weights)])
    assert read_slice(tmp_path / "later" / "smoke.safetensors").updates == done + 1
