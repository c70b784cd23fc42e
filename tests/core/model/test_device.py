import contextlib

import pytest
import torch

from napari_mosam.core.model.device import DeviceError, autocast, available_devices, choose_device, choose_dtype


@pytest.fixture
def machine(monkeypatch):
    """Pretends that this machine has other devices."""

    def pretend(cuda=0, mps=False, bf16=True, cpu_bf16=False):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda)
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda *args, **kwargs: bf16)
        for probe in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
            monkeypatch.setattr(torch.cpu, probe, lambda: cpu_bf16, raising=False)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)

    return pretend


@pytest.mark.parametrize(("there", "best"), [({"cuda": 2, "mps": True}, "cuda"), ({"mps": True}, "mps"), ({}, "cpu")])
@pytest.mark.parametrize("asked", [None, "auto"])
def test_the_best_device_is_chosen(machine, there, best, asked):
    machine(**there)
    assert choose_device(asked).type == best
    assert available_devices()[0] == best
    assert available_devices()[-1] == "cpu"


@pytest.mark.parametrize("asked", ["cuda", "cuda:0", "mps", torch.device("cuda")])
def test_a_device_that_is_not_there_is_refused(machine, asked):
    machine()
    with pytest.raises(DeviceError, match="not available here; use cpu"):
        choose_device(asked)


def test_a_gpu_beyond_the_last_is_refused(machine):
    machine(cuda=2)
    assert choose_device("cuda:1") == torch.device("cuda:1")
    with pytest.raises(DeviceError, match="'cuda:2' is not available"):
        choose_device("cuda:2")


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("gpu", "device 'gpu' is unknown; available here: cpu$"),
        ("meta", "device 'meta' is not available here; use cpu, or leave it on 'auto'$"),
        ("", "device '' is unknown; available here: cpu$"),
    ],
)
def test_an_unknown_device_is_named(machine, asked, said):
    machine()
    with pytest.raises(DeviceError, match=said):
        choose_device(asked)


def test_bfloat16_is_chosen_where_the_processor_has_it(machine):
    machine(cuda=1)
    assert choose_dtype(torch.device("cpu")) == torch.float32
    assert choose_dtype(torch.device("cuda")) == torch.bfloat16
    assert choose_dtype(torch.device("cuda"), "float32") == torch.float32
    assert choose_dtype(torch.device("mps")) == torch.float32
    machine(cpu_bf16=True)
    assert choose_dtype(torch.device("cpu")) == torch.bfloat16
    assert choose_dtype(torch.device("cpu"), "float32") == torch.float32
    machine(cuda=1, bf16=False)
    assert choose_dtype(torch.device("cuda")) == torch.float32
    with pytest.raises(ValueError, match="dtype 'int8'.*float32, bfloat16"):
        choose_dtype(torch.device("cpu"), "int8")


def test_autocast_is_off_in_float32_and_ends_with_its_block():
    assert isinstance(autocast(torch.device("cpu"), torch.float32), contextlib.nullcontext)
    with autocast(torch.device("cpu"), torch.bfloat16):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.bfloat16
    assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32
