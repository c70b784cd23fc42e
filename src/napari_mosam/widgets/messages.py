"""Sentences of the widget."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from napari_mosam.core.prompts.collection import BoxPrompt, PointPrompt, Prompt, Prompts
from napari_mosam.core.runs.request import listed

if TYPE_CHECKING:
    from napari.layers import Image

PLURAL = {"box": "boxes", "outline": "outlines", "scribble": "scribbles", "click": "clicks", "mask": "masks"}


def prompt_summary(ids: Collection[int], counts: Mapping[str, int]) -> str:
    """Such as '3 objects: 2 boxes, 4 clicks'."""
    if not ids:
        return "Nothing marked yet"
    objects = f"{len(ids)} object{'s' * (len(ids) != 1)}"
    parts = [f"{n} {kind if n == 1 else PLURAL[kind]}" for kind, n in counts.items() if n]
    return f"{objects}: {', '.join(parts)}"


def hint(has_image: bool, is_movie: bool, n_objects: int, button: str) -> str:
    """What to do next; `button` is what the one that follows the cells is called now."""
    if not has_image:
        return "Open a time-lapse, or File > Open Sample > MoSAM."
    if not is_movie:
        return "Choose an image that can be read as a movie."
    if not n_objects:
        return "Press New object and drag a box around a cell."
    return f"Mark more cells, preview, or press {button}."


def micrometres(image: "Image | None", diameter: float) -> str:
    """The diameter in the unit of the image's scale, or nothing where it has none."""
    if image is None or not diameter:
        return ""
    unit = str(image.units[-1])
    if unit in ("pixel", "dimensionless"):
        return ""
    short = {"micrometer": "µm", "nanometer": "nm", "millimeter": "mm"}.get(unit, unit)
    return f"= {diameter * float(image.scale[-1]):.3g} {short}"


def painted_summary(n_masks: int, n_frames: int) -> str:
    """What the labels hold that runs leave alone, or nothing."""
    if not n_masks:
        return ""
    masks = f"{n_masks} mask{'s' * (n_masks != 1)} on {n_frames} frame{'s' * (n_frames != 1)}"
    return f"By hand: {masks} (painted, erased, swapped, merged). Runs leave them as they are."


def stroke_sentence(frame: int, object_ids: Sequence[int]) -> str:
    """What a stroke in the labels changed, and what can be done next."""
    which, them = ("object", "it") if len(object_ids) == 1 else ("objects", "them")
    numbers = listed(sorted(object_ids))
    return f"By hand on frame {frame}: {which} {numbers}. Ctrl+Z takes that back; Track follows {them} from there."


def mark_words(before: Prompts, after: Prompts) -> str:
    """What changed of the marks, such as 'the box of object 3' or 'removing 4 marks'."""
    added, gone = _difference(before, after)
    if not gone:
        return _marks(added)
    if not added:
        return f"removing {_marks(gone)}"
    return f"changing {_marks(added)}"


def removed_sentence(before: Prompts, after: Prompts) -> str:
    """That marks are gone, and how they come back; nothing where others came."""
    added, gone = _difference(before, after)
    if added or not gone:
        return ""
    said = _marks(gone)
    verb, them = ("was", "it") if len(gone) == 1 else ("were", "them")
    return f"{said[0].upper()}{said[1:]} {verb} removed. Ctrl+Z brings {them} back."


def _difference(before: Prompts, after: Prompts) -> tuple[list[Prompt], list[Prompt]]:
    """Marks that came, and marks that went."""
    old, new = list(before), list(after)
    return [p for p in new if p not in old], [p for p in old if p not in new]


def _marks(prompts: Iterable[Prompt]) -> str:
    marks = list(prompts)
    if len(marks) != 1:
        return f"{len(marks)} marks"
    (mark,) = marks
    kind = "click" if isinstance(mark, PointPrompt) else "box" if isinstance(mark, BoxPrompt) else "mask"
    return f"the {kind} of object {mark.object_id}"


def refusal(error: Exception, n_kept: int) -> tuple[str, str]:
    """What went wrong, and that with the number of frames that were done before."""
    text = str(error) or type(error).__name__
    text = text[0].upper() + text[1:]
    were = f" {n_kept} frames were done and are kept." if n_kept > 1 else " 1 frame was done and is kept."
    return text, text + (were if n_kept else "")


def movie_gone_sentence(movie: str, *, labels_left: bool) -> str:
    """What became of the result of a movie that was removed."""
    left = " The labels that are left here cannot be painted." if labels_left else ""
    return f"'{movie}' was removed. Its result is kept, see Recent.{left}"


def not_kept(error: OSError) -> OSError:
    """That marks are in the viewer alone."""
    return OSError(f"the marks are shown, but could not be kept with the result: {error}")
