"""Which models are known by name, where their weights come from, and where they lie on this machine."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from napari_mosam.core.model.build import ModelError

CACHE_VARIABLE = "MOSAM_CACHE"
"""Environment variable that names another folder for weights."""

URL_VARIABLE = "MOSAM_MODELS_URL"
"""Environment variable that names another place to download weights from, such as a mirror of the institute."""

OFFICIAL_URL = "https://dl.fbaipublicfiles.com/segment_anything_2/092824"

Place = Literal["shipped", "present", "part", "missing"]
Progress = Callable[[int, int | None], None]
"""Is told the bytes that are there and those in all, None where the server does not say."""

SHIPPED = Path(__file__).parent / "weights"
"""Weights that come with the package."""


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
        Name of its configuration: a file of the package, or of sam2's.
    sha256 : str or None
        Checked before the weights are used, where known.
    size : int or None
        Size of the weights file, bytes, where known.
    licence : str
        SPDX name of the licence of the weights.
    source : str
        Who made the weights, and where they come from.
    """

    name: str
    image_size: int
    parameters: float
    shipped: bool
    file: str
    config: str
    sha256: str | None = None
    size: int | None = None
    licence: str = "Apache-2.0"
    source: str = OFFICIAL_URL

    @property
    def path(self) -> Path | None:
        """Where the weights are on this machine; None if they are not."""
        return self.find()

    def find(self, folder: str | Path | None = None) -> Path | None:
        """Where the weights are, if `folder` (by default :func:`cache_folder`) or the package has them."""
        path = self.home(folder)
        return path if path.is_file() else None

    def home(self, folder: str | Path | None = None) -> Path:
        """Where the weights are or would be."""
        return (SHIPPED if self.shipped else model_folder(folder)) / self.file

    def part(self, folder: str | Path | None = None) -> Path:
        """What a download that was cut off has left of the weights, or would leave."""
        return self.home(folder).with_name(f"{self.file}.part")

    def place(self, folder: str | Path | None = None) -> Place:
        """Whether the weights are at hand."""
        if self.find(folder) is not None:
            return "shipped" if self.shipped else "present"
        return "part" if self.part(folder).is_file() else "missing"


# The makers publish no hashes of the official files; these, and the sizes, are what several independent projects have
# recorded of them, and agree on.
_MODELS = (
    ModelInfo(
        "nano",
        256,
        7.6,
        True,
        "nano.safetensors",
        "nano.yaml",
        "9987bb0d042b7b31328a4ae154934068273e6ce7f0c3f0c362b3d410e7ca366e",
        licence="BSD-3-Clause",
        source="made for this package",
    ),
    ModelInfo(
        "sam2.1-tiny",
        512,
        38.9,
        False,
        "sam2.1_hiera_tiny.pt",
        "sam2.1_hiera_t.yaml",
        "7402e0d864fa82708a20fbd15bc84245c2f26dff0eb43a4b5b93452deb34be69",
        156_008_466,
    ),
    ModelInfo(
        "sam2.1-small",
        512,
        46.0,
        False,
        "sam2.1_hiera_small.pt",
        "sam2.1_hiera_s.yaml",
        "6d1aa6f30de5c92224f8172114de081d104bbd23dd9dc5c58996f0cad5dc4d38",
        184_416_285,
    ),
    ModelInfo(
        "sam2.1-base-plus",
        512,
        80.8,
        False,
        "sam2.1_hiera_base_plus.pt",
        "sam2.1_hiera_b+.yaml",
        "a2345aede8715ab1d5d31b4a509fb160c5a4af1970f199d9054ccfb746c004c5",
        323_606_802,
    ),
    ModelInfo(
        "sam2.1-large",
        512,
        224.4,
        False,
        "sam2.1_hiera_large.pt",
        "sam2.1_hiera_l.yaml",
        "2647878d5dfa5098f2f8649825738a9345572bae2d4350a2468587ece47dd318",
        898_083_611,
    ),
)


def available_models() -> list[ModelInfo]:
    """Every model known by name, the shipped one first."""
    return list(_MODELS)


def model_info(name: str) -> ModelInfo:
    """The model called `name`.

    Raises
    ------
    ModelError
        If there is none.
    """
    models = available_models()
    for info in models:
        if info.name == name:
            return info
    raise ModelError(
        f"there is no model '{name}'; choose one of {', '.join(m.name for m in models)}, or give the path of weights"
    )


def cache_folder() -> Path:
    """Folder of weights that do not come with the package: ``$MOSAM_CACHE``, or the user's cache."""
    from platformdirs import user_cache_path

    given = os.environ.get(CACHE_VARIABLE)
    return Path(given) if given else user_cache_path("napari-mosam") / "models"


def model_folder(folder: str | Path | None = None) -> Path:
    """`folder`, or :func:`cache_folder` where None is given."""
    return cache_folder() if folder is None else Path(folder)


def download_url(info: ModelInfo, url: str | None = None) -> str:
    """Where the weights are downloaded from.

    Parameters
    ----------
    info : ModelInfo
        A model that is not shipped.
    url : str, optional
        Folder of a mirror that holds the files under their own names; by default ``$MOSAM_MODELS_URL``, or where the
        makers of the weights publish them.
    """
    base = url or os.environ.get(URL_VARIABLE) or info.source
    return f"{base.rstrip('/')}/{info.file}"


def in_megabytes(n_bytes: int) -> str:
    """Such as '156 MB' (10^6 bytes, as browsers and download pages count)."""
    return f"{n_bytes / 1e6:.0f} MB"
