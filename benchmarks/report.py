"""Tables and pictures from the records of the ablation."""

import csv
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

from benchmarks.rows import PROMPTED_ROWS, digest
from benchmarks.stats import Interval, interval, movies_mean, standard_error
from benchmarks.tasks import CELL_MOVIES, MODALITY
from napari_mosam.core.config.engine import EngineConfig
from napari_mosam.core.simulation import STRESS_CASES

matplotlib.use("Agg")

Tracks = dict[tuple[str, int], dict[str, Any]]
"""(cluster, object id) -> scores of a track, with its movie."""

COLUMNS = {
    "real": {**{movie: (movie,) for movie in MODALITY}, "the cell movies": CELL_MOVIES},
    "stress": {**{movie: (movie,) for movie in STRESS_CASES}, "all": tuple(STRESS_CASES)},
}
"""Table -> its columns -> the movies over which they average."""

PANELS_ACROSS = 5


@dataclass(frozen=True, slots=True, eq=False)
class Line:
    """One line of a table: the tracks of an engine, and those it is compared with."""

    name: str
    tracks: Tracks
    baseline: Tracks


@dataclass(frozen=True, slots=True)
class Cell:
    """One line in one column; J's difference to the baseline is over the tracks that both have."""

    table: str
    line: str
    column: str
    n_tracks: int
    j: float
    j_se: float
    f: float
    frames_to_loss: float
    switches: int
    lost: int
    difference: float
    low: float
    high: float


def tracks_of(records: Iterable[Mapping[str, Any]], prompt: str, config: str) -> Tracks:
    """The scored tracks of one prompt and configuration."""
    return {
        (record["cluster"], track["object_id"]): {"movie": record["movie"], **track}
        for record in records
        if record["prompt"] == prompt and record["key"][2] == config
        for track in record["tracks"]
        if track["n_frames"]
    }


def mask_lines(records: Sequence[Mapping[str, Any]], rows: Mapping[str, EngineConfig]) -> list[Line]:
    """Every row with mask prompts, against plain."""
    plain = tracks_of(records, "mask", digest(rows["plain"]))
    return [
        Line(name, tracks_of(records, "mask", digest(config)), {} if name == "plain" else plain)
        for name, config in rows.items()
    ]


def prompt_lines(records: Sequence[Mapping[str, Any]], rows: Mapping[str, EngineConfig]) -> list[Line]:
    """Plain and default for every kind of prompt, against plain with the same prompts."""
    lines = []
    for prompt in ("mask", "click", "box"):
        plain = tracks_of(records, prompt, digest(rows["plain"]))
        for name in PROMPTED_ROWS:
            baseline = {} if name == "plain" else plain
            lines.append(Line(f"{prompt}: {name}", tracks_of(records, prompt, digest(rows[name])), baseline))
    return lines


def cells_of(table: str, line: Line, columns: Mapping[str, Sequence[str]]) -> list[Cell]:
    """A line's cells, for the columns all of whose movies it has."""
    cells = []
    for column, movies in columns.items():
        tracks = [t for t in line.tracks.values() if t["movie"] in movies]
        if {t["movie"] for t in tracks} == set(movies):
            cells.append(_cell(table, line, column, tracks, movies))
    return cells


def _cell(table: str, line: Line, column: str, tracks: list[dict[str, Any]], movies: Sequence[str]) -> Cell:
    own = _clustered(line.tracks, movies, lambda key, track: track["j"])
    both = {key: track for key, track in line.tracks.items() if key in line.baseline}
    gains = _clustered(both, movies, lambda key, track: track["j"] - line.baseline[key]["j"])
    gain = interval(gains) if all(gains) else Interval(math.nan, math.nan, math.nan)
    return Cell(
        table=table,
        line=line.name,
        column=column,
        n_tracks=len(tracks),
        j=movies_mean(own),
        j_se=standard_error(own),
        f=movies_mean(_clustered(line.tracks, movies, lambda key, track: track["f"])),
        frames_to_loss=float(np.mean([t["frames_to_loss"] for t in tracks])),
        switches=sum(t["switches"] for t in tracks),
        lost=sum(t["lost"] for t in tracks),
        difference=gain.mean,
        low=gain.low,
        high=gain.high,
    )


def _clustered(tracks: Tracks, movies: Sequence[str], value: Any) -> list[dict[str, list[float]]]:
    """Per movie, the values of each cluster's tracks."""
    found: dict[str, dict[str, list[float]]] = {movie: defaultdict(list) for movie in movies}
    for (cluster, object_id), track in tracks.items():
        if track["movie"] in found:
            found[track["movie"]][cluster].append(value((cluster, object_id), track))
    return list(found.values())


