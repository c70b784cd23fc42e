"""What ``mosam evaluate`` does: open both stacks, compare them, print a table, write reports."""

import argparse
import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_mosam.cli.checks import UsageError, check_report
from napari_mosam.cli.places import HalfResultError, inputs_of
from napari_mosam.core.config.whole_files import write_whole
from napari_mosam.core.store.tracks import TrackedLabels, open_tracks

if TYPE_CHECKING:
    from napari_mosam.core.evaluation.evaluate import CtcMeasures, Evaluation, Scores

_MEANS = ("j", "f", "jf", "frames_to_loss", "matched")

_SHOWN_IDS = 12
"""Object ids named in a line of the terminal, so that it stays one; the report has all."""


def evaluate_command(arguments: argparse.Namespace) -> str:
    """Run the command and return the text to print.

    Parameters
    ----------
    arguments : argparse.Namespace
        ``result``, ``truth``, ``prompts``, ``prompt_frames``, ``frames``, ``ids``, ``match``, ``tolerance``, ``ctc``,
        ``csv``, ``json``, ``partial`` and ``overwrite``.

    Raises
    ------
    HalfResultError
        For a result that was stopped before its end, unless ``partial`` is set.
    UsageError, ValueError, OSError
        For input that cannot be used.
    """
    _check_reports(arguments)
    if arguments.ctc:
        _check_libraries()
    report = _compare(arguments)
    if arguments.csv:
        write_whole(arguments.csv, _as_csv(report))
    if arguments.json:
        write_whole(arguments.json, json.dumps(_as_json(arguments, report), indent=1) + "\n")
    return _as_text(arguments, report)


@dataclass(frozen=True, slots=True)
class _Report:
    evaluation: "Evaluation | None"
    ctc: "CtcMeasures | None"
    matched: Mapping[int, int] | None
    partial: str | None = None
    left_out: "_LeftOut | None" = None


@dataclass(frozen=True, slots=True)
class _LeftOut:
    """Ids of each side that have no score, as they are called there, and how many there are at all."""

    result: tuple[int, ...]
    n_result: int
    truth: tuple[int, ...]
    n_truth: int


# --- checks ----------------------------------------------------------------------------------------------------------


def _check_reports(arguments: argparse.Namespace) -> None:
    targets = {suffix: path for suffix, path in ((".csv", arguments.csv), (".json", arguments.json)) if path}
    if len({path.resolve() for path in targets.values()}) < len(targets):
        raise UsageError(f"--csv and --json are both {arguments.csv}; give two files")
    inputs = inputs_of(arguments)
    for suffix, path in targets.items():
        check_report(path, (suffix,), inputs=inputs, overwrite=arguments.overwrite)


def _check_libraries() -> None:
    from napari_mosam.core.evaluation.ctc import require_libraries

    try:
        require_libraries()
    except ImportError as error:
        raise UsageError(f"--ctc: {error}") from error


# --- comparison ------------------------------------------------------------------------------------------------------


def _compare(arguments: argparse.Namespace) -> _Report:
    result, truth = open_tracks(arguments.result), open_tracks(arguments.truth)
    partial = _half(arguments, result, truth)
    result, truth = _of_one_length(arguments, result, truth)
    truth.labels.check_fit(result.labels.shape, result.labels.name, whole=True)
    if not truth.labels.linked:
        frames = _frames(arguments, result, truth)
        return _Report(None, _segmentation(arguments, result, truth, frames), None, partial)
    ctc = _ctc(result, truth, _frames(arguments, result, truth)) if arguments.ctc else None
    named, matched = _with_prompts(arguments, result), None
    if arguments.match is not None:
        named, matched = _matched(arguments, named, truth)
    frames = _frames(arguments, result, truth, _own_ids(arguments, matched), arguments.ids)
    scores = _scores(arguments, named, truth, frames)
    return _Report(scores, ctc, matched, partial, _left_out(scores, matched, result, frames))


def _half(arguments: argparse.Namespace, result: TrackedLabels, truth: TrackedLabels) -> str | None:
    """What is to be said of half results; refuses them where they are not asked for."""
    pairs = ((arguments.result, result), (arguments.truth, truth))
    halves = [f"{path} is half a result ({tracks.progress})" for path, tracks in pairs if tracks.half]
    if not halves:
        return None
    said = "; ".join(halves)
    if not arguments.partial:
        raise HalfResultError(
            f"{said}; add --partial to score the frames that were followed, or run 'mosam track' again"
        )
    return f"{said}: only the frames that were followed are scored"


def _of_one_length(
    arguments: argparse.Namespace, result: TrackedLabels, truth: TrackedLabels
) -> tuple[TrackedLabels, TrackedLabels]:
    """Both cut to the length of the shorter one, where the user asks for no frame that only the other has."""
    shape, truth_shape = result.labels.shape, truth.labels.shape
    shorter, stop = min(shape[0], truth_shape[0]), (arguments.frames or (None, None))[1]
    if shape == truth_shape or shape[1:] != truth_shape[1:] or not truth.labels.linked:
        return result, truth
    if stop is None or stop > shorter:
        raise UsageError(
            f"{truth.labels.name} has the shape {truth_shape} and {result.labels.name} has {shape} (T, Y, X); if they "
            f"are of one movie and begin together, add --frames 0:{shorter}"
        )
    cut_result, cut_truth = (replace(tracks, labels=tracks.labels.first(shorter)) for tracks in (result, truth))
    return cut_result, cut_truth


