"""The mean of weights that were trained on from the same ones: ``python -m training.mean OUT WEIGHTS WEIGHTS …``.

Runs that begin at the same weights and see different data stay so close that the mean of their weights is a network as
good as any of them, and forgets less (Wortsman et al. 2022, arXiv 2203.05482). All have to be of one network.
"""

import argparse
import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from napari_mosam.core.model.build import read_weights
from napari_mosam.core.model.configs import Description, at_size, read_description
from training.pack import Packed, pack, sha256_of

LOGGER = logging.getLogger("training")


class MeanError(ValueError):
    """The weights are of different networks."""


def mean_of(states: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """The mean of each tensor, in float32.

    Raises
    ------
    MeanError
        If they do not have the same tensors.
    """
    first, *others = ({name: value.shape for name, value in state.items()} for state in states)
    if any(other != first for other in others):
        raise MeanError("the weights are of different networks, which have no mean; give runs from the same weights")
    return {name: torch.stack([state[name].float() for state in states]).mean(0) for name in first}


def mean_model(files: Sequence[Path], folder: Path, name: str = "nano") -> Packed:
    """Pack the mean of some weights, each with its YAML beside it; its origin names them all.

    Parameters
    ----------
    files : sequence of Path
        ``.safetensors``; the network and its input size are those of the first.
    folder : Path
    name : str
        Of the files that are written.

    Raises
    ------
    MeanError
        If they are of different networks.
    """
    descriptions = [read_description(path.with_suffix(".yaml")) for path in files]
    if any(_at_one_size(each) != _at_one_size(descriptions[0]) for each in descriptions):
        raise MeanError("the YAML files beside the weights describe different networks; give runs of one network")
    return pack(
        mean_of([read_weights(path) for path in files]), descriptions[0], {"mean_of": origins(files)}, folder, name
    )


def origins(files: Sequence[Path]) -> list[dict[str, Any]]:
    """SHA-256 of each file, and how it was made where that is written beside it."""
    beside = [path.with_suffix(".json") for path in files]
    made = [json.loads(path.read_text()).get("training") if path.is_file() else None for path in beside]
    return [{"sha256": sha256_of(path), "training": how} for path, how in zip(files, made, strict=True)]


def _at_one_size(description: Description) -> Description:
    """Weights do not depend on the input size."""
    return at_size(description, 256)


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    options = argparse.ArgumentParser(prog="python -m training.mean", description=__doc__)
    options.add_argument("out", type=Path, help="folder for the files of the mean")
    options.add_argument("weights", type=Path, nargs="+", help=".safetensors files")
    options.add_argument("--name", default="nano", help="of the files")
    given = options.parse_args(arguments)
    packed = mean_model(given.weights, given.out, given.name)
    LOGGER.info("%s  SHA-256 %s", packed.weights, packed.sha256)


if __name__ == "__main__":
    main()
