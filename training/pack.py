"""From a run to files that ship: fp16 weights, their network and origin, and what they must reproduce."""

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from napari_mosam.core.masks.overlap import upsample
from napari_mosam.core.model.configs import Description, written_out
from napari_mosam.core.model.protocol import ImageFeatures, MaskCandidates, MemoryFrame, MemorySelection, PointPrompts
from napari_mosam.core.model.registry import load_model
from napari_mosam.core.model.sam2 import Sam2Segmenter
from napari_mosam.core.simulation import disk_moves
from training.nano.networks import size_in_millions

VERSION = 2
"""Version 1 is the first nano, which was made by other code."""


READABLE = 0o644


@dataclass(frozen=True, slots=True)
class Written:
    """A model's files, side by side: ``.safetensors``, ``.yaml`` and ``.json``, and what the last one says."""

    weights: Path
    network: Path
    origin: Path
    facts: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Packed:
    """Files of a packed model, side by side.

    Attributes
    ----------
    weights, network, origin, reference : Path
        ``.safetensors``, ``.yaml`` (how the network is built), ``.json`` (how it was made) and ``_reference.npz``.
    sha256 : str
        Of the weights.
    """

    weights: Path
    network: Path
    origin: Path
    reference: Path
    sha256: str


def pack(
    state: dict[str, Tensor], description: Description, provenance: dict[str, Any], folder: Path, name: str
) -> Packed:
    """Write a model that :func:`napari_mosam.core.model.registry.load_model` takes by the path of its weights.

    Parameters
    ----------
    state : dict of str to Tensor
        The weights, usually their running mean.
    description : dict
        Of the network.
    provenance : dict
        How it was made; goes into the JSON file under 'training'.
    folder : Path
    name : str
        Of the files.
    """
    written = write_weights(state, description, provenance, folder, name)
    model = load_model(written.weights, device="cpu", dtype="float32")
    _write_json(written.origin, written.facts | {"params_m": _rounded(model)})
    reference = folder / f"{name}_reference.npz"
    np.savez_compressed(reference, **reference_of(model))
    return Packed(written.weights, written.network, written.origin, reference, written.facts["sha256"])


def write_weights(
    state: dict[str, Tensor],
    description: Description,
    provenance: dict[str, Any],
    folder: Path,
    name: str,
    header: dict[str, str] | None = None,
) -> Written:
    """Write weights in fp16, their network and their origin, each file whole at any time, however the process ends.

    Parameters
    ----------
    state, description, provenance, folder, name
        See :func:`pack`.
    header : dict of str to str, optional
        Goes into the header of the weights.
    """
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    weights = folder / f"{name}.safetensors"
    halved = {key: value.detach().cpu().half().contiguous() for key, value in state.items()}
    partial = weights.with_suffix(".part")
    save_file(halved, partial, {"format": "pt", **(header or {})})
    partial.chmod(READABLE)
    facts = {"name": name, "version": VERSION, "dtype": "float16", "sha256": sha256_of(partial), "training": provenance}
    _write(weights.with_suffix(".yaml"), written_out(description))
    os.replace(partial, weights)
    _write_json(weights.with_suffix(".json"), facts)
    return Written(weights, weights.with_suffix(".yaml"), weights.with_suffix(".json"), facts)


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def reference_of(model: Sam2Segmenter) -> dict[str, Any]:
    """What a model says to a click on the first of two frames of a simulated disk, and on the second.

    Frames (2, S, S), the point as (x, y), and per frame the chosen mask logits, all predicted IoUs, the object score
    and the object pointer: whatever loads these weights has to come to the same numbers.
    """
    size = model.image_size
    movie = disk_moves(0, shape=(size, size), n_frames=2, diameter=size / 5)
    frames = torch.from_numpy(np.asarray(movie.images, np.float32)).clamp(0, 1)
    y, x = (float(c.mean()) for c in np.nonzero(movie.labels[0] == 1))
    xy = torch.tensor([x, y])
    points = PointPrompts(xy.view(1, 1, 2), torch.ones(1, 1, dtype=torch.int32))
    features = model.encode_image(frames[:1])
    first = model.decode_masks(features, model.without_memory(features), points=points)
    memory = _remembered(model, features, first)
    later = model.encode_image(frames[1:])
    second = model.decode_masks(later, model.attend_memory(later, [MemorySelection(((0, memory),), ((1, memory),))], 2))
    stored = {"frames": frames, "point_xy": xy, **_described(model, first, 0), **_described(model, second, 1)}
    return {name: value.numpy() for name, value in stored.items()}


def _remembered(model: Sam2Segmenter, features: ImageFeatures, decoded: MaskCandidates) -> MemoryFrame:
    best = int(decoded.predicted_iou[0].argmax())
    full = upsample(decoded.logits[:, best], model.image_size)[:, None]
    pointer = model.object_pointers(decoded.mask_tokens[:, best], decoded.object_score)[0]
    return MemoryFrame(0, model.encode_memory(features, full, decoded.object_score)[0], pointer, 1.0, 1.0, 1.0)


def _described(model: Sam2Segmenter, decoded: MaskCandidates, t: int) -> dict[str, Tensor]:
    best = int(decoded.predicted_iou[0].argmax())
    pointer = model.object_pointers(decoded.mask_tokens[:, best], decoded.object_score)[0]
    return {
        f"low_res_logits_{t}": decoded.logits[0, best],
        f"ious_{t}": decoded.predicted_iou[0],
        f"object_score_{t}": decoded.object_score,
        f"object_pointer_{t}": pointer,
    }


def _rounded(model: Sam2Segmenter) -> dict[str, float]:
    return {name: round(value, 6) for name, value in size_in_millions(model.network).items()}


def _write_json(path: Path, content: dict[str, Any]) -> None:
    _write(path, json.dumps(content, indent=1) + "\n")


def _write(path: Path, text: str) -> None:
    partial = path.with_name(f"{path.name}.part")
    partial.write_text(text)
    os.replace(partial, path)
