"""Do objects keep their ids where it is hard?

    python -m benchmarks.stress --out stress --jobs 2

Simulated movies (`core.simulation.STRESS_CASES`), ten seeds each, every cell prompted with its true mask on
the first frame. An object is back, or kept, when its mean IoU with its own truth exceeds 0.5 over the last five frames
on which it shows; a kept one moreover never lay on another object. An object is lost when it is not back.

Finished runs are kept in OUT/runs.jsonl and not repeated; remove that file after the engine's code has changed. OUT
may be that of accuracy.py.
"""

import argparse
import csv
import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.options import chosen
from benchmarks.rows import digest, engine_rows
from benchmarks.runs import Job, read_records, run
from benchmarks.tasks import stress_tasks

BACK_FRAMES, BACK_IOU = 5, 0.5
OCCLUSION = (10, 40)
HIDDEN_20 = 2
"""The cell of `long_occlusion` that is out of sight for 20 frames."""

ROWS = ("plain", "default, ST-MS and life off", "default", "default + ranked frames")


@dataclass(frozen=True, slots=True)
class ObjectEnding:
    """How one object fared in one movie."""

    case: str
    seed: int
    engine: str
    object_id: int
    occlusion: int
    last_iou: float
    switches: int

    @property
    def back(self) -> bool:
        """Whether the track ends on its object."""
        return self.last_iou > BACK_IOU

    @property
    def kept(self) -> bool:
        """Whether it does so without ever having been on another."""
        return self.back and self.switches == 0


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the table: what is counted, among which objects or seeds."""

    name: str
    aim: str
    cases: tuple[str, ...]
    counts: Callable[[Sequence[ObjectEnding]], tuple[int, int]]


def back_after_20(outcomes: Sequence[ObjectEnding]) -> tuple[int, int]:
    """Seeds in which the object that was absent for 20 frames is back."""
    hidden = [o.back for o in outcomes if o.object_id == HIDDEN_20]
    return sum(hidden), len(hidden)


def objects_kept(outcomes: Sequence[ObjectEnding]) -> tuple[int, int]:
    """Objects that kept their id."""
    return sum(o.kept for o in outcomes), len(outcomes)


def seeds_kept(outcomes: Sequence[ObjectEnding]) -> tuple[int, int]:
    """Movies in which all objects kept their ids."""
    movies = {(o.case, o.seed) for o in outcomes}
    return sum(all(o.kept for o in outcomes if (o.case, o.seed) == movie) for movie in movies), len(movies)


def seeds_back(outcomes: Sequence[ObjectEnding]) -> tuple[int, int]:
    """Movies at whose end all objects have their own ids; which is which while one hides another is left open."""
    movies = {(o.case, o.seed) for o in outcomes}
    return sum(all(o.back for o in outcomes if (o.case, o.seed) == movie) for movie in movies), len(movies)


def lost_after_occlusion(outcomes: Sequence[ObjectEnding]) -> tuple[int, int]:
    """Objects that were out of sight for 10 to 40 frames and are not back."""
    hidden = [o for o in outcomes if OCCLUSION[0] <= o.occlusion <= OCCLUSION[1]]
    return sum(not o.back for o in hidden), len(hidden)


CHECKS = (
    Check("absent for 20 frames, back (seeds)", ">= 9 of 10", ("long_occlusion",), back_after_20),
    Check("stage leaps of 100 px, kept (objects)", ">= 9 of 10", ("stage_leaps",), objects_kept),
    Check("equal disks pass each other, ids kept (seeds)", ">= 9 of 10", ("two_disks_cross",), seeds_kept),
    Check("identical twins cross, own ids at the end (seeds)", ">= 9 of 10", ("twins_cross",), seeds_back),
    Check("crowd of equals, kept (objects)", "all", ("crowd",), objects_kept),
    Check("crowd of equals, all kept (seeds)", "all", ("crowd",), seeds_kept),
    Check("absent for 10-40 frames, lost (objects)", "halved", ("long_occlusion", "under_bar"), lost_after_occlusion),
)


def longest_gap(ious: Sequence[float]) -> int:
    """Most frames in a row on which the true object is out of sight, between two on which it is not."""
    seen = np.flatnonzero(~np.isnan(ious))
    return int(np.diff(seen).max() - 1) if len(seen) > 1 else 0


def outcomes_of(records: Sequence[Mapping[str, Any]], engine: str, config: str) -> list[ObjectEnding]:
    """Every object of the movies that were followed with a configuration."""
    found = []
    for record in records:
        if record["key"][2] == config:
            for track in record["tracks"]:
                seen = [iou for iou in track["ious"] if not np.isnan(iou)]
                gap, last = longest_gap(track["ious"]), float(np.mean(seen[-BACK_FRAMES:]))
                head = (record["movie"], record["seed"], engine, track["object_id"])
                found.append(ObjectEnding(*head, gap, last, track["switches"]))
    return found


def table(outcomes: Sequence[ObjectEnding], engines: Sequence[str]) -> list[list[str]]:
    """A line per check: name, aim, and 'count/total' per engine."""
    lines = [["check", "aim", *engines]]
    for check in CHECKS:
        lines.append([check.name, check.aim])
        for engine in engines:
            mine = [o for o in outcomes if o.engine == engine and o.case in check.cases]
            lines[-1].append("{}/{}".format(*check.counts(mine)) if mine else "")
    return lines


def main() -> int:
    """Run what is not there yet, then count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("stress"))
    parser.add_argument("--jobs", type=int, default=1, help="worker processes, one thread each")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--rows", default=";".join(ROWS), help="rows of the ablation, separated by ';'")
    parser.add_argument("--cases", help="separated by ';' (all by default)")
    parser.add_argument("--model", default="nano")
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    given.out.mkdir(parents=True, exist_ok=True)
    cases = chosen("--cases", given.cases, sorted({case for check in CHECKS for case in check.cases}))
    rows = engine_rows()
    engines = {name: rows[name] for name in chosen("--rows", given.rows, list(rows))}
    tasks = stress_tasks(cases, range(given.seeds))
    jobs = {job.key: job for task in tasks for job in (Job(task, "mask", c, given.model) for c in engines.values())}
    failed = run(list(jobs.values()), given.out / "runs.jsonl", given.jobs)
    records = read_records(given.out / "runs.jsonl", list(jobs.values()))
    outcomes = [o for name, config in engines.items() for o in outcomes_of(records, name, digest(config))]
    write(outcomes, list(engines), given.out)
    return 1 if failed else 0


def write(outcomes: Sequence[ObjectEnding], engines: Sequence[str], out: Path) -> None:
    """Write one line per object, the table, and the table to the terminal."""
    fields = [*ObjectEnding.__dataclass_fields__]
    with (out / "stress_objects.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*fields, "back", "kept"])
        writer.writerows([*(getattr(o, name) for name in fields), o.back, o.kept] for o in outcomes)
    lines = table(outcomes, engines)
    with (out / "stress.csv").open("w", newline="") as file:
        csv.writer(file).writerows(lines)
    for line in [lines[0], ["---"] * len(lines[0]), *lines[1:]]:
        sys.stdout.write("| " + " | ".join(line) + " |\n")


if __name__ == "__main__":
    sys.exit(main())
