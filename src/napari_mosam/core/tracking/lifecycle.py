"""When an object is present, lost or ended: a small machine per object, pure functions of what was seen."""

from dataclasses import dataclass, replace

from napari_mosam.core.config.engine import LifecycleConfig
from napari_mosam.core.results.frame import ObjectState

FLICKER = 1
"""Missing frames after which an object is believed again without confirmation."""

SURE_IOU, LEAST_IOU = 0.7, 0.5
"""Predicted IoU from which on a lost object is believed at once, and below which it is never."""


@dataclass(frozen=True, slots=True)
class Detection:
    """What one frame says of an object, before it competes.

    Attributes
    ----------
    visible : bool
        The model sees it and its mask shows something.
    plausible : bool
        Its size and place fit what is known.
    continuous : bool
        It overlaps where the object was expected.
    predicted_iou : float
        In [0, 1].
    glimpsed_yx : tuple of float or None
        Where a lost object may have been seen that is not believed yet, px.
    """

    visible: bool
    plausible: bool
    continuous: bool
    predicted_iou: float
    glimpsed_yx: tuple[float, float] | None = None

    @property
    def speaks_for_return(self) -> bool:
        """Whether it passes the gates of a lost object."""
        return self.visible and self.plausible and self.predicted_iou >= LEAST_IOU


UNSEEN = Detection(visible=False, plausible=False, continuous=False, predicted_iou=0.0)


@dataclass(frozen=True, slots=True)
class Lifecycle:
    """Where an object stands.

    Attributes
    ----------
    state : ObjectState
    missing : int
        Frames in a row without it.
    confirmed : int
        Frames in a row on which a lost object was seen again and passed the gates.
    """

    state: ObjectState = ObjectState.PRESENT
    missing: int = 0
    confirmed: int = 0

    def confirms(self, seen: Detection, config: LifecycleConfig) -> bool:
        """Whether a sighting counts: while present unless it is a leap, once lost only after the gates.

        A short flicker needs no confirmation, nor does a mask that the model is sure of.
        """
        if not seen.visible or self.state is ObjectState.ENDED:
            return False
        if config.confirm == 0:
            return True
        if self.state is ObjectState.PRESENT:
            return seen.plausible or seen.continuous
        if self.missing <= FLICKER:
            return seen.plausible
        at_once = seen.predicted_iou >= SURE_IOU
        return seen.speaks_for_return and (at_once or self.confirmed + 1 >= config.confirm)

    def found(self) -> "Lifecycle":
        """After a frame on which the object holds pixels."""
        return Lifecycle()

    def lost(self, seen: Detection, leaving: bool, config: LifecycleConfig) -> "Lifecycle":
        """After a frame without it; `leaving` says that it was last seen at the border or is expected outside."""
        if self.state is ObjectState.ENDED:
            return self
        missing = self.missing + 1
        confirmed = self.confirmed + 1 if seen.speaks_for_return else 0
        if leaving and not confirmed and 0 < config.end_at_border <= missing:
            return Lifecycle(ObjectState.ENDED, missing)
        return replace(self, state=ObjectState.LOST, missing=missing, confirmed=confirmed)
