"""Training the motion encoders: exact targets, deterministic data, a loss that falls."""

import sys

import numpy as np
import pytest
import torch
from training.motion import dense, sparse
from training.motion.dense import loss_of as dense_loss
from training.motion.dense import run
from training.motion.dense import train as train_dense
from training.motion.movies import Errors, scenes
from training.motion.pairs import make_pairs, scatter_flow
from training.motion.sparse import Rows, make_rows, target
from training.motion.sparse import train as train_sparse
from training.motion.steps import Schedule, save_encoder
from training.nano.schedule import learning_rate

from napari_mosam.core.masks.region import Region
from napari_mosam.core.model.registry import load_model
from napari_mosam.core.motion.learned.dense import DenseMotionEncoder
from napari_mosam.core.motion.learned.encoders import load_encoder
from napari_mosam.core.motion.learned.sparse import SparseMotionEncoder
from napari_mosam.core.windows.window import Window


class ReachedError(Exception):
    """The command has read its settings."""


@pytest.mark.parametrize(("command", "examples", "n"), [(dense, "make_pairs", 4000), (sparse, "make_rows", 60_000)])
def test_the_commands_find_their_settings(command, examples, n, monkeypatch, tmp_path):
    def stop(*given):
        assert n in given
        raise ReachedError

    monkeypatch.setattr(command, examples, stop)
    monkeypatch.setattr(sys, "argv", ["train", "--out", str(tmp_path / "out")])
    with pytest.raises(ReachedError):
        command.main()
    assert (tmp_path / "out").is_dir()


@pytest.fixture(scope="module")
def rows():
    return make_rows(5, 250, 30.0)


@pytest.fixture(scope="module")
def pairs():
    return make_pairs(load_model("nano", device="cpu"), 5, 16, 30.0)


def same(a, b):
    return all(torch.equal(x.nan_to_num(9), y.nan_to_num(9)) for x, y in zip(a, b, strict=True))


def test_the_same_seed_gives_the_same_movies_and_errors():
    first, again, other = (next(scenes(seed, 3)) for seed in (1, 1, 2))
    assert np.array_equal(first.frames, again.frames)
    assert not np.array_equal(first.frames, other.frames)
    region = Region.from_mask(np.hypot(*(np.indices((60, 60)) - 30)) < 14)
    wrong = [Errors(0.05, 0.05).apply(region, np.random.default_rng(3)) for _ in range(2)]
    assert np.array_equal(wrong[0].mask, wrong[1].mask)
    assert 0.6 < wrong[0].iou(region) < 0.98
    assert wrong[0].area > region.area
    assert Errors().apply(region, np.random.default_rng(3)) is region


def test_targets_are_the_true_motion():
    region = Region.from_mask(np.ones((9, 13), bool), (20, 30))
    moved = region.shifted((6, -3))
    wanted = np.array([5, -3]) / region.diameter
    found = target(region, moved, (1.0, 0.0))
    assert found[:2] == pytest.approx(wanted, abs=1e-6)
    assert found[2:4].tolist() == [0, 0]
    assert found[4:].reshape(5, 2) == pytest.approx(np.tile(wanted, (5, 1)), abs=1e-5)


def test_reflections_undo_themselves_and_keep_lengths(rows):
    for kind in ("y", "x", "swap"):
        once = rows.reflected(kind)
        assert torch.allclose(once.targets[:, :2].norm(dim=1), rows.targets[:, :2].norm(dim=1))
        assert same(*([r.frames, r.candidates, r.targets] for r in (once.reflected(kind), rows)))
        assert not torch.equal(once.targets, rows.targets)


def test_reflected_rows_are_those_of_the_reflected_cells():
    region = Region.from_mask(np.random.default_rng(0).random((9, 13)) < 0.6, (20, 30))
    after = region.shifted((6, -3))

    def transposed(r):
        return Region(r.origin_yx[::-1], r.mask.T)

    given = torch.from_numpy(target(region, after, (0.0, 0.0)))[None]
    swapped = Rows(torch.zeros(1, 8, 15), torch.zeros(1, 4, 5), given).reflected("swap").targets[0]
    assert swapped.numpy() == pytest.approx(target(transposed(region), transposed(after), (0.0, 0.0)), abs=1e-5)


def test_scattered_flow_is_what_is_left_of_the_motion():
    labels = np.zeros((64, 64), int)
    labels[20:40, 20:40] = 3
    flow = np.zeros((2, 64, 64), np.float32)
    flow[0, labels == 3] = 4.0
    there = np.roll(labels, 4, 0)
    grid = scatter_flow(flow, (labels, there), Window.square((31.5, 29.5), 32.0), (3.0, 1.0), 3, 32)
    inside = grid[2] > 0.5
    assert inside.sum() > 200
    assert np.allclose(grid[0][inside], 1.0)
    assert np.allclose(grid[1][inside], -1.0)


def test_sparse_training_learns(rows, tmp_path):
    schedule = Schedule(steps=40, seconds=600, warmup=5, log_every=1000)
    encoder, losses = train_sparse(rows, rows, schedule, size=64)
    assert np.mean(losses[-5:]) < np.mean(losses[:3]) - 0.5
    again, repeated = train_sparse(rows, rows, Schedule(steps=4, warmup=5), size=64)
    assert repeated == train_sparse(rows, rows, Schedule(steps=4, warmup=5), size=64)[1]
    save_encoder(encoder, tmp_path / "motion_sparse", {"steps": len(losses)})
    read, described = load_encoder(SparseMotionEncoder, tmp_path / "motion_sparse")
    assert same(read.state_dict().values(), encoder.state_dict().values())
    assert described["training"] == {"steps": 40}
    assert not same(again.state_dict().values(), encoder.state_dict().values())


@pytest.mark.slow
def test_dense_training_learns(pairs):
    assert pairs.flows.shape[1:] == (3, 32, 32)
    assert (pairs.flows[:, 2] > 0.5).flatten(1).any(1).all()
    encoder, losses = train_dense(pairs, pairs, Schedule(steps=16, seconds=600, warmup=4, log_every=1000), size=8)
    assert isinstance(encoder, DenseMotionEncoder)
    torch.manual_seed(0)
    with torch.no_grad():
        before = dense_loss(run(DenseMotionEncoder(), pairs), pairs)
        after = dense_loss(run(encoder, pairs), pairs)
    assert after < before - 0.3
    assert len(losses) == 16


def test_the_learning_rate_rises_and_falls():
    schedule = Schedule(steps=100, warmup=10)
    rates = [learning_rate(step, step / 100, schedule) for step in range(100)]
    assert rates[0] < rates[9] > rates[50] > rates[99] > 0
