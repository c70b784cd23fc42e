"""Weights into networks, without executing anything in them, and what is said when one of the two is none.

sam2's networks bake the input size in, so one network is built per input size.
"""

from collections.abc import Mapping
from copy import copy
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sam2.modeling.sam2_base import SAM2Base
    from torch import Tensor

SIZE_STEP = 32
"""Input sizes are multiples of this: Hiera halves the stride-4 grid three times."""

MAX_CONFIG_BYTES = 100_000
"""Of a configuration; sam2's own have 4 kB."""

NOT_A_MODEL = (OSError, ValueError, LookupError, TypeError, AttributeError, AssertionError, RuntimeError)
"""What a wrong configuration makes sam2's constructors raise."""

_UNREADABLE = (UnpicklingError, RuntimeError, EOFError, AttributeError, OSError, ValueError, TypeError)


class ModelError(ValueError):
    """A model cannot be built or its weights cannot be loaded."""


def load_weights(network: "SAM2Base", path: Path) -> None:
    """Load a safetensors file or an official ``.pt`` checkpoint (tensors only) strictly.

    Raises
    ------
    ModelError
        If the file is missing, damaged, or does not fit the network.
    """
    weights = read_weights(path)
    expected = network.state_dict()
    missing, unexpected = sorted(set(expected) - set(weights)), sorted(set(weights) - set(expected))
    misfits = sorted(k for k in set(expected) & set(weights) if expected[k].shape != weights[k].shape)
    if missing or unexpected or misfits:
        shapes = [f"{k} {_shape(weights[k])} instead of {_shape(expected[k])}" for k in misfits]
        raise ModelError(
            f"the weights in '{path.name}' do not fit this model: {_few(missing)} missing, {_few(unexpected)} "
            f"unexpected, {_few(shapes)} of another shape; choose the model or the configuration they were made for"
        )
    network.load_state_dict({name: tensor.float() for name, tensor in weights.items()}, strict=True)


def read_weights(path: Path) -> "dict[str, Tensor]":
    """The tensors of a weights file, without executing anything in it.

    A checkpoint may hold them itself, or under 'model' (as the official ones do) or 'state_dict'.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not path.is_file():
        raise ModelError(f"no weights at '{path}'; give the path of a .safetensors or .pt file")
    try:
        if path.suffix == ".safetensors":
            return dict(load_file(path))
        stored = torch.load(path, map_location="cpu", weights_only=True)
        weights = dict(stored.get("model", stored.get("state_dict", stored)))
    except _UNREADABLE as error:
        raise _damaged(path) from error
    except SafetensorError as error:
        raise _damaged(path) from error
    odd = [str(name) for name, value in weights.items() if not isinstance(value, torch.Tensor)]
    if odd:
        raise ModelError(f"'{path.name}' holds no weights: {_few(odd)} are no tensors; give a SAM 2 checkpoint")
    broken = [str(name) for name, value in weights.items() if not torch.isfinite(value).all()]
    if broken:
        raise ModelError(
            f"'{path.name}' holds weights that are no numbers (NaN or infinite): {_few(broken)}; a training that "
            "diverged leaves such: give another checkpoint"
        )
    return weights


def resized(network: "SAM2Base", size: int) -> "SAM2Base":
    """The same network, its modules and weights shared, for inputs of another side, px.

    Raises
    ------
    ModelError
        If the side is no multiple of 32.
    """
    other, prompts = _shallow(network), _shallow(network.sam_prompt_encoder)
    side = check_size(size) // network.backbone_stride
    prompts.input_image_size, prompts.image_embedding_size = (size, size), (side, side)
    prompts.mask_input_size = 4 * side, 4 * side
    other.image_size, other.sam_image_embedding_size, other.sam_prompt_encoder = size, side, prompts
    return other


def _shallow(module: Any) -> Any:
    """A copy of a module whose parts are the same, and can be exchanged without changing the original."""
    other = copy(module)
    other._modules = dict(module._modules)
    return other


def is_possible_size(size: float) -> bool:
    """Whether Hiera can take an input of that side."""
    return size >= 2 * SIZE_STEP and size % SIZE_STEP == 0


def check_size(size: int) -> int:
    """Return `size` if Hiera can take it; the network's input is square."""
    if not is_possible_size(size):
        raise ModelError(f"an input size of {size} px is not possible; use a multiple of {SIZE_STEP}, 64 or more")
    return size


def not_a_model(name: str, error: Exception) -> ModelError:
    """The error about a configuration from which no network can be built."""
    return ModelError(
        f"the configuration '{name}' does not describe a model ({type(error).__name__}: {error}); use the file that "
        "came with the weights"
    )


def refuse_weights_path(trunk: Mapping[str, Any]) -> None:
    """Refuse a trunk that would have sam2 unpickle another file while it is being built."""
    if trunk.get("weights_path") is not None:
        raise ModelError(
            "a configuration may not name a file of weights ('weights_path'), which would be read unsafely; take that "
            "line out: all weights come from the checkpoint"
        )


def _damaged(path: Path) -> ModelError:
    return ModelError(
        f"the weights file '{path.name}' is damaged or not a tensors-only file; get it again (expected .safetensors, "
        "or an official .pt checkpoint)"
    )


def _few(names: list[str], shown: int = 3) -> str:
    more = " …" if len(names) > shown else ""
    return f"{len(names)} ({', '.join(names[:shown])}{more})" if names else "0"


def _shape(tensor: "Tensor") -> str:
    return f"({', '.join(str(n) for n in tensor.shape)})"
