"""The ablation's bookkeeping: seeded objects, distinct rows, resumed runs, honest intervals."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from benchmarks import report as report
from benchmarks import rows as rows
from benchmarks import runs as runs
from benchmarks import stats as stats
from benchmarks import stress
from benchmarks import tasks as tasks
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_mosam.core.config.engine import EngineConfig

TASK = tasks.Task("twins_cross", 3, 0, 4, (1, 2))


def record(task: tasks.Task, config: EngineConfig, js: dict[int, float]) -> dict[str, Any]:
    """What a run of `task` leaves behind, with these J by object."""
    tracks = [
        {
            "object_id": i,
            "n_frames": 3,
            "j": j,
            "f": j,
            "frames_to_loss": 3,
            "switches": 0,
            "lost": j < 0.1,
            "ious": [j],
        }
        for i, j in js.items()
    ]
    head = {"movie": task.movie, "modality": task.modality, "start": task.start, "seed": task.seed}
    cost = {"object_frames": 6, "seconds": 1.0, "code": "x", "model": "nano", "prompt": "mask"}
    return {"key": list(runs.Job(task, "mask", config).key), "cluster": task.cluster, **head, **cost, "tracks": tracks}


def test_chosen_objects_are_whole_large_and_lasting() -> None:
    truth = np.zeros((20, 40, 40), np.uint16)
    truth[:, 10:20, 10:20] = 1
    truth[:, 0:10, 25:35] = 2
    truth[:10, 25:35, 25:35] = 3
    truth[:, 30:33, 5:8] = 4
    assert tasks.lasting_ids(truth, 0, 20) == [1]


@pytest.mark.parametrize("kind", ["mask", "click", "box"])
def test_prompts_are_the_same_every_time_and_lie_on_their_objects(kind: runs.PromptKind) -> None:
    _, truth = tasks.load(TASK.movie, TASK.seed)
    first, again = (runs.prompts_of(TASK, truth[0], kind).items for _ in range(2))
    assert [p.object_id for p in first] == [1, 2]
    if kind == "click":
        assert all(truth[0][tuple(map(int, p.yx))] == p.object_id for p in first)
        assert [p.yx for p in first] == [p.yx for p in again]
    if kind == "box":
        assert [p.box for p in first] == [p.box for p in again]
        assert all(abs(np.argwhere(truth[0] == p.object_id).min(0) - p.box[:2]).max() < 4 for p in first)


def test_tasks_differ_by_their_objects_and_length() -> None:
    others = [tasks.Task("twins_cross", 3, 0, 4, (1,)), tasks.Task("twins_cross", 3, 0, 5, (1, 2))]
    assert len({task.key for task in (TASK, *others)}) == 3


def test_plain_and_the_default_are_rows_and_every_row_changes_something() -> None:
    found = rows.engine_rows()
    assert found["plain"] == EngineConfig.plain() and found["default"] == EngineConfig()
    changed = [config for name, config in found.items() if name.startswith("default ") or name.startswith("default,")]
    assert EngineConfig() not in changed and len(changed) > 10
    ladder = list(rows.ladder_rows().values())
    assert len({rows.digest(config) for config in ladder}) == len(ladder)


@pytest.mark.parametrize("part", list(rows.PARTS))
@pytest.mark.parametrize("start", [EngineConfig(), EngineConfig.plain()])
def test_switching_a_part_on_or_off_twice_is_switching_it_once(part: str, start: EngineConfig) -> None:
    on, off = rows.PARTS[part]
    assert on(on(start)) == on(start) and off(off(start)) == off(start) and on(start) != off(on(start))


def test_finished_runs_are_not_repeated_and_a_cut_line_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = [runs.Job(TASK, "mask", config) for config in (EngineConfig(), EngineConfig.plain())]
    ran = []

    def fake_score(job: runs.Job) -> dict[str, Any]:
        ran.append(job)
        return record(job.task, job.config, {1: 0.5})

    monkeypatch.setattr(runs, "score", fake_score)
    monkeypatch.setattr(runs, "one_thread", lambda: None)
    path = tmp_path / "runs.jsonl"
    whole = json.dumps(record(TASK, EngineConfig(), {1: 0.5}))
    path.write_text(whole + "\n" + json.dumps(record(TASK, EngineConfig.plain(), {1: 0.5}))[:80] + "\n")
    assert runs.run(jobs, path, 1) == 0 and ran == jobs[1:]
    assert runs.run(jobs, path, 1) == 0 and ran == jobs[1:]
    assert [r["key"] for r in runs.read_records(path, jobs)] == [list(job.key) for job in jobs]


def test_a_failed_run_is_counted_and_does_not_stop_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails_on_plain(job: runs.Job) -> dict[str, Any]:
        if job.config == EngineConfig.plain():
            raise ValueError("no")
        return record(job.task, job.config, {1: 0.5})

    monkeypatch.setattr(runs, "score", fails_on_plain)
    monkeypatch.setattr(runs, "one_thread", lambda: None)
    jobs = [runs.Job(TASK, "mask", config) for config in (EngineConfig.plain(), EngineConfig())]
    assert runs.run(jobs, tmp_path / "runs.jsonl", 1) == 1
    assert len(runs.read_records(tmp_path / "runs.jsonl", jobs)) == 1


values = st.lists(st.floats(-1, 1), min_size=1, max_size=6)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.dictionaries(st.sampled_from("abc"), values, min_size=1), min_size=1, max_size=3))
def test_an_interval_lies_within_what_was_measured(movies: list[dict[str, list[float]]]) -> None:
    found = stats.interval(movies)
    every = [v for clusters in movies for tracks in clusters.values() for v in tracks]
    assert min(every) - 1e-9 <= found.low <= found.high <= max(every) + 1e-9


def test_intervals_are_wider_when_clusters_disagree_and_every_movie_counts_the_same() -> None:
    alike, unlike = {"a": [0.0, 1.0] * 5, "b": [0.0, 1.0] * 5}, {"a": [0.0] * 10, "b": [1.0] * 10}
    widths = [stats.interval([movie]).high - stats.interval([movie]).low for movie in (alike, unlike)]
    assert widths[1] > 1.5 * widths[0]
    assert stats.movies_mean([{"a": [0.0] * 30}, {"a": [1.0]}]) == 0.5


def test_gains_are_paired_by_track(tmp_path: Path) -> None:
    found = rows.engine_rows()
    made = [record(TASK, found["plain"], {1: 0.2, 2: 0.6}), record(TASK, found["default"], {1: 0.5, 2: 0.9})]
    text = report.write_report(made, found, tmp_path)
    assert "| default | 0.700 ± 0.200 |" in text and "| default | +30.0 [+30.0, +30.0] |" in text
    assert (tmp_path / "stress-masks.png").stat().st_size > 1000
    assert sum("default" in line for line in (tmp_path / "tracks.csv").read_text().splitlines()) == 2


def test_an_object_is_back_by_its_last_frames_and_kept_without_a_switch() -> None:
    gone = math.nan
    ious = {1: [0.9] * 5 + [gone] * 12 + [0.1] + [0.9] * 5, 2: [0.9] * 18 + [0.0] * 5}
    made = record(TASK, EngineConfig(), {1: 0.9, 2: 0.7})
    for track in made["tracks"]:
        track |= {"ious": ious[track["object_id"]], "switches": int(track["object_id"] == 1)}
    first, second = stress.outcomes_of([made], "default", rows.digest(EngineConfig()))
    assert first.occlusion == 12 and first.back and not first.kept
    assert second.occlusion == 0 and not second.back
    assert stress.lost_after_occlusion([first, second]) == (0, 1) and stress.seeds_kept([first, second]) == (0, 1)
