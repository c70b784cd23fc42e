"""How good is the expected IoU? Fit it to the masks of many movies, and judge it on the movie that was left out.

    MOSAM_DATA=... python -m benchmarks.calibration --out calibration --rounds 4          # follow, fit, judge
    MOSAM_DATA=... python -m benchmarks.calibration --out calibration --rounds 4 --ship   # write it beside the weights

`calibration_takes.py` says what is followed; results that are in OUT already are used again. Judged are masks that were
found and that nobody painted, on frames on which their cell exists. Each is judged by a fit without any mask of its
movie. ECE, the expected calibration error, is the mean distance between the expected IoU and the true one in ten bins
of the expected one, weighted by the masks in them; AUROC tells masks with an IoU below one half from the others, and is
left out where there are not five of either; Spearman's rank correlation is with the true IoU.

The three ways compared are the IoU that the network predicts, the same with two numbers fitted (Platt 1999), and the
logistic regression on the features of `core/results/track_evidence.py`. Every movie has the same weight in a fit.
"""

import argparse
import csv
import json
import logging
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import matplotlib
import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata, spearmanr

from benchmarks.calibration_takes import Take, all_takes, make
from benchmarks.runs import spread
from napari_mosam.core.files.zarr_files import open_zarr_group
from napari_mosam.core.results.columns import STATES, labels_of, read_table
from napari_mosam.core.results.expected_iou import marks
from napari_mosam.core.results.frame import ObjectState
from napari_mosam.core.results.iou_calibration import SUFFIX, IouCalibration
from napari_mosam.core.results.track_evidence import COLUMNS, FEATURES, evidence

matplotlib.use("Agg")
import matplotlib.pyplot as plt

N_BINS, WRONG, FEWEST = 10, 0.5, 5
RIDGE = 1e-4
"""Times the squared coefficients, beside a mean of one mask: it decides only what the masks leave open."""

WEIGHTS = Path(__file__).parents[1] / "src/napari_mosam/core/model/weights"
WAYS = {"network": (), "two numbers": FEATURES[:1], "expected IoU": FEATURES}
"""Features by way; none: the prediction itself."""

HEAD = ("masks", "movies", "bad", "mean IoU", *(f"{way}: {what}" for way in WAYS for what in ("ECE", "AUROC", "rank")))

Floats = NDArray[np.float64]
log = logging.getLogger("benchmarks")


@dataclass(frozen=True, slots=True, eq=False)
class Masks:
    """The masks that are judged: names of shape (M,), numbers of shape (M,), features of shape (M, F)."""

    movie: NDArray[np.str_]
    kind: NDArray[np.str_]
    predicted: Floats
    iou: Floats
    features: Floats

    @classmethod
    def read(cls, takes: Iterable[Take], folder: Path) -> "Masks":
        """Those of the takes that were made."""
        parts = [_masks_of(take, folder) for take in takes if (folder / f"{take.name}.npy").exists()]
        if not parts:
            raise SystemExit(f"there is no take in '{folder}'; run without --report-only")
        return cls(*(np.concatenate(column) for column in zip(*parts, strict=True)))

    def at(self, chosen: NDArray[np.bool_]) -> "Masks":
        """Some of them."""
        return Masks(
            self.movie[chosen], self.kind[chosen], self.predicted[chosen], self.iou[chosen], self.features[chosen]
        )

    @property
    def weights(self) -> Floats:
        """Of each mask, so that movies weigh the same."""
        _, at, counts = np.unique(self.movie, return_inverse=True, return_counts=True)
        return np.asarray(1 / (len(counts) * counts[at]))


def _masks_of(take: Take, folder: Path) -> tuple[NDArray[np.str_], NDArray[np.str_], Floats, Floats, Floats]:
    group, ious = open_zarr_group(folder / f"{take.name}.zarr", "r"), np.load(folder / f"{take.name}.npy")
    shape, ids = (int(labels_of(group).shape[0]), ious.shape[1]), [int(i) for i in group["table/object_ids"][:]]
    table, (prompted, painted) = read_table(group["table"], shape, COLUMNS), marks(group, ids, shape)
    features = evidence(table, prompted, painted, group.attrs["direction"])
    judged = (table["state"] == STATES.index(ObjectState.PRESENT)) & ~painted & np.isfinite(ious)
    names = (np.full(judged.sum(), name) for name in (take.movie, take.kind))
    return (*names, table["predicted_iou"][judged].astype(float), ious[judged].astype(float), features[judged])


