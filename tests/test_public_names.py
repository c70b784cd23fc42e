"""The interface: public names and their parameters stay; private words stay out."""

import ast
import inspect
import json
from pathlib import Path

import pytest

import napari_mosam

ROOT = Path(__file__).parents[1]
STORED = json.loads((Path(__file__).parent / "data" / "public_api.json").read_text())

PRIVATE_WORDS = frozenset(
    "Looks Seen Observation Outcome Knowledge Surroundings Seed Recall Now Claim Contest Life Sighting Sight Leg Past "
    "Span Foresight Course Forecast Ahead".split()
)
"""Classes of earlier versions for which SAM 2 and multi-object tracking have a word; see docs/glossary.md."""


def parameters_of(name: str) -> list[list[str]] | None:
    """Name, kind and default of every parameter; None for what cannot be called."""
    public = getattr(napari_mosam, name)
    if not callable(public):
        return None
    found = inspect.signature(public).parameters.values()
    return [[p.name, p.kind.name, "" if p.default is p.empty else repr(p.default)] for p in found]


def test_no_public_name_is_lost_or_added_unnoticed():
    assert sorted(napari_mosam.__all__) == sorted(STORED)


@pytest.mark.parametrize("name", sorted(STORED))
def test_parameters_of_public_names_stay(name):
    assert parameters_of(name) == STORED[name]


def test_what_a_result_tells_of_an_object_is_still_called_what_it_was():
    told = (
        *("object_id", "state", "window", "logits", "predicted_iou", "object_score", "area", "box", "consistency"),
        *("shift_yx", "remembered", "prompted", "memory", "cues", "decoded_with", "contrast", "division"),
        "memory_frames",
    )
    assert [name for name in told if not hasattr(napari_mosam.ObjectResult, name)] == []


@pytest.mark.parametrize("folder", ["src", "training", "benchmarks"])
def test_classes_are_named_by_words_of_the_field(folder):
    files = sorted((ROOT / folder).rglob("*.py"))
    if not files:
        pytest.skip("not a source checkout")
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in files]
    classes = {node.name for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
    assert not classes & PRIVATE_WORDS
