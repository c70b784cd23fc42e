"""How good is a model, on every kind of cell, with masks, boxes and clicks? One number, and where it comes from.

    MOSAM_DATA=... python -m benchmarks.validate nano --jobs 2
    MOSAM_DATA=... python -m benchmarks.validate trained/nano.safetensors --size 128 192 256 --against nano

The clips are those of `validation_sets.py`: ten frames of movies, and stills, which training never reads. All objects
of a clip are prompted together on its first frame: with their true masks, with boxes whose sides are moved by up to
10 %, or with a click on a random pixel and no size; the same prompts for every model. J is the mean IoU with the truth
over the later frames; on a still it is the IoU of the first mask. There a mask comes back as it was given, drawn at the
resolution of its window: that depends on the input size and not on the weights, so between models of one size such
tracks tell nothing apart.

The number is the mean over kinds of cells of the mean over their tracks and the three prompts, at the model's own size;
each kind counts the same. Brackets are 95 % bootstrap intervals: clips (planes of one stack together) are resampled
within each kind, then their tracks. A comparison is paired: the difference is taken track by track.

What is not at hand is named and left out. A number over fewer kinds is another number.
"""

import argparse
import json
import logging
import os
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.runs import PromptKind, code_version, model_on_cpu, prompted, spread, track_js
from benchmarks.stats import Interval, interval
from benchmarks.validation_sets import KINDS, Clip, Found, find_clips
from napari_mosam.core.model.protocol import Segmenter

PROMPTS: tuple[PromptKind, ...] = ("mask", "box", "click")
COLUMNS = (*PROMPTS, "mean")
log = logging.getLogger("benchmarks")


@dataclass(frozen=True, slots=True)
class Track:
    """One object of a clip, and its J by the kind of prompt (or, in a comparison, the difference of two J)."""

    kind: str
    source: str
    cluster: str
    clip: str
    object_id: int
    js: dict[str, float]

    def value(self, column: str) -> float:
        """J of one prompt, or the mean over all of them."""
        return float(np.mean(list(self.js.values()))) if column == "mean" else self.js[column]


@dataclass(frozen=True, slots=True)
class Job:
    """One clip, for one model at one input size (None: its own)."""

    clip: Clip
    model: str
    size: int | None


@dataclass(frozen=True, slots=True)
class Validation:
    """What a model gave: tracks by input size, and what failed."""

    model: str
    own_size: int
    tracks: dict[int, list[Track]]
    failed: tuple[str, ...]


def tracks_of(clip: Clip, model: Segmenter) -> list[Track]:
    """Follow the objects of a clip from every kind of prompt."""
    sample = clip.read()
    js = {}
    for kind in PROMPTS:
        prompts = prompted(sample.truth[0], sample.ids, kind, clip.seed)
        js[kind] = track_js(sample.images, sample.truth, prompts, model)
    head = (clip.kind, clip.source, clip.cluster, clip.name)
    return [Track(*head, i, {kind: js[kind][i] for kind in PROMPTS}) for i in sample.ids]


def score(job: Job) -> list[Track]:
    """The tracks of a job; the model is loaded once per process."""
    return tracks_of(job.clip, model_on_cpu(job.model, job.size))


def validate(model: str, sizes: Sequence[int] | None, clips: Sequence[Clip], n_processes: int) -> Validation:
    """Score every clip at every size; by default at the model's own."""
    own = model_on_cpu(model).image_size
    wanted = list(dict.fromkeys(sizes or [own]))
    jobs = [Job(clip, model, size) for size in wanted for clip in clips]
    tracks: dict[int, list[Track]] = {size: [] for size in wanted}
    failed = []
    for n, (job, found) in enumerate(spread(score, jobs, n_processes), start=1):
        log.info("%d/%d %s, %s px, %s", n, len(jobs), model, job.size, job.clip.name)
        if isinstance(found, str):
            failed.append(f"{job.clip.name} with {model} at {job.size} px: {found}")
        else:
            tracks[job.size or own] += found
    return Validation(model, own, {size: sorted(t, key=_key) for size, t in tracks.items()}, tuple(sorted(failed)))


def _key(track: Track) -> tuple[str, int]:
    return track.clip, track.object_id


def differences(tracks: Iterable[Track], others: Iterable[Track]) -> list[Track]:
    """J minus that of the other model, for the tracks that both have."""
    there = {_key(track): track.js for track in others}
    pairs = [(track, there[_key(track)]) for track in tracks if _key(track) in there]
    return [replace(track, js={p: j - other[p] for p, j in track.js.items()}) for track, other in pairs]


def by_kind(tracks: Iterable[Track]) -> dict[str, list[Track]]:
    """Tracks of each kind that is there, in the order of the kinds."""
    found = defaultdict(list)
    for track in tracks:
        found[track.kind].append(track)
    return {kind: found[kind] for kind in KINDS if kind in found}


def summary(kinds: Iterable[Sequence[Track]], column: str = "mean") -> Interval:
    """Mean over kinds of the mean over their tracks, with its interval."""
    return interval([_clusters(tracks, column) for tracks in kinds])


def _clusters(tracks: Sequence[Track], column: str) -> dict[str, list[float]]:
    found = defaultdict(list)
    for track in tracks:
        found[track.cluster].append(track.value(column))
    return dict(found)