def network_of(takes: Iterable[Take], folder: Path) -> str:
    """The hash of the weights that made the takes; SystemExit where they were made by several."""
    made = [folder / f"{take.name}.zarr" for take in takes if (folder / f"{take.name}.npy").exists()]
    found = {str(open_zarr_group(path, "r").attrs["provenance"]["weights"]) for path in made}
    if len(found) > 1:
        raise SystemExit(f"the results in '{folder}' were made with {len(found)} networks; remove those of the earlier")
    return found.pop()


def fit(masks: Masks, names: Sequence[str]) -> tuple[float, Floats]:
    """Intercept and coefficients of the logistic regression of the IoU on some features, by Newton's method."""
    x = np.column_stack([np.ones(len(masks.iou)), *(masks.features[:, FEATURES.index(name)] for name in names)])
    found, ridge = np.zeros(x.shape[1]), RIDGE * np.diag([0.0, *np.ones(len(names))])
    for _ in range(100):
        p = 1 / (1 + np.exp(-x @ found))
        slope = x.T @ (masks.weights * (p - masks.iou)) + ridge @ found
        step = np.linalg.solve((x.T * (masks.weights * p * (1 - p))) @ x + ridge, slope)
        found = found - step
        if np.abs(step).max() < 1e-10:
            return float(found[0]), found[1:]
    raise ArithmeticError("the fit has not settled after 100 steps; are there masks of every quality?")


def left_out(masks: Masks, names: Sequence[str]) -> Floats:
    """The expected IoU of each mask by a fit without its movie; without features what the network predicts."""
    if not names:
        return masks.predicted
    found = np.empty(len(masks.iou))
    for movie in np.unique(masks.movie):
        here = masks.movie == movie
        intercept, coefficients = fit(masks.at(~here), names)
        x = masks.features[here][:, [FEATURES.index(name) for name in names]]
        found[here] = 1 / (1 + np.exp(-(x @ coefficients + intercept)))
    return found


def calibration_error(expected: Floats, iou: Floats) -> float:
    """The expected calibration error."""
    return float(sum(n * abs(mean - true) for n, mean, true in bins(expected, iou)) / len(iou))


def bins(expected: Floats, iou: Floats) -> list[tuple[int, float, float]]:
    """Number of masks, mean expected and mean true IoU of the bins that hold any."""
    at = np.minimum((expected * N_BINS).astype(int), N_BINS - 1)
    here = [at == k for k in np.unique(at)]
    return [(int(h.sum()), float(expected[h].mean()), float(iou[h].mean())) for h in here]


def auroc(expected: Floats, bad: NDArray[np.bool_]) -> float:
    """Chance that a bad mask has a lower expected IoU than a good one; NaN where there are too few of either."""
    n, m = int(bad.sum()), int((~bad).sum())
    if min(n, m) < FEWEST:
        return float("nan")
    return float((rankdata(-expected)[bad].sum() - n * (n + 1) / 2) / (n * m))


def figures(expected: Floats, iou: Floats) -> tuple[float, float, float]:
    """Calibration error, AUROC and rank correlation."""
    rank = float(spearmanr(expected, iou).statistic) if len(iou) > 2 else float("nan")
    return calibration_error(expected, iou), auroc(expected, iou < WRONG), rank


def rows(masks: Masks, by_way: dict[str, Floats], names: NDArray[np.str_]) -> list[list[str]]:
    """A row for each name that masks have, the last but one the mean over them, the last all masks together."""
    lines, numbers = [], []
    for name in [*dict.fromkeys(names.tolist()), None]:
        here = np.ones(len(names), bool) if name is None else names == name
        found = [value for expected in by_way.values() for value in figures(expected[here], masks.iou[here])]
        counts = [str(here.sum()), str(len(np.unique(masks.movie[here]))), f"{(masks.iou[here] < WRONG).mean():.2f}"]
        lines.append([name or "all masks", *counts, f"{masks.iou[here].mean():.2f}", *map(_number, found)])
        numbers.append(found)
    mean = [_number(float(np.nanmean(column))) for column in np.array(numbers[:-1]).T]
    return [*lines[:-1], ["mean of the rows", "", "", "", "", *mean], lines[-1]]


def _number(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.3f}"