def _own_ids(arguments: argparse.Namespace, matched: Mapping[int, int] | None) -> Sequence[int] | None:
    """What the objects of --ids, which are called as in the truth, are called in the result."""
    if matched is None or not arguments.ids:
        return arguments.ids or None
    return [own for own, new in matched.items() if new in arguments.ids]


def _frames(
    arguments: argparse.Namespace,
    result: TrackedLabels,
    truth: TrackedLabels,
    ids: Sequence[int] | None = None,
    truth_ids: Sequence[int] | None = None,
) -> list[int]:
    """The frames to compare: asked for, in the truth, and on which half results followed all, or these objects."""
    run = result.followed if truth.labels.linked else None
    inside = _frame_range(arguments.frames or run, result.labels.shape[0])
    frames = [t for t in inside if t in truth.labels.frames]
    if not frames:
        raise UsageError(f"--frames leaves no frame of {arguments.truth}; it has {_listed(truth.labels.frames)}")
    for tracks, chosen in ((result, ids), (truth, truth_ids)):
        there = set(tracks.frames_of(chosen)) if tracks.half else frames
        frames = [t for t in frames if t in there]
    if not frames:
        raise UsageError("on none of these frames was everything followed; there is nothing to score")
    return frames


def _segmentation(
    arguments: argparse.Namespace, result: TrackedLabels, truth: TrackedLabels, frames: Sequence[int]
) -> "CtcMeasures":
    """SEG alone, since the ids of the truth do not last."""
    if not arguments.ctc or arguments.ids or arguments.match is not None:
        raise UsageError(
            f"{arguments.truth} is segmentation truth, whose ids do not last: it gives SEG only; "
            "add --ctc, without --ids and --match, or give tracking truth"
        )
    return replace(_ctc(result, truth, frames), tra=math.nan, det=math.nan)


def _frame_range(given: tuple[int | None, int | None] | None, n_frames: int) -> range:
    start, stop = given or (None, None)
    first, last = start or 0, n_frames if stop is None else stop
    if first >= n_frames or last > n_frames:
        raise UsageError(f"--frames {first}:{last} is not all there; allowed: within 0:{n_frames}")
    return range(first, last)


def _with_prompts(arguments: argparse.Namespace, result: TrackedLabels) -> TrackedLabels:
    if arguments.prompts is None:
        return result
    from napari_mosam.core.prompts.files import load_prompts

    prompted: dict[int, list[int]] = {}
    for prompt in load_prompts(arguments.prompts, result.labels.shape, frames=arguments.prompt_frames):
        prompted.setdefault(prompt.object_id, []).append(prompt.frame)
    return replace(result, prompted=prompted)


def _matched(
    arguments: argparse.Namespace, result: TrackedLabels, truth: TrackedLabels
) -> tuple[TrackedLabels, dict[int, int]]:
    """Give the result the ids that the truth has on one frame."""
    from napari_mosam.core.evaluation.evaluate import match_ids

    if arguments.match not in truth.labels.frames:
        last = truth.labels.shape[0] - 1
        raise UsageError(f"--match {arguments.match} is not there; the movie has frames 0 to {last}")
    new = match_ids(result.labels, truth.labels, arguments.match)
    if not new:
        raise UsageError(f"nothing overlaps on frame {arguments.match}; choose another frame for --match")
    prompted = {new[i]: frames for i, frames in (result.prompted or {}).items() if i in new}
    ids = tuple(sorted(new.values()))
    return TrackedLabels(result.labels.renamed(new), object_ids=ids, prompted=prompted or None), new


def _scores(
    arguments: argparse.Namespace, result: TrackedLabels, truth: TrackedLabels, frames: Sequence[int]
) -> "Evaluation":
    from napari_mosam.core.evaluation.evaluate import evaluate

    found = evaluate(
        result.labels,
        truth.labels,
        prompts_frame=result.prompted,
        frames=frames,
        ids=arguments.ids or result.object_ids,
        tolerance_px=arguments.tolerance,
    )
    there = sorted(found.truth_ids)
    unknown = [s.object_id for s in found.scores if s.object_id not in found.truth_ids]
    if arguments.ids and unknown:
        raise UsageError(
            f"--ids: {arguments.truth} has no object {unknown[0]} on these frames; it has {_listed(there)}"
        )
    kept = tuple(s for s in found.scores if s.object_id in found.truth_ids)
    if not kept:
        raise UsageError(
            f"no object of {arguments.result} has an id of {arguments.truth} ({_listed(there)}); "
            "objects are compared by id: add --match FRAME to pair them where they overlap on a frame"
        )
    return replace(found, scores=kept)


