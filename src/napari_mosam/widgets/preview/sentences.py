"""What is said of previews while cells are marked."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from napari_mosam.core.results.doubts import SURE_IOU

if TYPE_CHECKING:
    from napari_mosam.widgets.preview.outlines import Outline


def waiting_for(model: str, ids: Sequence[int]) -> str:
    """Why there is no mask yet."""
    return f"Loading the network '{model}', once; then {_objects(ids)} will be outlined."


def outlined(outlines: "Sequence[Outline]") -> str:
    """What was found, and what to do about what does not look right."""
    missing = [o.mask.object_id for o in outlines if not o.found]
    unsure = [o.mask.object_id for o in outlines if o.found and o.predicted_iou < SURE_IOU]
    if missing:
        return f"Nothing found for {_objects(missing)}. Drag a box around the cell; Ctrl+Z takes the mark back."
    if unsure:
        return f"{_objects(unsure).capitalize()} may be wrong. Click on what is missing, or drag a box around the cell."
    ids = _objects([o.mask.object_id for o in outlines])
    return f"Outlined {ids}. If it looks right, mark the next cell or press Track; Ctrl+Z takes it back."


def _objects(ids: Sequence[int]) -> str:
    names = ", ".join(map(str, sorted(ids)))
    return f"object{'s' * (len(ids) > 1)} {names}"
