"""The trained motion encoders: loaded, asked for all objects of a frame at once, silent where they are unsure."""

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch

from napari_mosam.core.masks.window_mask import WindowMask
from napari_mosam.core.model.build import ModelError, read_weights
from napari_mosam.core.model.catalogue import SHIPPED
from napari_mosam.core.model.protocol import ImageFeatures
from napari_mosam.core.motion.cues import FrameMotion
from napari_mosam.core.motion.history import TrackHistory, describe
from napari_mosam.core.motion.learned.dense import FIELD, DenseFlow, DenseMotionEncoder, placement
from napari_mosam.core.motion.learned.sparse import SparseForecast, SparseMotionEncoder
from napari_mosam.core.motion.prediction import SparsePrediction
from napari_mosam.core.results.frame import Cue
from napari_mosam.core.windows.sampling import move_logits, placed
from napari_mosam.core.windows.window import Window

if TYPE_CHECKING:
    from torch import Tensor

logger = logging.getLogger(__name__)

MAX_SIGMA = 0.3
"""Standard deviation of a forecast centre, object diameters, from which on the sparse encoder abstains: on 22 % of
random simulated cells, 7 % in DIC, 4 % of faint ones, no others. Not compared with others."""

MAX_MASK_SIGMA = 0.025
"""Expected error of the flow in the mask, sides of the window, from which on the dense encoder abstains: on 7 % of
random simulated cells, no others. Not compared with others."""

EncoderT = TypeVar("EncoderT", SparseMotionEncoder, DenseMotionEncoder)


def load_encoder(kind: type[EncoderT], path: Path) -> tuple[EncoderT, dict[str, Any]]:
    """An encoder from ``path.json`` (build parameters, SHA-256) and ``path.safetensors``, and what the JSON says.

    Raises
    ------
    ModelError
        If a file is missing, the weights are not those that the JSON names, or do not fit.
    """
    weights, described = path.with_suffix(".safetensors"), path.with_suffix(".json")
    if not (weights.is_file() and described.is_file()):
        raise ModelError(f"the motion encoder '{path.name}' needs '{weights.name}' and '{described.name}'; reinstall")
    found = json.loads(described.read_text())
    if hashlib.sha256(weights.read_bytes()).hexdigest() != found["sha256"]:
        raise ModelError(f"the weights file '{weights.name}' is damaged (its SHA-256 differs); reinstall napari-mosam")
    encoder = kind(**found["build"])
    try:
        encoder.load_state_dict(read_weights(weights), strict=True)
    except RuntimeError as error:
        raise ModelError(f"the weights in '{weights.name}' do not fit '{described.name}'; reinstall") from error
    return encoder.eval(), found


def _fitting(fingerprint: str | None, folder: Path) -> DenseMotionEncoder | None:
    """The dense encoder, where the model is the one it was trained with."""
    encoder, made = load_encoder(DenseMotionEncoder, folder / "motion_dense")
    if made["features"] == fingerprint:
        return encoder
    logger.warning(
        "the dense motion encoder was trained with the weights of '%s' as they come with the package and cannot read "
        "this model; masks are moved without deformation instead",
        made["model"],
    )
    return None


@dataclass(frozen=True, slots=True, eq=False)
class WindowFeatures:
    """What the model saw of an object, or is shown: the features of one window.

    Attributes
    ----------
    features : ImageFeatures
        One row.
    window : Window
    """

    features: ImageFeatures
    window: Window


@dataclass(frozen=True, slots=True, eq=False)
class FramePair:
    """An object from one frame to the next.

    Attributes
    ----------
    before, after : WindowFeatures
    mask : WindowMask
        Its last mask.
    shift_yx : tuple of float
        Expected motion, px.
    """

    before: WindowFeatures
    after: WindowFeatures
    mask: WindowMask
    shift_yx: tuple[float, float]


@dataclass(frozen=True, slots=True, eq=False)
class DeformedMask:
    """How an object moved and deformed.

    Attributes
    ----------
    logits : Tensor, shape (s, s)
        Its last mask where and as it is now.
    window : Window
        Where they lie: the middle of what the model is shown.
    flow : Tensor, shape (2, s, s)
        Motion (dy, dx) since the frame before of what lies there now, px.
    """

    logits: "Tensor"
    window: Window
    flow: "Tensor"


