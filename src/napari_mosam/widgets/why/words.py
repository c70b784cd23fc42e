"""Why an object has its mask on a frame, in the words of a person who looks at cells."""

from math import hypot
from typing import TYPE_CHECKING

import numpy as np

from napari_mosam.core.results.frame import ObjectState

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from napari_mosam.core.inspection.findings import Inspection, MemoryComparison, MemoryInspection
    from napari_mosam.core.results.frame import Cue

Shift = tuple[float, float]

HOW = {
    "memory": "The network compared this frame with the frames of the cell that it remembers (below).",
    "motion": "The network compared this frame with the frames of the cell that it remembers (below), and was told by "
    "a box and points where motion expected it.",
    "prompt": "You marked it on this frame: the mask follows from that mark.",
    "painted": "You painted or corrected it on this frame: the mask is yours.",
}

CUES = {
    "drift": "the whole image",
    "flow": "optical flow",
    "keypoints": "key points",
    "kalman": "its path so far",
    "velocity": "its speed so far",
    "learned": "learned motion",
}

SAME_IOU = 0.9
"""IoU from which two masks are called the same: about a pixel of the rim of a cell of 40 px. Not measured."""

STILL_PX = 0.05
"""Shortest motion that is told."""


def why(told: "Inspection", state: ObjectState | None) -> list[str]:
    """Sentences about a mask, the shortest way to understand it first."""
    return [*_found(told, state), *_placed(told), *_expected(told)]


def _found(told: "Inspection", state: ObjectState | None) -> "Iterator[str]":
    if state is ObjectState.LOST:
        yield "It was not found here."
    if state is ObjectState.ENDED:
        yield "It was given up before this frame."
    if told.decoded_with in ("memory", "motion"):
        yield f"Followed {told.direction}, from frame {before(told)}."
    yield HOW[told.decoded_with]


def _placed(told: "Inspection") -> "Iterator[str]":
    side = max(told.window.size_yx)
    if told.decoded_with in ("prompt", "painted"):
        yield f"It looked at a window {side:.0f} px wide around it."
        return
    names = " and ".join(CUES.get(cue.name, cue.name) for cue in told.used)
    if names and max(map(abs, told.shift_yx)) < STILL_PX:
        yield f"It looked in a window {side:.0f} px wide, where the cell had been: {names} said that it did not move."
    elif names:
        yield (
            f"It looked in a window {side:.0f} px wide, moved with the cell as {names} said: "
            f"{moved_by(told.shift_yx)} since frame {before(told)}."
        )
    else:
        yield f"It looked in a window {side:.0f} px wide, where the cell had been: nothing was sure that it had moved."


def _expected(told: "Inspection") -> "Iterator[str]":
    if told.expected is not None and not told.expected.used:
        yield "Where motion expected the cell was not told to the network: that is off in the settings."


def cue_lines(cues: "Sequence[Cue]") -> list[tuple[str, str, str]]:
    """Name, what it said and whether that counted, of each source of motion."""
    return [(CUES.get(cue.name, cue.name), *_said(cue)) for cue in cues]


def _said(cue: "Cue") -> tuple[str, str]:
    if cue.confidence <= 0:
        return "was not sure", ""
    return f"{moved_by(cue.shift_yx)}, {short(cue.confidence)} sure", "used" if cue.used else ""


def moved_by(shift: Shift) -> str:
    """Such as '2.1 px down and 3.0 px right'."""
    dy, dx = shift
    parts = [(dy, "down" if dy > 0 else "up"), (dx, "right" if dx > 0 else "left")]
    told = [f"{abs(by):.1f} px {way}" for by, way in parts if abs(by) >= STILL_PX]
    return " and ".join(told) or "no motion"


def before(told: "Inspection") -> int:
    """The frame from which it was followed."""
    return told.frame - (1 if told.direction == "forward" else -1)


def memory_lines(read: "MemoryInspection") -> tuple[str, str]:
    """What stands below the picture of a remembered frame, and its tip."""
    how = "marked by you" if read.prompted else "tracked"
    if read.state is None:
        return f"frame {read.t}\ngone", "The result has nothing of the cell on this frame any more."
    state = "" if read.state is ObjectState.PRESENT else f", {read.state.value}"
    tip = (
        f"Frame {read.t}: {how}{state}. Rated {short(read.rating)} of 1: how far this memory was trusted. "
        "Click to go there."
    )
    return f"frame {read.t}\n{how}\nrated {short(read.rating)}{state}", tip


def memory_sentence(read: "Sequence[MemoryInspection]") -> str:
    """What is above these pictures."""
    if not read:
        return "No earlier frame was read for this mask."
    n = len(read)
    left_out = sum(one.filtered is not None and bool(one.filtered.any()) for one in read)
    dropped = f" Of {left_out}, unsure pixels were left out." if left_out else ""
    return f"It remembered the cell by {n} frame{'s' * (n != 1)}, with the mask that it had there:{dropped}"


# ---- flow


def flow_sentence(frame: int, times: float, longest: float, drift: Shift, um: float | None) -> str:
    """How to read the arrows."""
    in_um = f" = {longest * um:.2g} µm" if um else ""
    drawn = "as long as the motion is" if times == 1 else f"{times:g} times as long as the motion is"
    still = hypot(*drift) < STILL_PX
    whole = "The image as a whole stood still." if still else f"The image as a whole moved {moved_by(drift)}."
    return (
        f"Arrows show where everything moved between frames {frame - 1} and {frame}, drawn {drawn}; the longest is "
        f"{longest:.1f} px{in_um}. {whole}"
    )


# ---- SAM 2's memory | MoSAM's


def comparison_sentence(found: "MemoryComparison", *, complete: bool = True) -> tuple[str, int | None]:
    """How alike both are, and the frame on which they differ most; None where they do not."""
    agreement = found.agreement
    if not len(agreement):
        return "Cancelled before a frame was compared.", None
    same, worst = int((agreement >= SAME_IOU).sum()), int(np.argmin(agreement))
    n = len(agreement)
    part = "" if complete else " that were compared before Cancel"
    if same == n:
        every = f"all {n} frames" if n > 1 else "the one frame there is"
        return f"Object {found.object_id}: the same mask (IoU .9 or more) on {every}{part}.", None
    frame = found.frames[worst]
    return (
        f"Object {found.object_id}: the same mask (IoU .9 or more) on {same} of {n} frames{part}; they differ most on "
        f"frame {frame} (IoU {short(float(agreement[worst]))}).",
        frame,
    )


def truth_sentence(name: str, true_id: int, sam2: float, mosam: float) -> str:
    """How well both fit a true cell."""
    return (
        f"Against cell {true_id} of '{name}', mean J: {short(sam2)} with SAM 2's memory, {short(mosam)} with MoSAM's."
    )


def short(value: float) -> str:
    """Such as .87."""
    return f"{value:.2f}".removeprefix("0") if value < 1 else f"{value:.0f}"
