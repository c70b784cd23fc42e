"""The clips that weights are tried on are the same all through a run, and tell good weights from bad ones."""

import json

import pytest
import torch
from training.config import ModelConfig
from training.data.movies import source_of
from training.nano.loop import LINE_S, LOG, Place, Trainer
from training.nano.networks import description_of, new_network
from training.nano.validation import Validation
from training.recipes import CONFIGS, read_config

CPU = torch.device("cpu")
SMOKE = read_config(CONFIGS / "smoke.toml")
NANO = ModelConfig(weights="nano", image_size=128)


def validation(model: ModelConfig) -> Validation:
    config = SMOKE.__class__(model=model, data=SMOKE.data)
    return Validation.of(config, source_of(SMOKE.data, None), description_of(model), CPU, torch.float32)


@pytest.mark.slow
def test_trained_weights_are_told_from_random_ones():
    tried = validation(NANO)
    random = new_network(ModelConfig(image_size=128), description_of(NANO), 0).state_dict()
    trained = new_network(NANO, description_of(NANO), 0).state_dict()
    bad, good, again = (tried.measure(state) for state in (random, trained, trained))
    assert good == again
    assert set(good) == {"valid_tracked", "valid_click", "valid_box"}
    assert bad["valid_tracked"] < 0.3 < good["valid_tracked"] <= 1
    assert bad["valid_box"] < good["valid_box"]


def test_a_line_a_minute_says_what_the_weights_are_worth(tmp_path):
    class Constant:
        def measure(self, state):
            return {"valid_tracked": 0.25}

    now = iter(range(0, 10_000, int(LINE_S / 4)))
    run = Trainer(SMOKE, source_of(SMOKE.data, None), Place(CPU, tmp_path), Constant(), clock=lambda: float(next(now)))
    run.run(until=2)
    lines = [json.loads(line) for line in (tmp_path / LOG).read_text().splitlines()]
    assert lines[0]["valid_tracked"] == 0.25
    assert lines[0]["object_frames"] > 0