def table(tracks: Sequence[Track], *, points: bool = False) -> str:
    """A line for each kind and one for all of them; `points`: differences in hundredths, each with its interval."""
    groups: dict[str, list[list[Track]]] = {kind: [own] for kind, own in by_kind(tracks).items()}
    groups["**all kinds**"] = [own for (own,) in groups.values()]
    lines = [_row(["kind (tracks)", *COLUMNS]), "|" + "---|" * (len(COLUMNS) + 1)]
    for name, kinds in groups.items():
        found = [summary(kinds, column) for column in COLUMNS]
        lines.append(_row([f"{name} ({sum(map(len, kinds))})", *(_cell(cell, points) for cell in found)]))
    return "\n".join(lines) + "\n"


def _row(texts: Sequence[str]) -> str:
    return "| " + " | ".join(texts) + " |"


def _cell(found: Interval, points: bool) -> str:
    if not points:
        return f"{found.mean:.3f}"
    return f"{100 * found.mean:+.1f} [{100 * found.low:+.1f}, {100 * found.high:+.1f}]"


def report(validation: Validation, found: Found, other: Validation | None = None) -> str:
    """The tables of all sizes, the number, the comparison, and what is left out."""
    text = []
    for size, tracks in validation.tracks.items():
        text += [f"## {validation.model}, {size} px\n", table(tracks) if tracks else "Nothing was scored.\n"]
    text.append(number_line(validation))
    if other is not None:
        text += _comparison(validation, other)
    text += [f"- left out: {what}" for what in found.left_out]
    text += [f"- failed: {what}" for v in (validation, other) if v is not None for what in v.failed]
    return "\n".join(text) + "\n"


def _comparison(validation: Validation, other: Validation) -> list[str]:
    text = []
    for (size, tracks), (their_size, theirs) in zip(validation.tracks.items(), other.tracks.items(), strict=True):
        both = differences(tracks, theirs)
        text.append(f"## {validation.model} at {size} px minus {other.model} at {their_size} px, points\n")
        text.append(table(both, points=True) if both else "No track is in both.\n")
    return [*text, number_line(other)]


def number_line(validation: Validation) -> str:
    """The one number in words, or why there is none."""
    tracks = validation.tracks.get(validation.own_size)
    if not tracks:
        return f"No number: nothing was scored at {validation.model}'s own size, {validation.own_size} px.\n"
    kinds = by_kind(tracks)
    found = summary(kinds.values())
    missing = [kind for kind in KINDS if kind not in kinds]
    without = f" Without {', '.join(missing)}: not to be compared with a number over all kinds." if missing else ""
    return (
        f"**{found.mean:.4f}** [{found.low:.3f}, {found.high:.3f}]: {validation.model} at its own "
        f"{validation.own_size} px, {len(kinds)} of {len(KINDS)} kinds, {len(tracks)} tracks.{without}\n"
    )


def to_json(validation: Validation) -> dict[str, Any]:
    """The number, the means by size, kind and prompt, and every track, as JSON types."""
    return {
        "model": validation.model,
        "own_size": validation.own_size,
        "code": code_version(),
        "number": _number(validation),
        "kinds": {str(size): _means(tracks) for size, tracks in validation.tracks.items()},
        "failed": list(validation.failed),
        "tracks": {str(size): [asdict(track) for track in tracks] for size, tracks in validation.tracks.items()},
    }


def _number(validation: Validation) -> float | None:
    tracks = validation.tracks.get(validation.own_size)
    return summary(by_kind(tracks).values()).mean if tracks else None


def _means(tracks: Sequence[Track]) -> dict[str, dict[str, float]]:
    return {kind: {c: summary([own], c).mean for c in COLUMNS} for kind, own in by_kind(tracks).items()}


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", metavar="MODEL", help="a name, or the path of weights")
    parser.add_argument("--size", type=int, nargs="+", help="input sizes, px; by default the model's own")
    parser.add_argument("--data", type=Path, help="holds timelapse/ and stills/; MOSAM_DATA by default")
    parser.add_argument("--jobs", type=int, default=2, help="worker processes, one thread each")
    parser.add_argument("--against", metavar="OTHER_MODEL", help="also run this one and compare track by track")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every track there")
    return parser


def main(words: Sequence[str] | None = None) -> int:
    """Run, print the tables, write the JSON; 1 if something failed."""
    given = arguments().parse_args(words)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    begin = time.perf_counter()
    named = given.data or os.environ.get("MOSAM_DATA")
    found = find_clips(Path(named) if named else None)
    models = [given.model, *([given.against] if given.against else [])]
    results = [validate(model, given.size, found.clips, given.jobs) for model in models]
    seconds = time.perf_counter() - begin
    sys.stdout.write(report(results[0], found, *results[1:]))
    log.info("%.0f s with %d processes", seconds, given.jobs)
    if given.json:
        record = {"models": [to_json(r) for r in results], "left_out": found.left_out, "seconds": round(seconds, 1)}
        given.json.write_text(json.dumps(record, indent=1) + "\n")
    return int(any(result.failed for result in results))


if __name__ == "__main__":
    sys.exit(main())
