"""The trained motion encoders in the loop: which objects they are asked about, and what they are shown."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_mosam.core.config.engine import EngineConfig
from napari_mosam.core.masks.raster import region_of_logits
from napari_mosam.core.masks.region import Region
from napari_mosam.core.model.protocol import Segmenter
from napari_mosam.core.model.queries import encode_windows
from napari_mosam.core.motion.cues import FrameMotion
from napari_mosam.core.motion.learned.encoders import DeformedMask, FramePair, MotionEncoders, WindowFeatures
from napari_mosam.core.motion.prediction import MotionPrediction, SparsePrediction
from napari_mosam.core.results.frame import Cue
from napari_mosam.core.tracking.track import Track
from napari_mosam.core.windows.sampling import Pyramid
from napari_mosam.core.windows.window import Window

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True, eq=False)
class WarpedMask:
    """An object's last mask where and as it is expected now.

    Attributes
    ----------
    logits : Tensor, shape (s, s)
    window : Window
        Where they lie.
    region : Region
        The frame pixels where they are positive.
    """

    logits: "Tensor"
    window: Window
    region: Region


class LearnedMotionCue:
    """Asks the encoders; keeps what the model saw of each object on the latest frame, and nothing older.

    Parameters
    ----------
    model : Segmenter
    config : EngineConfig
    step : int
        +1 forward, -1 backward.

    Raises
    ------
    ModelError
        If the encoders that come with the package cannot be loaded.
    """

    def __init__(self, model: Segmenter, config: EngineConfig, step: int) -> None:
        warping = config.motion.prompt != "off" and config.window.mode == "object"
        self._model = model
        self._learned = MotionEncoders.shipped(model.device, getattr(model, "fingerprint", None), dense=warping)
        self._step = step
        self._views: dict[int, tuple[int, WindowFeatures]] = {}

    def guesses(
        self, tracks: Sequence[Track], motion: FrameMotion, sparse: Sequence[Cue | None]
    ) -> list[SparsePrediction | None]:
        """Where objects are expected that were seen on the frame before; None for others.

        Parameters
        ----------
        tracks : sequence of Track
        motion : FrameMotion
            From the frame before.
        sparse : sequence of Cue or None
            What the key points say of each.
        """
        rows = _followed(tracks) if motion.before is not None else []
        cues = [(motion.dense(tracks[row].course.last), sparse[row]) for row in rows]
        found = self._learned.guess([tracks[row].course for row in rows], motion, cues)
        by_row = dict(zip(rows, found, strict=True))
        return [by_row.get(row) for row in range(len(tracks))]

    def warps(
        self,
        t: int,
        tracks: Sequence[Track],
        forecasts: Sequence[MotionPrediction],
        views: Sequence[WindowFeatures],
        motion: FrameMotion,
        shape_yx: tuple[int, int],
    ) -> list[WarpedMask | None]:
        """The last masks as they are on frame `t`; None where the encoder is unsure, or is not asked.

        Parameters
        ----------
        t : int
        tracks : sequence of Track
        forecasts : sequence of MotionPrediction
        views : sequence of WindowFeatures
            What the model sees now.
        motion : FrameMotion
            From the frame before.
        shape_yx : tuple of int
            Shape of the frame.
        """
        rows = _followed(tracks) if self._learned.sees and motion.before is not None else []
        before = self._before(t, [tracks[row] for row in rows], motion)
        steps = [
            FramePair(past, views[row], tracks[row].last_mask, forecasts[row].shift_yx)
            for row, past in zip(rows, before, strict=True)
        ]
        if self._learned.sees:
            self._views = {track.object_id: (t, view) for track, view in zip(tracks, views, strict=True)}
        found = dict(zip(rows, self._learned.deform(steps), strict=True))
        return [_warped(found.get(row), shape_yx) for row in range(len(tracks))]

    def _before(self, t: int, tracks: Sequence[Track], motion: FrameMotion) -> list[WindowFeatures]:
        """What the model saw of objects on the frame before; seen anew where that is not at hand."""
        known = {i: view for i, (when, view) in self._views.items() if when == t - self._step}
        missing = [track for track in tracks if track.object_id not in known]
        if missing and motion.before is not None:
            windows = [track.last_mask[1] for track in missing]
            seen = encode_windows(self._model, Pyramid.of(motion.before, self._model.device), windows)
            for row, (track, window) in enumerate(zip(missing, windows, strict=True)):
                known[track.object_id] = WindowFeatures(seen.take([row]), window)
        return [known[track.object_id] for track in tracks]


def _followed(tracks: Sequence[Track]) -> list[int]:
    """Rows of objects that were seen on the frame before, each by itself."""
    return [row for row, track in enumerate(tracks) if track.last_region is not None and not track.ambiguous]


def _warped(found: DeformedMask | None, shape_yx: tuple[int, int]) -> WarpedMask | None:
    region = region_of_logits(found.logits, found.window, shape_yx) if found is not None else None
    return WarpedMask(found.logits, found.window, region) if found is not None and region is not None else None
