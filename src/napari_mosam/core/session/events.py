"""What a session tells, and that it is busy."""

from psygnal import Signal, SignalGroup

from napari_mosam.core.config.checks import Refused

PREVIEW = "a preview"
"""What a session calls its previews; others wait for their end."""


class SessionBusyError(Refused):
    """Something else is being computed or written at the moment."""


class SessionEvents(SignalGroup):
    """What a session tells; slots are called in the thread in which it happens."""

    marks = Signal()
    """The prompts are others."""
    frame = Signal(object, int, int)
    """A frame of a run is done: its FrameResult, the number of steps done, and their total."""
    result = Signal()
    """The result is another one, or changed."""
    waiting = Signal(int)
    """A stroke that waits for the end of a run was taken back, or done again, on a frame."""
    busy = Signal(str)
    """What is being done; '' for nothing."""
