"""Networks to be trained: built from the configuration a recipe names, starting where it says."""

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from napari_mosam.core.model.build import load_weights
from napari_mosam.core.model.catalogue import SHIPPED
from napari_mosam.core.model.configs import Description, build_network, read_description
from training.config import ModelConfig
from training.recipes import CONFIGS

if TYPE_CHECKING:
    from sam2.modeling.sam2_base import SAM2Base


def description_of(config: ModelConfig, folder: Path = CONFIGS) -> Description:
    """The configuration of a recipe's network, its input size as the recipe wants it.

    Parameters
    ----------
    config : ModelConfig
    folder : Path
        Where the recipe lies; the files of its networks are beside it.
    """
    path = SHIPPED / "nano.yaml" if config.network == "nano" else folder / config.network
    return read_description(path, config.image_size or None)


def new_network(config: ModelConfig, description: Description, seed: int) -> "SAM2Base":
    """The network of a recipe, in training mode on the CPU; random weights are a function of the seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = build_network(description, config.name)
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
