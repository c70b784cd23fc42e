"""Damaged inputs of every kind: refused in words or read, never an unexpected error, and nothing else is written."""

import sys
from collections import Counter
from pathlib import Path

import pytest
from tests.support.fuzz import KINDS, JobEnd, fuzz, prepare

FEW, MANY = 3, 417
"""Cases of each of the twelve kinds: of the default tests, and 5,000 in all of the slow ones."""


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("fuzz") / "root"
    prepare(folder)
    return folder


def told(outcome: JobEnd) -> str:
    """One line on a case that can be repeated by its kind and seed."""
    return (
        f"{outcome.kind} {outcome.seed}: {outcome.mutation} of {outcome.hit}, then '{outcome.command}' ended with "
        + (f"{outcome.code} ({', '.join(outcome.faults)}): {outcome.said}")
    )


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_few_damaged_inputs(root, kind):
    outcomes = [fuzz(root, kind, seed) for seed in range(FEW)]
    assert not [told(outcome) for outcome in outcomes if outcome.faults]


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_many_damaged_inputs(root, kind):
    outcomes = [fuzz(root, kind, seed) for seed in range(FEW, FEW + MANY)]
    sys.stdout.write(f"\n{kind.name}: {dict(Counter(outcome.code for outcome in outcomes))}\n{causes(outcomes)}\n")
    assert not [told(outcome) for outcome in outcomes if outcome.faults]


def causes(outcomes: list[JobEnd]) -> str:
    """Why damaged inputs were read: how often, whether the answer was the sound one's, and what had been hit."""
    found = Counter(
        (outcome.same, place(outcome.hit), outcome.command.split()[0]) for outcome in outcomes if not outcome.code
    )
    rows = (
        f"{n:5} {'same' if same else 'another'} answer of {command}: {where} was hit"
        for (same, where, command), n in found.most_common()
    )
    return "\n".join(rows)


def place(hit: str) -> str:
    """The kind of file that a name is of: numbers of chunks and transactions left out."""
    name = hit.split(":")[0].split(" = ")[0]
    parts = [part for part in name.split("/") if not part[:1].isdigit() or part == "0"]
    return "/".join(parts[:3])