def markdown(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """A table."""
    return "\n".join("| " + " | ".join(line) + " |" for line in [head, ["---"] * len(head), *lines]) + "\n"


def plot(masks: Masks, by_way: dict[str, Floats], path: Path) -> None:
    """True against expected IoU in bins: the network's prediction and the expected IoU of movies left out."""
    simulated = np.char.endswith(masks.kind, "simulated")
    groups = {"real movies": ~simulated, "simulated movies": simulated}
    figure, axes = plt.subplots(1, 2, figsize=(8, 4), sharex=True, sharey=True, layout="constrained")
    for panel, way in zip(axes, ("network", "expected IoU"), strict=True):
        panel.plot([0, 1], [0, 1], color="0.6", lw=1)
        for (name, here), color in zip(groups.items(), ("#0072b2", "#d55e00"), strict=True):
            found = np.array(bins(by_way[way][here], masks.iou[here]))
            panel.plot(found[:, 1], found[:, 2], color=color, lw=1)
            area = 4 + 500 * found[:, 0] / found[:, 0].sum()
            panel.scatter(found[:, 1], found[:, 2], s=area, color=color, alpha=0.7, lw=0, label=name)
        titles = {"network": "the IoU that the network predicts", "expected IoU": "expected IoU, movie left out"}
        panel.set(title=titles[way], xlabel=way, xlim=(0, 1), ylim=(0, 1), aspect="equal")
    axes[0].set(ylabel="mean true IoU", xlabel="predicted IoU")
    for handle in axes[0].legend(loc="upper left", frameon=False).legend_handles:
        handle.set_sizes([40])
    figure.savefig(path, dpi=110)
    plt.close(figure)


def shipped(masks: Masks, weights: str, judged: Mapping[str, float]) -> dict[str, object]:
    """What is written beside the weights: the fit to all masks, and how it did on movies left out."""
    intercept, coefficients = fit(masks, FEATURES)
    found = IouCalibration(weights, round(intercept, 5), tuple(round(float(c), 5) for c in coefficients))
    fitted = {"masks": len(masks.iou), "movies": len(np.unique(masks.movie)), "movie left out": judged}
    return found.to_json() | {"fitted": fitted}


def report(masks: Masks, by_way: dict[str, Floats], folder: Path) -> str:
    """The tables, by kind and by real movie, which are also written; and the plot."""
    plot(masks, by_way, folder / "reliability.png")
    real = ~np.char.endswith(masks.kind, "simulated")
    named = {"kind": (masks, by_way, masks.kind)}
    named["movie"] = masks.at(real), {way: p[real] for way, p in by_way.items()}, masks.movie[real]
    text = []
    for name, asked in named.items():
        lines = rows(*asked)
        with (folder / f"by_{name}.csv").open("w", newline="") as file:
            csv.writer(file).writerows([[name, *HEAD], *lines])
        text.append(markdown([name, *HEAD], lines))
    return "\n".join(text)


def main() -> int:
    """Follow what is not there yet, fit, judge, and write; 1 if something failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("calibration"))
    parser.add_argument("--model", default="nano", help="a network of the package")
    parser.add_argument("--rounds", type=int, help="takes of each group of movies, at most; all by default")
    parser.add_argument("--jobs", type=int, default=1, help="worker processes, one thread each")
    parser.add_argument("--report-only", action="store_true", help="follow nothing")
    parser.add_argument("--ship", action="store_true", help="write the fit beside the weights")
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    results, takes, failed = given.out / "results", all_takes(given.rounds), 0
    results.mkdir(parents=True, exist_ok=True)
    if not given.report_only:
        failed = _follow(takes, partial(make, folder=results, model=given.model), given.jobs)
    masks = Masks.read(takes, results)
    by_way = {way: left_out(masks, names) for way, names in WAYS.items()}
    sys.stdout.write(report(masks, by_way, given.out))
    by_kind = rows(masks, by_way, masks.kind)[-2]
    error, area, _ = by_kind[-3:]
    judged = {"ECE, mean over kinds": float(error), "AUROC, mean over kinds": float(area)}
    found = shipped(masks, network_of(takes, results), judged)
    text = json.dumps(found, indent=1) + "\n"
    sys.stdout.write(text)
    if given.ship:
        (WEIGHTS / f"{given.model}{SUFFIX}").write_text(text)
    return int(failed > 0)


def _follow(takes: Sequence[Take], function: Callable[[Take], str], jobs: int) -> int:
    """Make the takes; returns how many failed."""
    failed = 0
    for n, (take, said) in enumerate(spread(function, takes, jobs), start=1):
        log.info("%d/%d %s: %s", n, len(takes), take.name, said)
        failed += "Error:" in said
    return failed


if __name__ == "__main__":
    sys.exit(main())
