"""The training simulator held against real frames by numbers: python -m benchmarks.realism --out table.md.

Cells of real pictures and of simulated movies of the same kind are read as a network sees them and measured, see
:mod:`benchmarks.realism_measures`. Of stills only the training part is read. Of movies by which weights are judged only
a few whole frames are, and looks only of the kinds of which there is nothing else.
"""

import argparse
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from training.data.stills import find_stills, normalised, read_still
from training.simulator.movies import random_scenes, render_batch

from benchmarks.options import chosen
from benchmarks.realism_measures import diameters_of, frame_measures, looks, overlaps, shape, view_of
from benchmarks.tasks import read_timelapse

SEED = 2**41
"""Of the simulated movies: training draws its seeds below 2**31."""

N_MOVIES, N_FRAMES, SIDE = 120, 3, 256
N_CELLS = 3
"""Cells of one picture that are measured; so that a crowd counts no more than a few."""

N_IMAGES = 24
"""Stills of one folder."""

SMALLEST = 16
"""Cells that are fewer px across have no inside to speak of."""

Grey = NDArray[np.float32]
Labels = NDArray[np.integer]


# --- what is held against what --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Kind:
    """Real pictures, and simulated movies that should look like them.

    Attributes
    ----------
    stills : tuple of str
        Folders, from whose training part looks and shapes are measured.
    movie : str
        Folder; overlaps are measured in it, and looks where there are no stills. Empty: none.
    every : int
        Every so many-th frame of the movie is read, and the one that follows it.
    simulated : str
        Kind of the training simulator.
    modalities : tuple of str
        Those of its movies that are meant; empty: all.
    """

    stills: tuple[str, ...]
    movie: str
    every: int
    simulated: str
    modalities: tuple[str, ...] = ()


_LABEL_FREE = ("zernike", "nomarski", "brightfield")
KINDS = {
    "fluorescent nuclei": Kind(("dsb2018", "dsb2018_b", "bbbc039"), "fluo_hela_01", 13, "nuclei"),
    "nuclei in tissue": Kind(("tissue_nuclei",), "", 1, "nuclei"),
    "DIC": Kind((), "dic_hela_01", 8, "dic"),
    "oblique light": Kind((), "scratch_assay", 2, "dic"),
    "phase contrast": Kind(("t98g",), "", 1, "phase"),
    "thin, phase contrast": Kind((), "c2c12_phase", 3, "thin", ("zernike",)),
    "branched, stained": Kind(("microglia",), "microglia_z_a", 2, "thin", ("cytoplasm",)),
    "rods, bright field": Kind(("ecoli_bf",), "", 1, "rods", ("zernike", "brightfield")),
    "yeast, label-free": Kind(("yeast_bf", "yeast_phase"), "yeast_trap_a", 1, "yeast", _LABEL_FREE),
}


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """A frame (Y, X), its cells, and those of the next frame where there is one that may be compared."""

    image: Grey | None
    labels: Labels
    following: Labels | None = None
    shapes_count: bool = True


def real_pictures(kind: Kind, data: Path) -> Iterator[Picture]:
    """Everything real of a kind; a picture without an image gives overlaps only."""
    yield from _stills(kind, data / "stills")
    folder = data / "timelapse" / kind.movie
    if kind.movie and folder.is_dir():
        images, truth = read_timelapse(folder)
        consistent = kind.movie != "scratch_assay"
        for t in range(0, len(truth) - 1, kind.every):
            image = None if kind.stills else normalised(images[t])
            yield Picture(image, truth[t], truth[t + 1] if consistent else None, shapes_count=False)


def _stills(kind: Kind, folder: Path) -> Iterator[Picture]:
    """Stills of the training part, no more than so many of a folder; nuclei must be brighter than the background."""
    files = find_stills(folder, "train") if kind.stills else []
    for source in kind.stills:
        of_source = [file for file in files if file.source.folder == source]
        for k in sorted(np.random.default_rng(0).permutation(len(of_source))[:N_IMAGES]):
            still = read_still(of_source[k])
            if still is not None and (kind.simulated != "nuclei" or _shines(still.image, still.labels)):
                yield Picture(still.image, still.labels)


def _shines(image: Grey, labels: Labels) -> bool:
    return bool(np.median(image[labels > 0]) > np.median(image[labels == 0]))


def simulated_pictures(kind: Kind) -> Iterator[Picture]:
    """The middle frames of simulated movies of a kind."""
    scenes = random_scenes(SEED, 8 * N_MOVIES, n_frames=N_FRAMES, shape=(SIDE, SIDE), kinds=[kind.simulated])
    meant = [s for s in scenes if not kind.modalities or s.config.modality in kind.modalities][:N_MOVIES]
    for start in range(0, len(meant), 8):
        batch = render_batch(meant[start : start + 8], "cpu")
        for images, labels in zip(batch.images.numpy(), batch.labels.numpy(), strict=True):
            yield Picture(images[1], labels[1], labels[2])


# --- numbers --------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Sample:
    """Values of each measure."""

    values: dict[str, list[float]] = field(default_factory=dict)

    def add(self, measured: Mapping[str, float]) -> None:
        """Take up what could be measured."""
        for name, value in measured.items():
            if np.isfinite(value):
                self.values.setdefault(name, []).append(value)