class MotionEncoders:
    """Both encoders, on the model's device.

    Parameters
    ----------
    sparse : SparseMotionEncoder
    dense : DenseMotionEncoder or None
        None where the model is not the one it was trained with.
    device : torch.device
    """

    def __init__(
        self, sparse: SparseMotionEncoder, dense: DenseMotionEncoder | None, device: "torch.device | str" = "cpu"
    ) -> None:
        self._sparse = sparse.to(device)
        self._dense = dense.to(device) if dense is not None else None
        self._device = torch.device(device)

    @classmethod
    def shipped(
        cls, device: torch.device, fingerprint: str | None, *, dense: bool = True, folder: Path = SHIPPED
    ) -> "MotionEncoders":
        """Those that come with the package.

        Parameters
        ----------
        device : torch.device
        fingerprint : str or None
            Of the model that makes the features; the dense encoder reads only those it was trained with.
        dense : bool
            Whether the dense encoder is wanted.

        Raises
        ------
        ModelError
            See :func:`load_encoder`.
        """
        sparse, _ = load_encoder(SparseMotionEncoder, folder / "motion_sparse")
        return cls(sparse, _fitting(fingerprint, folder) if dense else None, device)

    @property
    def sees(self) -> bool:
        """Whether the dense encoder can be asked."""
        return self._dense is not None

    @torch.no_grad()
    def guess(
        self, courses: Sequence[TrackHistory], motion: FrameMotion, cues: Sequence[Sequence[Cue | None]]
    ) -> list[SparsePrediction | None]:
        """Where objects are expected on the coming frame; None for those that were not seen on the last one.

        Parameters
        ----------
        courses : sequence of TrackHistory
        motion : FrameMotion
        cues : sequence of sequence of Cue or None
            What flow and key points say of each.
        """
        described = [describe(course, motion, own) for course, own in zip(courses, cues, strict=True)]
        rows = [row for row, one in enumerate(described) if one is not None]
        guesses: list[SparsePrediction | None] = [None] * len(courses)
        if rows:
            batch = (np.stack(part) for part in zip(*filter(None, described), strict=True))
            found = self._sparse(*(torch.from_numpy(part).to(self._device) for part in batch)).cpu()
            for k, row in enumerate(rows):
                guesses[row] = _guess(found, k, courses[row], motion.drift_yx)
        return guesses

    @torch.no_grad()
    def deform(self, steps: Sequence[FramePair]) -> list[DeformedMask | None]:
        """How objects moved and deformed; None where the encoder is unsure, or cannot read the model."""
        if not steps or self._dense is None:
            return [None] * len(steps)
        before, after = (
            ImageFeatures.join([getattr(step, when).features for step in steps]) for when in ("before", "after")
        )
        side = after.high_res[0].shape[-1]
        made_in, wanted = placed([step.mask.window for step in steps]), placed([step.before.window for step in steps])
        masks = move_logits(torch.stack([step.mask.logits for step in steps]), made_in, wanted, side)[:, None]
        places = [placement(step.before.window, step.after.window, step.shift_yx) for step in steps]
        found = self._dense(before, after, masks.to(self._device), torch.tensor(places, device=self._device))
        sure = (found.sigma <= MAX_MASK_SIGMA).tolist()
        return [_deformed(found, row, step) if sure[row] else None for row, step in enumerate(steps)]


def _deformed(found: DenseFlow, row: int, step: FramePair) -> DeformedMask:
    window = step.after.window
    middle = Window(window.center_yx, (FIELD * window.size_yx[0], FIELD * window.size_yx[1]))
    flow = found.flow[row]
    cell_px, shift = (flow.new_tensor(pair)[:, None, None] for pair in (middle.size_yx, step.shift_yx))
    return DeformedMask(found.mask[row, 0], middle, flow * cell_px / flow.shape[-1] + shift)


def _guess(
    found: SparseForecast, row: int, course: TrackHistory, drift_yx: tuple[float, float]
) -> SparsePrediction | None:
    """One row in px."""
    sight = course.sight
    if sight is None:
        return None
    region, drift = sight.region, np.array(drift_yx)
    shift = found.shift[row].numpy() * region.diameter + drift
    center, size = region.center_yx + shift, np.array(region.mask.shape) * found.growth[row].exp().numpy()
    (y0, x0), (y1, x1) = center - (size - 1) / 2, center + (size - 1) / 2
    points = sight.points + found.points[row].numpy() * region.diameter + drift
    sure = max(0.0, 1 - float(found.sigma[row]) / MAX_SIGMA)
    return SparsePrediction(
        *("learned", (float(shift[0]), float(shift[1])), sure),
        box=(float(y0), float(x0), float(y1), float(x1)),
        points=tuple((float(y), float(x)) for y, x in points),
    )