def _ctc(result: TrackedLabels, truth: TrackedLabels, frames: Sequence[int]) -> "CtcMeasures":
    from napari_mosam.core.evaluation.evaluate import ctc_measures

    parents, truth_parents = result.labels.parents, truth.labels.parents
    return ctc_measures(result.labels, truth.labels, frames=frames, parents=parents, truth_parents=truth_parents)


def _left_out(
    scores: "Evaluation", matched: Mapping[int, int] | None, result: TrackedLabels, frames: Sequence[int]
) -> _LeftOut:
    """Who takes no part; of a result that was given other ids also what has no partner on the frame of --match."""
    truth = scores.unscored_truth, len(scores.truth_ids)
    if matched is None:
        return _LeftOut(scores.unscored_tracks, len(scores.track_ids), *truth)
    there = result.object_ids or sorted({int(i) for t in frames for i in np.unique(result.labels[t]) if i})
    scored = {s.object_id for s in scores.scores}
    return _LeftOut(tuple(i for i in there if matched.get(i) not in scored), len(there), *truth)


def _words(left: _LeftOut, arguments: argparse.Namespace) -> str | None:
    """How many objects take no part, where the user did not choose which do."""
    sides = (left.result, left.n_result, arguments.result), (left.truth, left.n_truth, arguments.truth)
    told = [f"{len(ids)} of {n} objects of {path} ({_listed(ids)})" for ids, n, path in sides if ids]
    if not told or arguments.ids:
        return None
    why = (
        "the other side has no such id" if arguments.match is None else f"matched with none on frame {arguments.match}"
    )
    return f"not scored, since {why}: {' and '.join(told)}"


def _listed(numbers: Sequence[int]) -> str:
    shown = ", ".join(map(str, numbers[:_SHOWN_IDS]))
    return shown + (f" and {len(numbers) - _SHOWN_IDS} more" if len(numbers) > _SHOWN_IDS else "") or "none"


# --- reports ---------------------------------------------------------------------------------------------------------


def _as_text(arguments: argparse.Namespace, report: _Report) -> str:
    parts = [report.partial] if report.partial else []
    if report.matched is not None:
        pairs = ", ".join(f"{old} -> {new}" for old, new in sorted(report.matched.items(), key=lambda p: p[1]))
        parts.append(f"ids matched (result -> truth): {pairs}")
    said = report.left_out and _words(report.left_out, arguments)
    parts += [said] if said else []
    if report.evaluation is not None:
        parts.append(_table(report.evaluation))
    if report.ctc is not None:
        parts.append("  ".join(f"{name.upper()} {_number(value)}" for name, value in asdict(report.ctc).items()))
    return "\n".join(parts)


def _table(evaluation: "Evaluation") -> str:
    head = ("object", "frames", "J", "F", "J&F", "to loss", "matched", "switches", "lost")
    rows = [head, *(_row(s) for s in evaluation.scores), _last_row(evaluation)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)


def _row(s: "Scores") -> tuple[str, ...]:
    measures = _number(s.j), _number(s.f), _number(s.jf), str(s.frames_to_loss), _number(s.matched)
    return str(s.object_id), str(s.n_frames), *measures, str(s.switches), "yes" if s.lost else "no"


def _last_row(e: "Evaluation") -> tuple[str, ...]:
    loss = "-" if math.isnan(e.frames_to_loss) else f"{e.frames_to_loss:.1f}"
    measures = _number(e.j), _number(e.f), _number(e.jf), loss, _number(e.matched)
    n_frames = sum(s.n_frames for s in e.scores)
    return "all", str(n_frames), *measures, str(e.switches), f"{e.lost} of {len(e.scores)}"


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}"


def _as_csv(report: _Report) -> str:
    """One row per object; with segmentation truth there are none, so the CTC measures are the row."""
    rows = [_plain(s) for s in report.evaluation.scores] if report.evaluation else [_plain(report.ctc)]
    text = io.StringIO()
    writer = csv.DictWriter(text, rows[0].keys())
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _as_json(arguments: argparse.Namespace, report: _Report) -> dict[str, Any]:
    evaluation = report.evaluation
    return {
        "result": str(arguments.result),
        "truth": str(arguments.truth),
        "frames": list(arguments.frames) if arguments.frames else None,
        "partial": report.partial,
        "matched_ids": None if report.matched is None else {str(k): v for k, v in report.matched.items()},
        "objects": [_plain(s) for s in evaluation.scores] if evaluation else [],
        "unscored": report.left_out and {"result": list(report.left_out.result), "truth": list(report.left_out.truth)},
        "all": _summary(evaluation) if evaluation else None,
        "ctc": _plain(report.ctc) if report.ctc else None,
    }


def _summary(evaluation: "Evaluation") -> dict[str, Any]:
    means = {name: _known(getattr(evaluation, name)) for name in _MEANS}
    return {"n_objects": len(evaluation.scores), **means, "switches": evaluation.switches, "lost": evaluation.lost}


def _plain(found: Any) -> dict[str, Any]:
    return {name: _known(value) for name, value in asdict(found).items()}


def _known(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value
