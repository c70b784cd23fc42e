"""Divisions and links done again, from the list of what was done to a result."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from napari_mosam.core.files.places import alone
from napari_mosam.core.prompts.kinds import MaskPrompt
from napari_mosam.core.prompts.records import from_records
from napari_mosam.core.store.history import ready_for_edit
from napari_mosam.core.store.layout import parents_of
from napari_mosam.core.store.lineage.edits import (
    DENIAL,
    DIVISION,
    PARENTAGE,
    Division,
    denied_of,
    deny_transaction,
    divide_transaction,
    parent_transaction,
)

KIN = (DIVISION, PARENTAGE, DENIAL)
"""Kinds of what is done again here."""

Json = dict[str, Any]


def do_again(path: Path, edit: Json, shape_yx: tuple[int, int]) -> None:
    """Carry out what was listed."""
    with alone(path):
        ready_for_edit(path)
        if edit["kind"] == DIVISION:
            divide_transaction(path, division_of(edit, shape_yx))
        elif edit["kind"] == PARENTAGE:
            parent_transaction(path, edit["object"], edit["parent"] or None)
        else:
            deny_transaction(path, edit["object"], edit["frame"], denied=edit["denied"])


def division_of(edit: Json, shape_yx: tuple[int, int]) -> Division:
    """What :meth:`Division.to_record` wrote."""
    masks: dict[int, Any] = {}
    for daughter in edit["daughters"]:
        kept = edit["masks"][str(daughter)]
        record = {"object": daughter, "frame": edit["frame"], "mask": kept}
        prompts = [] if kept is None else list(from_records([record], shape_yx))
        masks[daughter] = next((p.to_frame(shape_yx) for p in prompts if isinstance(p, MaskPrompt)), None)
    return Division(edit["object"], edit["frame"], masks, edit["heir"] or None)


def numbers_of(edit: Json, shape_yx: tuple[int, int]) -> list[Any]:
    """What has to be whole numbers of an edit; reads the rest of it, so that damage is found."""
    if edit["kind"] == DIVISION:
        division_of(edit, shape_yx)
        return [edit["object"], edit["frame"], *edit["daughters"], edit["heir"]]
    return [edit["object"], *((edit["parent"],) if edit["kind"] == PARENTAGE else (edit["frame"], edit["denied"]))]


def kin_edits(attrs: Mapping[str, Any]) -> list[Json]:
    """What gives a result of the same objects the same mothers and denials."""
    links = [{"kind": PARENTAGE, "object": i, "parent": mother} for i, mother in parents_of(attrs).items()]
    denials = [(i, t) for i, frames in denied_of(attrs).items() for t in frames]
    return links + [{"kind": DENIAL, "object": i, "frame": t, "denied": True} for i, t in denials]
