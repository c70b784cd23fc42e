"""Lengths of runs, learning rates, running means, batches made ahead, logs."""

import itertools
import threading

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from training.config import OptimiserConfig
from training.nano.average import RunningMean
from training.nano.checkpoints import Checkpoint, CheckpointError
from training.nano.metrics_log import MetricsLog, read_journal
from training.nano.prefetcher import Prefetcher
from training.nano.schedule import Budget, average_decay, learning_rate

CONFIG = OptimiserConfig(steps=1000, rate=1e-3, final_rate=0.01, warmup=10)


def test_the_rate_warms_up_and_falls_along_a_cosine():
    assert learning_rate(0, 0, CONFIG) == pytest.approx(1e-4)
    assert learning_rate(9, 0, CONFIG) == pytest.approx(1e-3)
    assert learning_rate(500, 0.5, CONFIG) == pytest.approx(1e-3 * 0.505)
    assert learning_rate(1000, 1, CONFIG) == pytest.approx(1e-5)


@given(st.floats(0, 1), st.floats(0, 1))
def test_after_the_warm_up_the_rate_never_rises(a, b):
    early, late = sorted((a, b))
    assert learning_rate(50, early, CONFIG) >= learning_rate(50, late, CONFIG) > 0


@given(st.integers(0, 5000), st.floats(0, 5000))
def test_progress_is_a_share(step, elapsed):
    assert 0 <= Budget(1000, 60.0).progress(step, elapsed) <= 1


def test_whichever_limit_is_reached_first_ends_the_run():
    assert Budget(100, 0).progress(50, 1e9) == 0.5
    assert Budget(0, 60).progress(10**6, 30) == 0.5
    assert Budget(100, 60).progress(10, 60) == 1


def test_the_running_mean_follows_a_constant_and_ends_where_it_is():
    network = torch.nn.Linear(2, 1)
    mean = RunningMean(network)
    with torch.no_grad():
        network.weight.fill_(3.0)
    before = mean.state["weight"].clone()
    mean.update(network, 0.75)
    assert torch.allclose(mean.state["weight"], 0.75 * before + 0.25 * 3.0)
    for step in range(300):
        mean.update(network, average_decay(step, 0.9))
    assert torch.allclose(mean.state["weight"], network.weight, atol=1e-4)


def test_the_decay_starts_small():
    assert average_decay(0, 0.99) == pytest.approx(0.1)
    assert average_decay(10**6, 0.99) == 0.99


@pytest.mark.parametrize("depth", [0, 1, 3])
def test_items_come_in_order_whoever_makes_them(depth):
    ahead = Prefetcher(lambda k: k * k, 4, depth)
    assert list(itertools.islice(ahead, 5)) == [16, 25, 36, 49, 64]
    ahead.stop()


def test_no_more_is_made_than_is_kept_ready():
    made, enough = [], threading.Event()

    def make(k):
        made.append(k)
        if k == 2:
            enough.set()
        return k

    ahead = Prefetcher(make, 0, 2)
    assert next(iter(ahead)) == 0
    assert enough.wait(5)
    ahead.stop()
    assert max(made) <= 4


def test_an_error_while_preparing_reaches_the_loop():
    def make(k):
        if k == 1:
            raise ValueError("broken movie")
        return k

    items = iter(Prefetcher(make, 0, 2))
    assert next(items) == 0
    with pytest.raises(ValueError, match="broken movie"):
        next(items)


def test_a_line_of_the_log_holds_means_without_what_was_not_measured(tmp_path):
    journal = MetricsLog(tmp_path / "log.jsonl")
    for loss in (1.0, 2.0, 6.0):
        journal.report({"loss": loss, "click_iou": float("nan") if loss < 6 else 0.5})
    journal.write(3, seconds=1.5)
    journal.report({"loss": 7.0})
    journal.write(4)
    first, second = read_journal(tmp_path / "log.jsonl")
    assert first == {"step": 3, "seconds": 1.5, "loss": 3.0, "click_iou": 0.5}
    assert second == {"step": 4, "loss": 7.0}


def test_without_a_checkpoint_nothing_is_resumed(tmp_path):
    with pytest.raises(CheckpointError, match="no checkpoint"):
        Checkpoint.load(tmp_path / "checkpoint.pt")
    torch.save({"format": 0}, tmp_path / "checkpoint.pt")
    with pytest.raises(CheckpointError, match="no checkpoint of this version"):
        Checkpoint.load(tmp_path / "checkpoint.pt")