def write_report(records: Sequence[Mapping[str, Any]], rows: Mapping[str, EngineConfig], out: Path) -> str:
    """Write tracks.csv, summary.csv, tables.md and one picture per table; the text of tables.md is returned."""
    tables = {}
    for group, columns in COLUMNS.items():
        for kind, lines in (("masks", mask_lines(records, rows)), ("prompts", prompt_lines(records, rows))):
            name = f"{group}-{kind}"
            tables[name] = [cell for line in lines for cell in cells_of(name, line, columns)]
    write_tracks(records, rows, out / "tracks.csv")
    with (out / "summary.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, [*Cell.__dataclass_fields__])
        writer.writeheader()
        writer.writerows(asdict(cell) for cells in tables.values() for cell in cells)
    text = "\n".join([*_warnings(records), *(markdown(name, cells) for name, cells in tables.items() if cells)])
    (out / "tables.md").write_text(text)
    for name, cells in tables.items():
        if cells:
            draw(name, cells, out / f"{name}.png")
    return text


def _warnings(records: Sequence[Mapping[str, Any]]) -> list[str]:
    versions = {record["code"] for record in records}
    return [f"These figures mix {len(versions)} versions of the engine's code.\n"] if len(versions) > 1 else []


def write_tracks(records: Sequence[Mapping[str, Any]], rows: Mapping[str, EngineConfig], path: Path) -> None:
    """One line per track and row; rows of equal settings share their tracks."""
    names = defaultdict(list)
    for name, config in rows.items():
        names[digest(config)].append(name)
    shared = ("movie", "modality", "cluster", "start", "seed", "prompt", "model", "object_frames", "seconds")
    scores = ("object_id", "n_frames", "j", "f", "frames_to_loss", "switches", "lost")
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["row", *shared, *scores])
        for record in records:
            for name in names[record["key"][2]]:
                head = [name, *(record[key] for key in shared)]
                writer.writerows([*head, *(track[key] for key in scores)] for track in record["tracks"])


def markdown(name: str, cells: Sequence[Cell]) -> str:
    """Two tables: mean J with its standard error, and J minus the baseline's with its interval."""
    columns = list(dict.fromkeys(cell.column for cell in cells))
    total = max(columns, key=lambda column: max(cell.n_tracks for cell in cells if cell.column == column))
    lines = dict.fromkeys(cell.line for cell in cells)
    at = {(cell.line, cell.column): cell for cell in cells}
    tracks = {column: max(cell.n_tracks for cell in cells if cell.column == column) for column in columns}
    heads = [f"{column} ({tracks[column]})" for column in columns]
    text = [f"## {name}\n", f"Mean J ± standard error (tracks); switches and lost: {total}.\n"]
    text += _table([*heads, "switches", "lost"])
    for line in lines:
        means = [_mean(at.get((line, column))) for column in columns]
        last = at.get((line, total))
        text.append(_row([line, *means, *([str(last.switches), str(last.lost)] if last else ["", ""])]))
    text += ["\nJ minus plain's, with its 95 % interval, in points.\n", *_table(heads)]
    text += [_row([line, *(_gain(at.get((line, column))) for column in columns)]) for line in lines]
    return "\n".join(text) + "\n"


def _table(heads: Sequence[str]) -> list[str]:
    return [_row(["engine", *heads]), "|" + "---|" * (len(heads) + 1)]


def _row(texts: Sequence[str]) -> str:
    return "| " + " | ".join(texts) + " |"


def _mean(cell: Cell | None) -> str:
    if cell is None:
        return ""
    return f"{cell.j:.3f}" if math.isnan(cell.j_se) else f"{cell.j:.3f} ± {cell.j_se:.3f}"


def _gain(cell: Cell | None) -> str:
    if cell is None or math.isnan(cell.difference):
        return ""
    return f"{100 * cell.difference:+.1f} [{100 * cell.low:+.1f}, {100 * cell.high:+.1f}]"


def draw(name: str, cells: Sequence[Cell], path: Path) -> None:
    """One panel per column: each line's difference to plain and its interval, in points of J."""
    from matplotlib import pyplot as plt

    columns = list(dict.fromkeys(cell.column for cell in cells))
    lines = list(dict.fromkeys(cell.line for cell in cells))
    across = min(len(columns), PANELS_ACROSS)
    down = -(-len(columns) // across)
    size = (3 + 2 * across, down * (1.2 + 0.24 * len(lines)))
    figure, axes = plt.subplots(down, across, figsize=size, sharey=True, squeeze=False, layout="constrained")
    for axis in axes.flat[len(columns) :]:
        axis.set_axis_off()
    for axis, column in zip(axes.flat, columns, strict=False):
        shown = [cell for cell in cells if cell.column == column and not math.isnan(cell.difference)]
        for cell in shown:
            y = lines.index(cell.line)
            colour = "tab:green" if cell.low > 0 else "tab:red" if cell.high < 0 else "0.4"
            axis.plot([100 * cell.low, 100 * cell.high], [y, y], color=colour, linewidth=2)
            axis.plot(100 * cell.difference, y, "o", color=colour, markersize=4)
        axis.axvline(0, color="0.8", zorder=0)
        axis.set_title(column, fontsize=9)
        axis.grid(axis="y", color="0.93")
    axes[0, 0].set_yticks(range(len(lines)), lines, fontsize=8)
    axes[0, 0].set_ylim(-0.5, len(lines) - 0.5)
    axes[0, 0].invert_yaxis()
    figure.supxlabel("J minus plain's, points, 95 % interval", fontsize=9)
    figure.suptitle(name, fontsize=10)
    figure.savefig(path, dpi=110)
    plt.close(figure)
