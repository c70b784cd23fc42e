"""A network at another input size: its own weights, and the numbers of one that was built for that size."""

import pytest
import torch
from tests.core.model.test_fast import answers, noise, random_official

from napari_mosam.core.model.build import ModelError
from napari_mosam.core.model.compute import fixed_threads
from napari_mosam.core.model.registry import load_model


@pytest.fixture(autouse=True)
def _one_thread():
    with fixed_threads(1):
        yield


def same(found, expected):
    return found.keys() == expected.keys() and all(torch.equal(found[name], expected[name]) for name in found)


@pytest.mark.parametrize("network", ["fast", "plain"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_nano_at_another_size_is_nano_built_for_that_size(network, dtype):
    model = load_model(device="cpu", dtype=dtype).computed_by(network)
    before, _ = answers(model, noise(2, 256))
    built = load_model(device="cpu", dtype=dtype, image_size=128).computed_by(network)
    found, expected = (answers(one, noise(2, 128))[0] for one in (model.at_size(128), built))
    assert same(found, expected)
    assert same(answers(model, noise(2, 256))[0], before)  # it is as it was
    assert (model.image_size, model.network.image_size) == (256, 256)


@pytest.mark.parametrize("name", ["t", pytest.param("b+", marks=pytest.mark.slow)])
def test_an_official_network_at_another_size_is_that_network_built_for_it(name):
    model, built = random_official(name, 128), random_official(name, 64)
    for network in ("plain", "fast"):
        found, expected = (
            answers(one, noise(2, 64))[0]
            for one in (model.computed_by(network).at_size(64), built.computed_by(network))
        )
        assert same(found, expected)


def test_another_size_shares_the_weights_and_is_made_once():
    model = load_model(device="cpu")
    small = model.at_size(128)
    assert small.parts is model.in_chunks_of(4).at_size(128).parts
    weights = dict(model.network.named_parameters())
    assert all(own.data_ptr() == weights[name].data_ptr() for name, own in small.network.named_parameters())
    assert (small.chunk, small.name, small.computed) == (model.chunk, model.name, model.computed)
    assert small.weights_sha256 == model.weights_sha256
    assert small.fingerprint != model.fingerprint  # what reads its features is trained for one size


def test_an_impossible_size_is_refused():
    with pytest.raises(ModelError, match="100 px is not possible"):
        load_model(device="cpu").at_size(100)