def measure(pictures: Iterable[Picture]) -> Sample:
    """Measure some cells of each picture, drawn with a seed, and each frame as a whole."""
    sample = Sample()
    for picture in pictures:
        for overlap in overlaps(picture.labels, picture.following) if picture.following is not None else ():
            sample.add({"overlap with the next frame": overlap})
        if picture.image is not None:
            sample.add(frame_measures(picture.labels))
            for cell in _some_cells(picture.labels):
                view = view_of(picture.image, picture.labels, cell)
                sample.add(looks(view) | (shape(view) if picture.shapes_count else {}))
    return sample


def _some_cells(labels: Labels) -> list[int]:
    large = [cell for cell, diameter in diameters_of(labels).items() if diameter >= SMALLEST]
    return [large[k] for k in sorted(np.random.default_rng(0).permutation(len(large))[:N_CELLS])]


@dataclass(frozen=True, slots=True)
class Summary:
    """Percentiles 5, 25, 50, 75 and 95 of n values."""

    n: int
    low: float
    quarter: float
    median: float
    three_quarters: float
    high: float

    @classmethod
    def of(cls, values: list[float]) -> "Summary":
        """Of at least one value."""
        return cls(len(values), *(float(q) for q in np.percentile(values, [5, 25, 50, 75, 95])))

    @property
    def spread(self) -> float:
        """Standard deviation of a normal distribution with these quartiles."""
        return (self.three_quarters - self.quarter) / 1.349

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.quarter:.2f} to {self.three_quarters:.2f})"


@dataclass(frozen=True, slots=True)
class Comparison:
    """A measure of real and of simulated pictures.

    Attributes
    ----------
    real, simulated : Summary
    within : float
        Share of the real values between the simulated percentiles 5 and 95: .9 where both are alike.
    """

    real: Summary
    simulated: Summary
    within: float

    @property
    def off(self) -> float:
        """Difference of the medians in units of the real spread; NaN where real values do not spread."""
        return (self.simulated.median - self.real.median) / (self.real.spread or np.nan)


def compare(real: Sample, simulated: Sample) -> dict[str, Comparison]:
    """Every measure that both have."""
    return {
        name: _compared(values, simulated.values[name])
        for name, values in real.values.items()
        if name in simulated.values
    }


def _compared(real: list[float], simulated: list[float]) -> Comparison:
    drawn = Summary.of(simulated)
    within = np.mean([drawn.low <= value <= drawn.high for value in real])
    return Comparison(Summary.of(real), drawn, float(within))


# --- tables ---------------------------------------------------------------------------------------------------------

Comparisons = dict[str, dict[str, Comparison]]
"""Kind -> measure -> how they compare."""


def table(found: Comparisons, before: Comparisons) -> str:
    """A table in Markdown for each kind; with the simulator's earlier numbers where there are any."""
    return "\n".join(line for name, rows in found.items() for line in _section(name, rows, before.get(name, {})))


def _section(name: str, rows: Mapping[str, Comparison], before: Mapping[str, Comparison]) -> list[str]:
    earlier = ["simulated before", "off", "within"] if before else []
    head = ["measure", "real", *earlier, "simulated", "off", "within"]
    body = [[m, str(c.real), *(_cells(before.get(m)) if before else []), *_cells(c)] for m, c in rows.items()]
    lines = [head, ["---"] * len(head), *body]
    return [f"**{name}**", "", *("| " + " | ".join(line) + " |" for line in lines), ""]


def _cells(c: Comparison | None) -> list[str]:
    return (
        ["", "", ""]
        if c is None
        else [str(c.simulated), "-" if np.isnan(c.off) else f"{c.off:+.1f}", f"{c.within:.2f}"]
    )


def to_json(found: Comparisons) -> str:
    """Comparisons as text."""
    return json.dumps({k: {m: asdict(c) for m, c in rows.items()} for k, rows in found.items()}, indent=1)


def from_json(text: str) -> Comparisons:
    """Read what :func:`to_json` wrote."""
    return {
        kind: {m: Comparison(Summary(**c["real"]), Summary(**c["simulated"]), c["within"]) for m, c in rows.items()}
        for kind, rows in json.loads(text).items()
    }


def main() -> None:
    """Measure, compare, write the tables and, beside them, the numbers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="where the tables go; the numbers lie beside, .json")
    parser.add_argument("--before", type=Path, help="numbers of an earlier run, shown too")
    parser.add_argument("--kinds", help="names of kinds, separated by ';'")
    parser.add_argument("--data", type=Path, default=os.environ.get("MOSAM_DATA"), help="folder of real data")
    given = parser.parse_args()
    if given.data is None:
        raise SystemExit("no real data: give --data or set MOSAM_DATA")
    found: Comparisons = {}
    for name in chosen("--kinds", given.kinds, list(KINDS)):
        real, simulated = measure(real_pictures(KINDS[name], given.data)), measure(simulated_pictures(KINDS[name]))
        found[name] = compare(real, simulated)
    given.out.write_text(table(found, from_json(given.before.read_text()) if given.before else {}))
    given.out.with_suffix(".json").write_text(to_json(found))


if __name__ == "__main__":
    main()
