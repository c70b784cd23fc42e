"""What is said of cells that were found."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_mosam.core.find.proposals import Proposals


def found_sentence(found: "Proposals", n: int, seconds: float, *, only_new: bool) -> str:
    """What was found, how much of it is hidden, and what to do next.

    Parameters
    ----------
    found : Proposals
    n : int
        Of those that are shown.
    seconds : float
        It took.
    only_new : bool
        Whether what the result covers was left out.
    """
    weak, where = len(found) - n, f"on frame {found.frame}"
    new = " without a mask" if only_new else ""
    hidden = f"; {weak} weak {'one' if weak == 1 else 'ones'} hidden" if weak else ""
    part = "" if found.complete else " in the part that was looked at before Cancel"
    if not n:
        return f"No cell{new} was found {where}{part}{hidden}. {_instead(weak)}"
    size = f", typically {found.diameter:.0f} px wide"
    return (
        f"Found {cells(n)}{new} {where}{part} in {seconds:.1f} s{size}{hidden}. "
        "Click on a wrong one to drop it, then press Accept."
    )


def thinned_sentence(n: int, weak: int, dropped: int) -> str:
    """What is shown after the slider was moved, or one was dropped."""
    parts = [f"{weak} hidden as weaker" if weak else "", f"{dropped} dropped" if dropped else ""]
    return f"{cells(n).capitalize()} to accept" + "".join(f"; {part}" for part in parts if part) + "."


def accepted_sentence(n: int, frame: int) -> str:
    """What was marked, and what to do next."""
    them = "it" if n == 1 else "them"
    return (
        f"{n} object{'s' * (n != 1)} marked on frame {frame}. Press Track to follow {them}; Ctrl+Z takes {them} back."
    )


def cells(n: int) -> str:
    """Such as '1 cell' and '2 cells'."""
    return f"{n} cell{'s' * (n != 1)}"


def _instead(weak: int) -> str:
    if weak:
        return "Move 'at least this sure' to the left to see them, or give the cell diameter and try again."
    return "Give the cell diameter and try again, or mark cells by hand."
