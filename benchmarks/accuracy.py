"""What each part of the engine is worth: the ablation on real movies and on simulated ones that are hard to follow.

    MOSAM_DATA=... python -m benchmarks.accuracy --out ablation --jobs 2

Every row is one configuration of the engine with the same weights; see `_rows.py`. The objects (`_tasks.py`) are
seeded random ones that do not touch the border of the frame on which they are prompted; all objects of a task are
prompted together, with their true masks, or, for plain and default, with a random interior click or a box whose sides
are jittered by 10 %. Truth places prompts and scores masks, never the windows. J is scored from the frame after the
prompt on, where the object exists.

Finished runs are kept in OUT/runs.jsonl and not repeated; remove that file after the engine's code has changed.
Beside it lie the objects (tasks.json), one line per track (tracks.csv), the means (summary.csv, tables.md) and one
picture per table. Intervals are 95 % paired bootstrap intervals over start frames (or seeds) and their tracks.
"""

import argparse
import json
import logging
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import get_args

from benchmarks.options import chosen
from benchmarks.report import write_report
from benchmarks.rows import PROMPTED_ROWS, engine_rows
from benchmarks.runs import Job, PromptKind, read_records, run
from benchmarks.tasks import MODALITY, Task, real_tasks, shortened, stress_tasks
from napari_mosam.core.config.engine import EngineConfig
from napari_mosam.core.simulation import STRESS_CASES

MOVIE_GROUPS = {"real": list(MODALITY), "stress": list(STRESS_CASES)}


def main() -> int:
    """Run what is not there yet, then report."""
    given = arguments().parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    given.out.mkdir(parents=True, exist_ok=True)
    rows = engine_rows()
    names = chosen("--rows", given.rows, list(rows))
    kinds: Sequence[PromptKind] = get_args(PromptKind)
    named = chosen("--prompts", given.prompts, list(kinds))
    prompts = [kind for kind in kinds if kind in named]
    movies = chosen("--movies", given.movies, [*MODALITY, *STRESS_CASES], MOVIE_GROUPS)
    tasks = all_tasks(movies, given.seed, given.stress_seeds, given.quick)
    (given.out / "tasks.json").write_text(json.dumps([asdict(task) for task in tasks], indent=1))
    jobs = plan(tasks, {name: rows[name] for name in names}, prompts, given.model)
    failed = 0 if given.report_only else run(jobs, given.out / "runs.jsonl", given.jobs)
    records = read_records(given.out / "runs.jsonl", plan(tasks, rows, get_args(PromptKind), given.model))
    sys.stdout.write(write_report(records, rows, given.out))
    return 1 if failed else 0


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("ablation"))
    parser.add_argument("--jobs", type=int, default=1, help="worker processes, one thread each")
    parser.add_argument("--rows", help="names separated by ';' (all by default)")
    parser.add_argument("--movies", help="names separated by ';'; 'real' and 'stress' stand for all of a kind")
    parser.add_argument("--prompts", help="mask;click;box")
    parser.add_argument("--model", default="nano")
    parser.add_argument("--seed", type=int, default=0, help="chooses the objects of the real movies")
    parser.add_argument("--stress-seeds", type=int, default=2, help="simulated movies of each kind")
    parser.add_argument("--quick", action="store_true", help="two objects and eight frames per movie")
    parser.add_argument("--report-only", action="store_true", help="run nothing, report what is there")
    return parser


def all_tasks(movies: Sequence[str], seed: int, n_seeds: int, quick: bool) -> list[Task]:
    """Tasks of the chosen movies."""
    tasks = real_tasks([m for m in movies if m in MODALITY], seed)
    tasks += stress_tasks([m for m in movies if m in STRESS_CASES], range(n_seeds))
    return shortened(tasks) if quick else tasks


def plan(tasks: Sequence[Task], rows: dict[str, EngineConfig], prompts: Sequence[PromptKind], model: str) -> list[Job]:
    """Masks for every row, clicks and boxes for two; rows of equal settings give one job. Movie by movie."""
    jobs: dict[tuple[str, ...], Job] = {}
    for task in tasks:
        for prompt in prompts:
            for name, config in rows.items():
                if prompt == "mask" or name in PROMPTED_ROWS:
                    job = Job(task, prompt, config, model)
                    jobs.setdefault(job.key, job)
    return list(jobs.values())


if __name__ == "__main__":
    sys.exit(main())
