"""Which models there are, and how one is loaded."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_mosam.core.device import choose_device, choose_dtype
from napari_mosam.core.model.build import (
    ModelError,
    build_from_file,
    build_official,
    load_weights,
)

if TYPE_CHECKING:
    from napari_mosam.core.model.sam2_adapter import Sam2Segmenter

__all__ = ["ModelError", "ModelInfo", "available_models", "cache_folder", "load_model", "model_info"]

CACHE_VARIABLE = "MOSAM_CACHE"
"""Environment variable that names another folder for weights."""

_SHIPPED = Path(__file__).parents[2] / "models"
_GPU_CHUNK = 64


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """A model that can be asked for by name.

    Attributes
    ----------
    name : str
        What to pass as ``model=`` or ``--model``.
    image_size : int
        Side of its input by default, px.
    parameters : float
        Size of the network, millions.
    shipped : bool
        Whether the weights come with the package.
    file : str
        Name of the weights file.
    config : str
        Name of its build parameters or sam2 configuration.
    sha256 : str or None
        Checked before the weights are used, where known.
    """

    name: str
    image_size: int
    parameters: float
    shipped: bool
    file: str
    config: str
    sha256: str | None = None

    @property
    def path(self) -> Path | None:
        """Where the weights are on this machine; None if they are not."""
        path = (_SHIPPED if self.shipped else cache_folder()) / self.file
        return path if path.is_file() else None


_MODELS = (
    ModelInfo(
        "nano",
        256,
        7.6,
        True,
        "nano.safetensors",
        "nano.json",
        "eb5291d699de2ff49c8be295813b33891cd71248b82da38b4cddd3bb048343b5",
    ),
    ModelInfo("sam2.1-tiny", 512, 38.9, False, "sam2.1_hiera_tiny.pt", "sam2.1_hiera_t.yaml"),
    ModelInfo("sam2.1-small", 512, 46.0, False, "sam2.1_hiera_small.pt", "sam2.1_hiera_s.yaml"),
    ModelInfo("sam2.1-base-plus", 512, 80.8, False, "sam2.1_hiera_base_plus.pt", "sam2.1_hiera_b+.yaml"),
    ModelInfo("sam2.1-large", 512, 224.4, False, "sam2.1_hiera_large.pt", "sam2.1_hiera_l.yaml"),
)


def available_models() -> list[ModelInfo]:
    """Every model known by name, the shipped one first."""
    return list(_MODELS)


def cache_folder() -> Path:
    """Folder of weights that do not come with the package: ``$MOSAM_CACHE``, or the user's cache."""
    from platformdirs import user_cache_path

    given = os.environ.get(CACHE_VARIABLE)
    return Path(given) if given else user_cache_path("napari-mosam") / "models"


def model_info(name: str) -> ModelInfo:
    """The model called `name`.

    Raises
    ------
    ModelError
        If there is none.
    """
    for info in _MODELS:
        if info.name == name:
            return info
    raise ModelError(f"there is no model '{name}'; choose one of {', '.join(m.name for m in _MODELS)}")


def load_model(
    model: str | Path = "nano",
    *,
    weights: str | Path | None = None,
    device: Any = None,
    dtype: str | None = None,
    image_size: int | None = None,
) -> "Sam2Segmenter":
    """Build a network, load its weights and put it on a device.

    Parameters
    ----------
    model : str or Path
        A name of :func:`available_models`; the path of an official checkpoint under its own file name; or the path of
        a ``.safetensors`` file with its build parameters in a ``.json`` beside it.
    weights : str or Path, optional
        Weights of the named model that lie elsewhere.
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
        Unknown name, missing, damaged or unfitting weights, impossible size.
    DeviceError
        The device is not available.
    """
    from napari_mosam.core.model.sam2_adapter import CPU_CHUNK, Sam2Segmenter

    where = choose_device(device)
    name, network = _loaded_network(model, weights, image_size)
    chunk = CPU_CHUNK if where.type == "cpu" else _GPU_CHUNK
    return Sam2Segmenter(network.to(where), name, dtype=choose_dtype(where, dtype), chunk=chunk)


def _loaded_network(model: str | Path, weights: str | Path | None, image_size: int | None) -> tuple[str, Any]:
    if str(model).endswith(".safetensors"):
        path = Path(model)
        network = build_from_file(_parameters_beside(path), image_size)
        load_weights(network, path)
        return path.stem, network
    info = _official_file(Path(model)) or model_info(str(model))
    if weights is None and Path(model).suffix == ".pt":
        weights = model
    path = Path(weights) if weights is not None else _weights_of(info)
    if weights is None and info.sha256 is not None:
        _check_hash(path, info.sha256)
    network = _network(info, image_size)
    load_weights(network, path)
    return info.name, network


def _official_file(path: Path) -> ModelInfo | None:
    """The model whose official checkpoint a file is, by its name; None for anything but a ``.pt``."""
    if path.suffix != ".pt":
        return None
    for info in _MODELS:
        if info.file == path.name:
            return info
    raise ModelError(
        f"'{path.name}' is no file name of an official checkpoint; give it its own name again: "
        f"{', '.join(m.file for m in _MODELS[1:])}"
    )


def _network(info: ModelInfo, image_size: int | None) -> Any:
    if info.shipped:
        return build_from_file(_SHIPPED / info.config, image_size)
    return build_official(info.config, image_size or info.image_size)


def _parameters_beside(path: Path) -> Path:
    beside = path.with_suffix(".json")
    if not beside.is_file():
        raise ModelError(f"'{path.name}' needs its build parameters in '{beside.name}' beside it")
    return beside


def _weights_of(info: ModelInfo) -> Path:
    if info.path is None:
        raise ModelError(
            f"the weights of '{info.name}' are not on this machine; put '{info.file}' into '{cache_folder()}' or use "
            "the model 'nano', which comes with the package"
        )
    return info.path


def _check_hash(path: Path, expected: str) -> None:
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != expected:
        raise ModelError(f"the weights file '{path.name}' is damaged (its SHA-256 differs); reinstall napari-mosam")
