"""The trained motion encoders in the loop: which objects they are asked about, and what they are shown."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from napari_mosam.core.config.engine import EngineConfig
from napari_mosam.core.masks.raster import region_of_logits
from napari_mosam.core.masks.window_mask import WindowMask
from napari_mosam.core.model.protocol import Segmenter
from napari_mosam.core.model.queries import encode_windows
from napari_mosam.core.motion.cues import FrameMotion
from napari_mosam.core.motion.learned.encoders import DeformedMask, FramePair, MotionEncoders, WindowFeatures
from napari_mosam.core.motion.prediction import MotionPrediction, Moving, SparsePrediction
from napari_mosam.core.results.frame import Cue
from napari_mosam.core.windows.pyramid import Pyramid

OBSERVED = ("flow", "keypoints")
"""Cues that the sparse encoder reads."""


class Deforming(Moving, Protocol):
    """What the dense encoder asks of an object beyond its motion."""

    @property
    def object_id(self) -> int:
        """Identity."""
        ...

    @property
    def alone(self) -> WindowMask:
        """The last mask that was the object's alone."""
        ...


class LearnedMotionCue:
    """Asks the encoders that come with the package.

    Parameters
    ----------
    model : Segmenter
    config : EngineConfig

    Raises
    ------
    ModelError
        If the encoders cannot be loaded.
    """

    def __init__(self, model: Segmenter, config: EngineConfig) -> None:
        deforming = config.motion.prompt != "off" and config.window.mode == "object"
        self._model = model
        self._encoders = MotionEncoders.shipped(model.device, getattr(model, "fingerprint", None), dense=deforming)

    @property
    def sees(self) -> bool:
        """Whether the encoders look at what the model saw."""
        return self._encoders.sees

    def observe(
        self, objects: Sequence[Moving], motion: FrameMotion, told: Sequence[Sequence[Cue]]
    ) -> Sequence[Cue | None]:
        """Where objects are expected that were seen on the frame before; see :class:`MotionCue`."""
        rows = _seen_alone(objects) if motion.before is not None else []
        cues = [[cue for cue in told[row] if cue.name in OBSERVED] for row in rows]
        found = self._encoders.guess([objects[row].history for row in rows], motion, cues)
        by_row: dict[int, SparsePrediction | None] = dict(zip(rows, found, strict=True))
        return [by_row.get(row) for row in range(len(objects))]

    def deform(
        self,
        objects: Sequence[Deforming],
        predicted: Sequence[MotionPrediction],
        before: Mapping[int, WindowFeatures],
        now: Sequence[WindowFeatures],
        motion: FrameMotion,
        shape_yx: tuple[int, int],
    ) -> list[WindowMask | None]:
        """The last masks as they are now; None where the encoder is unsure, or is not asked.

        Parameters
        ----------
        objects : sequence of Deforming
        predicted : sequence of MotionPrediction
            Where they are expected.
        before : mapping of int to WindowFeatures
            What the model saw of them on the frame before, by id; seen anew where that is not at hand.
        now : sequence of WindowFeatures
            What the model sees of them.
        motion : FrameMotion
            From the frame before.
        shape_yx : tuple of int
            Shape of the frame.
        """
        rows = _seen_alone(objects) if self.sees and motion.before is not None else []
        past = self._past([objects[row] for row in rows], before, motion)
        steps = [
            FramePair(view, now[row], objects[row].alone, predicted[row].shift_yx)
            for row, view in zip(rows, past, strict=True)
        ]
        found = dict(zip(rows, self._encoders.deform(steps), strict=True))
        return [_as_mask(found.get(row), shape_yx) for row in range(len(objects))]

    def _past(
        self, objects: Sequence[Deforming], before: Mapping[int, WindowFeatures], motion: FrameMotion
    ) -> list[WindowFeatures]:
        known = dict(before)
        missing = [o for o in objects if o.object_id not in known]
        if missing and motion.before is not None:
            windows = [o.alone.window for o in missing]
            seen = encode_windows(self._model, Pyramid.of(motion.before, self._model.device), windows)
            for row, (o, window) in enumerate(zip(missing, windows, strict=True)):
                known[o.object_id] = WindowFeatures(seen.take([row]), window)
        return [known[o.object_id] for o in objects]


def _seen_alone(objects: Sequence[Moving]) -> list[int]:
    """Rows of objects that were seen on the frame before, each by itself."""
    return [row for row, o in enumerate(objects) if o.last_region is not None and not o.ambiguous]


def _as_mask(found: DeformedMask | None, shape_yx: tuple[int, int]) -> WindowMask | None:
    region = region_of_logits(found.logits, found.window, shape_yx) if found is not None else None
    return WindowMask(found.logits, found.window, region) if found is not None and region is not None else None
