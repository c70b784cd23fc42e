"""The network on a device: nothing that mixes devices, and no value that the processor waits for.

Torch's 'meta' device has shapes and no values: what asks for a value fails there, and what mixes it with tensors of the
processor is seen by the mode below. tests/test_devices.py follows cells on a device that pretends to be a card, whose
values can be asked for, with sam2's modules; here stand both networks, and no wait is allowed.
"""

import copy
from unittest import mock

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from napari_mosam.core.model.fast.layers import Packer
from napari_mosam.core.model.protocol import MemoryFrame, MemorySelection, PointPrompts
from napari_mosam.core.model.registry import load_model
from napari_mosam.core.model.sam2 import Sam2Segmenter

META = torch.device("meta")
N, SIDE = 5, 128
COPIES = {"aten._to_copy.default", "aten.copy_.default"}


class OneDevice(TorchDispatchMode):
    """Refuses what computes with tensors of two devices; numbers and copies may pass from one to another."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        tensors = [x for x in tree_leaves((args, kwargs or {})) if isinstance(x, torch.Tensor)]
        devices = {x.device.type for x in tensors if x.dim() > 0}
        assert len(devices) <= 1 or str(func) in COPIES, f"{func} computes with tensors of {sorted(devices)}"
        return func(*args, **(kwargs or {}))


def without_values(model):
    """The same model on the meta device, all of its tensors."""

    def empty(tensor, memo):
        memo[id(tensor)] = torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device=META)
        return memo[id(tensor)]

    def empty_parameter(parameter, memo):
        memo[id(parameter)] = torch.nn.Parameter(empty(parameter, memo), requires_grad=False)
        return memo[id(parameter)]

    tensors = mock.patch.object(torch.Tensor, "__deepcopy__", empty)
    with tensors, mock.patch.object(torch.nn.Parameter, "__deepcopy__", empty_parameter):
        there = copy.deepcopy(model)
    there.device = there.parts.device = META
    return there


@pytest.fixture(params=[False, True], ids=["sam2's modules", "own layers"])
def nano(request, monkeypatch):
    monkeypatch.setattr(Packer, "packs", False)  # as on a card
    network = load_model("nano", device="cpu", dtype="float32", image_size=SIDE).network
    return without_values(Sam2Segmenter(network, "nano", chunk=2, fast=request.param))


def followed(model):
    """All that is asked of the network, of a click and of a frame after it."""
    middle = PointPrompts(
        torch.full((N, 1, 2), SIDE / 2, device=META), torch.ones(N, 1, dtype=torch.int32, device=META)
    )
    features = model.encode_image(torch.empty(N, SIDE, SIDE, device=META))
    first = model.decode_masks(features, model.without_memory(features), points=middle)
    shown = torch.empty(N, 1, SIDE, SIDE, device=META)
    memories = model.encode_memory(features, shown, first.object_score)
    pointers = model.object_pointers(first.mask_tokens[:, 0], first.object_score)
    model.object_pointers_of_masks(features, (shown > 0).float())
    frames = [MemoryFrame(t, *both, 0.9, 4.0, 50.0) for t, both in enumerate(zip(memories, pointers, strict=True))]
    slots = tuple((slot, frames[slot % N]) for slot in (0, 6, 5))
    weights = tuple(torch.empty(SIDE // 16, SIDE // 16, device=META) for _ in slots)
    attended = model.attend_memory(features, [MemorySelection(slots, slots[1:], weights)] * N, 30)
    return model.decode_masks(features, attended, mask_logits=first.logits[:, :1], multimask=False)


def test_no_value_is_asked_for_and_no_devices_are_mixed(nano):
    with OneDevice():
        assert followed(nano).logits.device == META


def test_mixed_devices_and_asked_values_are_noticed():
    there = torch.empty(2, 2, device=META)
    with OneDevice():
        with pytest.raises(AssertionError, match="computes with tensors of"):
            there @ torch.ones(2, 2)
        with pytest.raises(RuntimeError):
            there.sum().item()
