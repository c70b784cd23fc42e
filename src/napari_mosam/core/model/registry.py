"""How a model is loaded, by its name or by its weights."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_mosam.core.config.checks import Refused, refuse_address
from napari_mosam.core.model.build import ModelError, load_weights
from napari_mosam.core.model.catalogue import (
    CACHE_VARIABLE,
    ModelInfo,
    available_models,
    cache_folder,
    download_url,
    in_megabytes,
    model_folder,
    model_info,
)
from napari_mosam.core.model.configs import YAML_SUFFIXES, build_from_yaml, build_official, official_config
from napari_mosam.core.model.device import choose_chunk, choose_device, choose_dtype, choose_fast
from napari_mosam.core.model.download.hashes import file_sha256, known_sha256

if TYPE_CHECKING:
    from napari_mosam.core.model.sam2 import Sam2Segmenter

__all__ = [
    "CACHE_VARIABLE",
    "ModelError",
    "ModelInfo",
    "available_models",
    "cache_folder",
    "load_model",
    "model_info",
]

WEIGHTS_SUFFIXES = (".safetensors", ".pt", ".pth", ".ckpt")


def load_model(
    model: str | Path = "nano",
    *,
    weights: str | Path | None = None,
    config: str | Path | None = None,
    folder: str | Path | None = None,
    download: bool = False,
    device: Any = None,
    dtype: str | None = None,
    image_size: int | None = None,
) -> "Sam2Segmenter":
    """Build a network, load its weights and put it on a device.

    Nothing is downloaded unless `download` says so: a script that runs on a cluster or a train should fail at once and
    say what is missing.

    Parameters
    ----------
    model : str or Path
        A name of :func:`available_models`; or the path of any SAM 2 checkpoint (``.safetensors``, or a ``.pt`` that
        holds tensors only).
    weights : str or Path, optional
        Weights of the named model that lie elsewhere.
    config : str or Path, optional
        What the network of a checkpoint given by its path looks like: a YAML file in sam2's form, the name of a
        configuration of the sam2 package ('sam2.1_hiera_s'), or the name of a model. By default a ``.yaml`` of the
        same name beside the checkpoint, or, for a checkpoint under an official file name, the official one.
    folder : str or Path, optional
        Where downloaded weights lie; by default :func:`cache_folder`.
    download : bool
        Download the weights of a named model if they are not here, see :func:`download_model`.
    device : str, torch.device or None
        None chooses cuda > mps > cpu.
    dtype : {'float32', 'bfloat16'} or None
        None chooses what pays on the device.
    image_size : int or None
        Side of the input, px, a multiple of 32; None takes the model's default (official sizes: 512, or 1024 as
        they were trained).

    Raises
    ------
    ModelError
        Unknown name, missing, damaged or unfitting weights, impossible configuration or size.
    DeviceError
        The device is not available.
    """
    from napari_mosam.core.model.sam2 import Sam2Segmenter

    for given, what in ((model, "a checkpoint"), (weights, "a checkpoint"), (config, "a configuration")):
        _refuse_address(given, what)
    where = choose_device(device)
    if Path(model).suffix.lower() in WEIGHTS_SUFFIXES:
        name, network = _own_network(Path(model), config, image_size)
    else:
        _refuse_config(model, config)
        name, network = _named_network(model_info(str(model)), weights, folder, image_size, download)
    return Sam2Segmenter(
        network.to(where),
        name,
        dtype=choose_dtype(where, dtype),
        chunk=choose_chunk(where),
        fast=choose_fast(where),
    )


def _named_network(
    info: ModelInfo, weights: str | Path | None, folder: str | Path | None, image_size: int | None, download: bool
) -> tuple[str, Any]:
    if weights is None and download and not info.shipped:
        from napari_mosam.core.model.download.model import download_model

        download_model(info.name, folder=folder)
    path = Path(weights) if weights is not None else _weights_of(info, folder)
    if weights is None:
        _check_hash(info, path)
    network = _network(info, image_size)
    load_weights(network, path)
    return info.name, network


def _own_network(path: Path, config: str | Path | None, image_size: int | None) -> tuple[str, Any]:
    """The name and the network of a checkpoint that is given by its path."""
    if not path.is_file():
        raise ModelError(f"no weights at '{path}'; give the path of a {' or '.join(WEIGHTS_SUFFIXES)} file")
    official = next((info for info in available_models() if not info.shipped and info.file == path.name), None)
    if config is not None:
        network = _configured(config, image_size)
    elif path.with_suffix(".yaml").is_file():
        network = build_from_yaml(path.with_suffix(".yaml"), image_size)
    elif official is not None:
        network = _network(official, image_size)
    else:
        raise ModelError(
            f"'{path.name}' needs its configuration in '{path.with_suffix('.yaml').name}' beside it, or by name: "
            "config='my.yaml' or config='sam2.1_hiera_t' (--model-config on the command line)"
        )
    load_weights(network, path)
    return official.name if official is not None and config is None else path.stem, network


def _configured(config: str | Path, image_size: int | None) -> Any:
    path = Path(config)
    if path.is_file():
        if path.suffix in YAML_SUFFIXES:
            return build_from_yaml(path, image_size)
        raise ModelError(f"the configuration '{config}' is of no known kind; give a .yaml or .yml file in sam2's form")
    found = official_config(str(config))
    if found is not None:
        return build_from_yaml(found, image_size)
    named = next((info for info in available_models() if info.name == str(config)), None)
    if named is not None:
        return _network(named, image_size)
    raise ModelError(
        f"there is no configuration '{config}'; give a .yaml file that exists, the name of a model, or that of a "
        "configuration of the sam2 package such as 'sam2.1_hiera_t'"
    )


def _network(info: ModelInfo, image_size: int | None) -> Any:
    if info.shipped:
        return build_from_yaml(info.home().with_name(info.config), image_size)
    return build_official(info.config, image_size or info.image_size)


def _refuse_address(given: str | Path | None, what: str) -> None:
    try:
        refuse_address(given or "", what)
    except Refused as error:
        raise ModelError(f"{error}; the models of 'mosam models' are downloaded by their name") from None


def _refuse_config(model: str | Path, config: str | Path | None) -> None:
    if config is not None:
        raise ModelError(
            f"a configuration goes with the path of a checkpoint ({', '.join(WEIGHTS_SUFFIXES)}), not with '{model}'"
        )


def _weights_of(info: ModelInfo, folder: str | Path | None) -> Path:
    found = info.find(folder)
    if found is not None:
        return found
    if info.shipped:
        raise ModelError(f"the weights of '{info.name}' are missing from the package; reinstall napari-mosam")
    size = f" ({in_megabytes(info.size)})" if info.size else ""
    raise ModelError(
        f"the weights of '{info.name}' are not on this machine: run 'mosam models download {info.name}'{size}, or put "
        f"'{info.file}' from {download_url(info)} into '{model_folder(folder)}'; the model 'nano' needs no download"
    )


def _check_hash(info: ModelInfo, path: Path) -> None:
    known = known_sha256(info, path.parent)
    if known is None or file_sha256(path) == known:
        return
    if info.shipped:
        raise ModelError(f"the weights file '{path.name}' is damaged (its SHA-256 differs); reinstall napari-mosam")
    raise ModelError(
        f"the weights file '{path}' is damaged or not the one of '{info.name}' (its SHA-256 differs): run 'mosam "
        f"models download {info.name}' to get it again; weights of your own are loaded by their path"
    )
