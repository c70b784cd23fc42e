"""Networks to be trained: built from the parameters a recipe names, starting where it says."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from napari_mosam.core.model.build import build_from_parameters, load_weights
from napari_mosam.core.model.catalogue import SHIPPED
from training.config import ModelConfig
from training.recipes import CONFIGS

if TYPE_CHECKING:
    from sam2.modeling.sam2_base import SAM2Base


def parameters_of(config: ModelConfig, folder: Path = CONFIGS) -> dict[str, Any]:
    """Build parameters of a recipe's network, its input size as the recipe wants it.

    Parameters
    ----------
    config : ModelConfig
    folder : Path
        Where the recipe lies; its parameter files are beside it.
    """
    path = SHIPPED / "nano.json" if config.parameters == "nano" else folder / config.parameters
    parameters: dict[str, Any] = json.loads(path.read_text())
    size = config.image_size or parameters["image_size"]
    parameters["image_size"] = parameters["base"]["image_size"] = size
    for name in ("self_attention", "cross_attention"):
        parameters["memory_attention"][name]["feat_sizes"] = [size // 16, size // 16]
    return parameters


def new_network(config: ModelConfig, parameters: dict[str, Any], seed: int) -> "SAM2Base":
    """The network of a recipe, in training mode on the CPU; random weights are a function of the seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = build_from_parameters(parameters)
    if config.weights:
        load_weights(network, SHIPPED / "nano.safetensors" if config.weights == "nano" else Path(config.weights))
    return network.train()


def size_in_millions(network: "SAM2Base") -> dict[str, float]:
    """Parameters of the network and of its parts, millions."""
    parts = {
        "total": network,
        "trunk": network.image_encoder.trunk,
        "neck": network.image_encoder.neck,
        "memattn": network.memory_attention,
        "memenc": network.memory_encoder,
        "dec": network.sam_mask_decoder,
    }
    return {name: sum(p.numel() for p in part.parameters()) / 1e6 for name, part in parts.items()}
