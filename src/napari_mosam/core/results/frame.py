"""What the engine returns: one ``FrameResult`` per frame and direction."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from enum import StrEnum
from math import nan
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_mosam.core.windows.sparse import SparseImage
from napari_mosam.core.windows.window import Window


class ObjectState(StrEnum):
    """Where an object stands on a frame."""

    PRESENT = "present"
    LOST = "lost"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Cue:
    """What one source of motion said of an object.

    Attributes
    ----------
    name : {'drift', 'flow', 'keypoints', 'kalman', 'velocity', 'learned'}
    shift_yx : tuple of float
        Motion since the previous frame, px.
    confidence : float
        In [0, 1]; 0 is an abstention.
    used : bool
        Whether it placed the window.
    """

    name: str
    shift_yx: tuple[float, float]
    confidence: float
    used: bool = False


def mean_shift(cues: Sequence[Cue]) -> tuple[float, float]:
    """Mean of what cues say, weighted by their confidence, px; still without any."""
    weight = sum(cue.confidence for cue in cues)
    if not weight:
        return (0.0, 0.0)
    dy, dx = (sum(cue.confidence * cue.shift_yx[axis] for cue in cues) / weight for axis in (0, 1))
    return (dy, dx)


@dataclass(frozen=True, slots=True)
class MemoryRead:
    """A memory frame that was attended to.

    Attributes
    ----------
    t : int
        Frame index.
    rating : float
        Reliability in [0, 1] by which frames are ranked; 1 for prompted frames.
    """

    t: int
    rating: float


@dataclass(frozen=True, slots=True)
class ObjectScores:
    """How much a mask can be trusted, by every measure there is.

    Attributes
    ----------
    predicted_iou : float
        The model's own estimate of its mask's IoU, in [0, 1]. Below 0.7 deserves a look.
    object_score : float
        Logit of being visible; positive means visible.
    consistency : float
        IoU with the previous mask moved by the estimated motion; NaN on a prompted frame.
    contrast : float
        Mean grey value inside the mask less that of a ring around it, the movie's range being 1; NaN if unknown.
    spread : float
        Standard deviation of grey values in that ring; NaN if unknown.
    division : float
        Evidence of a division in [0, 1]: how nearly the mask has fallen into two equal pieces where the object was.
    disagreement : float
        1 - IoU of the masks of both directions; NaN where only one took part.
    """

    predicted_iou: float
    object_score: float
    consistency: float = nan
    contrast: float = nan
    spread: float = nan
    division: float = 0.0
    disagreement: float = nan


@dataclass(frozen=True, slots=True, eq=False)
class ObjectResult:
    """One object on one frame.

    Attributes
    ----------
    object_id : int
        Stable identity, equal to the label value.
    direction : {'forward', 'backward'}
        Which pass it comes from; where both took part, the one that is believed.
    state : ObjectState
        LOST where the object is not seen (see :class:`LifecycleConfig`) or won no pixel; ENDED once it left for good.
    window : Window
        The part of the frame that the model saw.
    logits : ndarray of float32, shape (S/4, S/4)
        Mask logits over the window before competition, less the pieces that were dropped after it; positive inside.
        (Y, X) order.
    scores : ObjectScores
        Each is also an attribute of the result itself.
    area : int
        Pixels of the object in ``FrameResult.labels``. The only number that changes when another object takes or
        leaves pixels.
    box : tuple of int or None
        (y0, x0, y1, x1), inclusive, of those pixels; None where there are none, and in stored results.
    cues : tuple of Cue
        What each source of motion said, and which was used.
    memory : tuple of MemoryRead
        Frames whose memory was read, nearest first.
    decoded_with : {'memory', 'motion', 'prompt', 'painted'}
        Which decode gave the mask: memory alone, memory and motion prompts, or the user's prompts; a painted mask is
        taken as it is.
    remembered : bool
        Whether the frame was written to the object's memory.
    """

    object_id: int
    direction: str
    state: ObjectState
    window: Window
    logits: NDArray[np.float32]
    scores: ObjectScores
    area: int
    box: tuple[int, int, int, int] | None = None
    cues: tuple[Cue, ...] = ()
    memory: tuple[MemoryRead, ...] = ()
    decoded_with: str = "memory"
    remembered: bool = False

    @property
    def predicted_iou(self) -> float:
        """See :class:`ObjectScores`."""
        return self.scores.predicted_iou

    @property
    def object_score(self) -> float:
        """See :class:`ObjectScores`."""
        return self.scores.object_score

    @property
    def consistency(self) -> float:
        """See :class:`ObjectScores`."""
        return self.scores.consistency

    @property
    def contrast(self) -> float:
        """See :class:`ObjectScores`."""
        return self.scores.contrast

    @property
    def division(self) -> float:
        """See :class:`ObjectScores`."""
        return self.scores.division

    @property
    def disagreement(self) -> float:
        """See :class:`ObjectScores`."""
        return self.scores.disagreement

    @property
    def present(self) -> bool:
        """Whether the object was seen."""
        return self.state is ObjectState.PRESENT

    @property
    def prompted(self) -> bool:
        """Whether the user prompted the object on this frame."""
        return self.decoded_with in ("prompt", "painted")

    @property
    def painted(self) -> bool:
        """Whether a person painted the mask on this frame."""
        return self.decoded_with == "painted"

    @property
    def shift_yx(self) -> tuple[float, float]:
        """Motion used to place the window, px since the previous frame."""
        return mean_shift([cue for cue in self.cues if cue.used])

    @property
    def memory_frames(self) -> tuple[int, ...]:
        """Frames whose memory was read, nearest first."""
        return tuple(read.t for read in self.memory)


class Drawable(Protocol):
    """What can be made an array of."""

    def full(self) -> NDArray[Any]:
        """At frame resolution, shape (..., Y, X)."""
        ...


def when_asked(image: Drawable | None) -> Any:
    """For a field of a FrameResult that is an array: it is made when somebody first looks at the field."""
    return image


@dataclass(frozen=True, eq=False)
class FrameResult:
    """Every followed object on one frame.

    Labels, confidence and flow are arrays; a run makes them when they are first asked for, since they cost more than
    all else on large frames.

    Attributes
    ----------
    t : int
        Frame index, counted from 0 over the whole movie.
    direction : {'forward', 'backward'}
        Which pass produced it.
    labels : ndarray of uint16 or uint32, shape (Y, X)
        Object ids, 0 = background; masks never overlap.
    confidence : ndarray of float32, shape (Y, X)
        Probability of the winning object times its predicted IoU, in [0, 1]; 0 on background.
    objects : tuple of ObjectResult
        One per object that takes part in this pass on this frame, by ascending id.
    flow : ndarray of float32, shape (2, Y, X), or None
        (dy, dx) in px: a pixel of the frame followed before moved by this much to reach frame t. None when the
        flow is off or on a pass's first frame.
    drift_yx : tuple of float
        Accepted shift of the whole frame since the frame before, px; (0, 0) when none was verified.
    skipped : str
        Why the frame was not looked at, where it cannot be read and bad frames are skipped; all objects are absent.
    """

    t: int
    direction: str
    labels: NDArray[np.uint16] | NDArray[np.uint32]
    confidence: NDArray[np.float32]
    objects: tuple[ObjectResult, ...]
    flow: NDArray[np.float32] | None = None
    drift_yx: tuple[float, float] = (0.0, 0.0)
    skipped: str = ""

    def __post_init__(self) -> None:
        own = vars(self)
        for name in _IMAGES:
            if hasattr(own[name], "full"):
                own[f"_{name}"] = own.pop(name)

    def __reduce__(self) -> tuple[type["FrameResult"], tuple[Any, ...]]:
        return type(self), tuple(getattr(self, field.name) for field in fields(self))

    @property
    def held(self) -> tuple[SparseImage, SparseImage]:
        """Labels and confidence; of a run, the parts of the frame alone where there may be objects."""
        own = vars(self)
        labels, confidence = (own[f"_{name}" if f"_{name}" in own else name] for name in ("labels", "confidence"))
        return SparseImage.of(labels), SparseImage.of(confidence)


_IMAGES = ("labels", "confidence", "flow")
"""Fields of a FrameResult that may be made later."""


class _MadeOnce:
    """Makes an array of what a FrameResult was given, where it has none yet: as a cached property, of a field."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, result: FrameResult | None, owner: type[FrameResult]) -> Any:
        if result is None:
            return self
        own = vars(result)
        return own.setdefault(self._name, own[f"_{self._name}"].full())


for _name in _IMAGES:
    setattr(FrameResult, _name, _MadeOnce(_name))
