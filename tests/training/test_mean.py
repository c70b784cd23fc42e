"""The mean of weights: right numbers, a model that loads, its origin, and no mean of different networks."""

import json

import pytest
import torch
from training.config import ModelConfig
from training.mean import MeanError, main, mean_of
from training.nano.networks import description_of, new_network
from training.pack import sha256_of, write_weights

from napari_mosam.core.model.build import read_weights
from napari_mosam.core.model.registry import load_model

SMOKE = ModelConfig(network="smoke.yaml")


def written(folder, name, seed, config=SMOKE):
    description = description_of(config)
    network = new_network(config, description, seed)
    return write_weights(network.state_dict(), description, {"seed": seed}, folder, name).weights


def test_each_tensor_is_the_mean():
    a, b = {"w": torch.tensor([1.0, 4.0])}, {"w": torch.tensor([3.0, 0.0])}
    assert torch.equal(mean_of([a, b])["w"], torch.tensor([2.0, 2.0]))
    assert torch.equal(mean_of([a, a, b])["w"], torch.tensor([5.0, 8.0]) / 3)


def test_a_mean_is_a_model_that_names_what_it_was_made_of(tmp_path):
    files = [written(tmp_path, f"run{seed}", seed) for seed in (1, 2)]
    main([str(tmp_path / "mean"), *map(str, files), "--name", "both"])
    weights = tmp_path / "mean" / "both.safetensors"
    assert load_model(weights, device="cpu", dtype="float32").image_size == 64
    found, states = read_weights(weights), [read_weights(file) for file in files]
    for name, value in found.items():
        expected = (states[0][name].float() + states[1][name].float()) / 2
        torch.testing.assert_close(value.float(), expected, atol=1e-3, rtol=1e-3)
    made = json.loads(weights.with_suffix(".json").read_text())["training"]["mean_of"]
    assert made == [
        {"sha256": sha256_of(file), "training": {"seed": seed}} for file, seed in zip(files, (1, 2), strict=True)
    ]


def test_different_networks_have_no_mean(tmp_path):
    files = [written(tmp_path, "small", 1), written(tmp_path, "large", 1, ModelConfig())]
    with pytest.raises(MeanError, match="different networks"):
        main([str(tmp_path / "mean"), *map(str, files)])
    assert not (tmp_path / "mean").exists()
    with pytest.raises(MeanError, match="different networks"):
        mean_of([{"w": torch.zeros(2)}, {"w": torch.zeros(3)}])
