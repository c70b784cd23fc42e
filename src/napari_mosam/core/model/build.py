"""Networks from their build parameters, and weights into networks; nothing in either is executed.

sam2's networks bake the input size in, so one network is built per input size.
"""

from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any

from napari_mosam.core.config.json_files import read_json

if TYPE_CHECKING:
    from sam2.modeling.sam2_base import SAM2Base
    from torch import Tensor

SIZE_STEP = 32
"""Input sizes are multiples of this: Hiera halves the stride-4 grid three times."""

MAX_CONFIG_BYTES = 100_000
"""Of a configuration or a file of build parameters; sam2's own have 4 kB."""

NOT_A_MODEL = (OSError, ValueError, LookupError, TypeError, AttributeError, AssertionError, RuntimeError)
"""What wrong parameters make sam2's constructors raise."""

_UNREADABLE = (UnpicklingError, RuntimeError, EOFError, AttributeError, OSError, ValueError, TypeError)


class ModelError(ValueError):
    """A model cannot be built or its weights cannot be loaded."""


def build_from_parameters(parameters: Mapping[str, Any], image_size: int | None = None) -> "SAM2Base":
    """A SAM 2 network from the JSON parameters that are shipped beside its weights.

    Parameters
    ----------
    parameters : mapping
        The sections 'trunk', 'neck', 'memory_attention', 'memory_encoder' and 'base'.
    image_size : int or None
        Side of the input in px, a multiple of 32; None takes the size it was trained with.
    """
    from napari_mosam.core.model.sam2_blocks import MemoryAttention, MemoryAttentionLayer, SAM2Base

    size = check_size(image_size or parameters["image_size"])
    attention = dict(parameters["memory_attention"])
    layer = MemoryAttentionLayer(
        **attention.pop("layer"),
        self_attention=_rope(attention.pop("self_attention"), size),
        cross_attention=_rope(attention.pop("cross_attention"), size),
    )
    return SAM2Base(
        image_encoder=_image_encoder(parameters),
        memory_attention=MemoryAttention(layer=layer, **attention),
        memory_encoder=_memory_encoder(parameters["memory_encoder"]),
        **{**parameters["base"], "image_size": size},
    )


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
    return weights


def build_from_file(path: Path, image_size: int | None = None) -> "SAM2Base":
    """A network from a JSON file of build parameters, see :func:`build_from_parameters`.

    Raises
    ------
    ModelError
        If the file cannot be read or does not describe a network.
    """
    try:
        return build_from_parameters(read_json(path, MAX_CONFIG_BYTES), image_size)
    except ModelError:
        raise
    except NOT_A_MODEL as error:
        raise not_a_model(path.name, error) from error


def check_size(size: int) -> int:
    """Return `size` if Hiera can take it; the network's input is square."""
    if size < 2 * SIZE_STEP or size % SIZE_STEP:
        raise ModelError(f"an input size of {size} px is not possible; use a multiple of {SIZE_STEP}, 64 or more")
    return size


def not_a_model(name: str, error: Exception) -> ModelError:
    """The error about a file of build parameters from which no network can be built."""
    return ModelError(
        f"the build parameters in '{name}' do not describe a model ({type(error).__name__}: {error}); use the file "
        "that came with the weights"
    )


def refuse_weights_path(trunk: Mapping[str, Any]) -> None:
    """Refuse a trunk that would have sam2 unpickle another file while it is being built."""
    if trunk.get("weights_path") is not None:
        raise ModelError(
            "build parameters may not name a file of weights ('weights_path'), which would be read unsafely; take that "
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


def _rope(parameters: Mapping[str, Any], size: int) -> Any:
    from napari_mosam.core.model.sam2_blocks import RoPEAttention

    given = {k: v for k, v in parameters.items() if k != "kind"}
    return RoPEAttention(**{**given, "feat_sizes": [size // 16, size // 16]})


def _positions(parameters: Mapping[str, Any]) -> Any:
    from napari_mosam.core.model.sam2_blocks import PositionEmbeddingSine

    return PositionEmbeddingSine(**{k: v for k, v in parameters.items() if k != "kind"})


def _image_encoder(parameters: Mapping[str, Any]) -> Any:
    from napari_mosam.core.model.sam2_blocks import FpnNeck, Hiera, ImageEncoder

    refuse_weights_path(parameters["trunk"])
    neck = dict(parameters["neck"])
    scalp, positions = neck.pop("scalp"), _positions(neck.pop("pos_enc"))
    trunk = {k: tuple(v) if isinstance(v, list) else v for k, v in parameters["trunk"].items()}
    return ImageEncoder(Hiera(**trunk), FpnNeck(position_encoding=positions, **neck), scalp=scalp)


def _memory_encoder(parameters: Mapping[str, Any]) -> Any:
    from napari_mosam.core.model.sam2_blocks import CXBlock, Fuser, MaskDownSampler, MemoryEncoder

    given = dict(parameters)
    fuser = dict(given.pop("fuser"))
    n_layers = fuser.pop("num_layers")
    block = CXBlock(**{k: v for k, v in fuser.items() if k != "layer"})
    return MemoryEncoder(
        mask_downsampler=MaskDownSampler(**given.pop("mask_downsampler")),
        fuser=Fuser(block, num_layers=n_layers),
        position_encoding=_positions(given.pop("position_encoding")),
        **given,
    )
