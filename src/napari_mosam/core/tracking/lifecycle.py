"""When an object is present, lost or ended: a small machine per object, pure functions of what was seen."""

from dataclasses import dataclass, replace

from napari_mosam.core.config.engine import LifecycleConfig
from napari_mosam.core.results.frame import ObjectState

FLICKER = 1
"""Missing frames after which an object is believed again without confirmation; not measured."""


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

    def speaks_for_return(self, config: LifecycleConfig) -> bool:
        """Whether it passes the gates of a lost object."""
        return self.visible and self.plausible and self.predicted_iou >= config.return_iou[0]


UNSEEN = Detection(visible=False, plausible=False, continuous=False, predicted_iou=0.0)


@dataclass(frozen=True, slots=True)
class Encounter:
    """How long an object has lain in another, where its own motion tells them apart.

    Attributes
    ----------
    n_frames : int
        In a row; 0 where it lies in none.
    over : bool
        Whether that is too long for its motion to be believed: cells turn.
    """

    n_frames: int = 0
    over: bool = False

    @property
    def ambiguous(self) -> bool:
        """Whether only its own motion tells the object from another."""
        return self.n_frames > 0 and not self.over

    def longer(self, config: LifecycleConfig) -> "Encounter":
        """After one more frame."""
        return Encounter(self.n_frames + 1, self.n_frames >= config.max_hidden)


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
        at_once = seen.predicted_iou >= config.return_iou[1]
        return seen.speaks_for_return(config) and (at_once or self.confirmed + 1 >= config.confirm)

    def found(self) -> "Lifecycle":
        """After a frame on which the object holds pixels."""
        return Lifecycle()

    def lost(self, seen: Detection, leaving: bool, config: LifecycleConfig) -> "Lifecycle":
        """After a frame without it; `leaving` says that it was last seen at the border or is expected outside."""
        if self.state is ObjectState.ENDED:
            return self
        missing = self.missing + 1
        confirmed = self.confirmed + 1 if seen.speaks_for_return(config) else 0
        if leaving and not confirmed and 0 < config.end_at_border <= missing:
            return Lifecycle(ObjectState.ENDED, missing)
        return replace(self, state=ObjectState.LOST, missing=missing, confirmed=confirmed)
