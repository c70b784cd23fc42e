"""What is a correction worth? A simulated person corrects the worst masks, one after the other.

    MOSAM_DATA=... python -m benchmarks.corrections --out corrections

Cells that last 30 frames or more, and do not divide, are followed from boxes whose sides are jittered by 10 %. Then
one mask at a time is chosen and given its true pixels, or none where the cell is gone. J is the mean IoU with the
truth over the frames that were *not* corrected (frames of an object first, then objects), after every correction; the
frame that was prompted does not count. Two things are done with a correction:

- `followed`: the object is followed again from there, both ways, as `Session.correct` does it;
- `painted`: only that frame is changed, as in a program that paints labels.

And four orders in which masks are chosen:

- `truth`: the one with the lowest IoU, as somebody who looks at every frame finds it;
- `queue`: the frame shown by the first item of the review queue, see `Session.queue`; where nothing is unsure any more,
  of the queue of all that a person has not judged. Where neither the cell nor a mask is there that is accepted, for as
  many frames of the item as it is so, and counts as a correction;
- `prediction`: the one with the lowest IoU as the network predicts it, lost frames first;
- `random`: by chance, three times.

Curves that are in OUT/corrections.csv are not measured again.
"""

import argparse
import csv
import os
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
import torch
from numpy.typing import NDArray
from training.simulator.movies import KINDS, random_batch

from benchmarks.options import chosen
from benchmarks.runs import model_on_cpu, prompted
from benchmarks.simulated import CAMERA_RANGE, HELD_OUT_SEED
from benchmarks.tasks import lasting_ids, read_timelapse
from napari_mosam.core.results.doubts import SURE_IOU
from napari_mosam.core.results.frame import ObjectState
from napari_mosam.core.review.queue import ReviewItem
from napari_mosam.core.session.session import Session
from napari_mosam.core.store.result import Result

matplotlib.use("Agg")
import matplotlib.pyplot as plt

N_FRAMES, MIN_FRAMES = 40, 30
SIDE = 256
REAL = ("fluo_hela_01", "dic_hela_01", "sim_n2dh_01")
SIMULATED = ("thin", "rods")
ACTS = ("followed", "painted")
ORDERS = ("truth", "queue", "prediction", "random")
N_RANDOM = 3
HALVED = 0.6
"""Of the area on the frame before; a cell that leaves the frame is left out too."""

HEAD = ("movie", "order", "act", "seed", "corrections", "frame", "object", "iou_before", "j")
COLORS = {"queue": "#0072b2", "random": "#d55e00", "truth": "#999999"}
"""Orders that are drawn."""

Floats = NDArray[np.float64]
Key = tuple[str, str, str, str]
"""Movie, order, act and seed of a curve."""

Row = list[str]


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """A movie and its truth, (T, Y, X), and the ids that are followed from its first frame."""

    name: str
    images: NDArray[np.uint16]
    truth: NDArray[np.integer]
    ids: tuple[int, ...]


def scene(name: str, n_objects: int) -> Scene:
    """A real movie of ``MOSAM_DATA``, or a simulated one of a kind with a held-out seed that shows enough cells."""
    if name in REAL:
        images, truth = read_timelapse(Path(os.environ["MOSAM_DATA"]) / "timelapse" / name)
        return _chosen(name, images[:N_FRAMES], truth[:N_FRAMES], n_objects)
    seeds = range(HELD_OUT_SEED + 10**6 * (1 + KINDS.index(name)), 2**62)
    drawn = (_chosen(name, *_simulated(name, seed), n_objects) for seed in seeds)
    return next(found for found in drawn if len(found.ids) >= min(4, n_objects))


def _simulated(kind: str, seed: int) -> tuple[NDArray[np.uint16], NDArray[np.integer]]:
    batch = random_batch(seed, 1, n_frames=N_FRAMES, shape=(SIDE, SIDE), kinds=[kind])
    return (batch.images[0].numpy() * CAMERA_RANGE).astype(np.uint16), batch.labels[0].numpy()


def _chosen(name: str, images: NDArray[np.uint16], truth: NDArray[np.integer], n: int) -> Scene:
    areas = {i: (truth == i).sum((1, 2)) for i in lasting_ids(truth, 0, N_FRAMES)}
    alive = [i for i, area in areas.items() if (area > 0).sum() >= MIN_FRAMES and not _divides(area)]
    ids = np.random.default_rng(list(name.encode())).permutation(alive)[:n]
    return Scene(name, images, truth, tuple(sorted(int(i) for i in ids)))


def _divides(area: NDArray[np.integer]) -> bool:
    """Whether a cell suddenly has half its area: whose daughter the id goes on with is anybody's guess."""
    seen = area[area > 0]
    return bool((seen[1:] < HALVED * seen[:-1]).any())


class Person:
    """Corrects one session, knows the truth, and keeps account of what was corrected."""

    def __init__(self, scene: Scene, session: Session, act: str) -> None:
        self._scene, self._session, self._act = scene, session, act
        self.corrected = np.zeros((len(scene.truth), len(scene.ids)), bool)
        self._exists = np.stack([(scene.truth == i).any((1, 2)) for i in scene.ids], 1)

    def ious(self) -> Floats:
        """IoU of every mask with its truth, shape (T, objects); NaN where the cell is not there."""
        labels = np.asarray(self._result().labels)
        pairs = [_iou(labels == i, self._scene.truth == i) for i in self._scene.ids]
        return np.asarray(np.where(self._exists, np.stack(pairs, 1), np.nan))

    def _result(self) -> Result:
        result = self._session.result
        assert result is not None
        return result

    def j(self) -> float:
        """Mean over objects of the mean over frames that were not corrected."""
        ious = np.where(self.corrected, np.nan, self.ious())[1:]
        return float(np.mean([np.nanmean(track) for track in ious.T if np.isfinite(track).any()]))

    def correct(self, t: int, k: int) -> None:
        """Give a frame and object its true pixels."""
        object_id = self._scene.ids[k]
        mask = self._scene.truth[t] == object_id
        self._session.correct(object_id, t, mask if mask.any() else None, follow=self._act == "followed")
        self.corrected[t, k] = True

    def lowest(self, values: Floats) -> tuple[int, int]:
        """Frame and object with the lowest value, of those that were neither prompted nor corrected."""
        open_ones = np.where(self.corrected, np.nan, values)
        open_ones[0] = np.nan
        t, k = np.unravel_index(np.nanargmin(open_ones), open_ones.shape)
        return int(t), int(k)

    def column(self, object_id: int) -> int:
        """Of an object in the arrays."""
        return self._scene.ids.index(object_id)

    def queued(self) -> ReviewItem:
        """The first item of the queue."""
        queues = (self._session.queue(sure) for sure in (SURE_IOU, 1.0))
        return next(item for queue in queues for item in queue if item.loss)

    def rightly_absent(self, item: ReviewItem) -> range:
        """Frames of an item, around the one that it shows, on which neither the cell is there nor a mask of it."""
        result, k = self._result(), self.column(item.object_id)
        shown = result.area[:, result.object_ids.index(item.object_id)] > 0
        absent = ~self._exists[:, k] & ~shown
        before = next((t for t in range(item.frame, item.start - 1, -1) if not absent[t]), item.start - 1)
        after = next((t for t in range(item.frame, item.stop) if not absent[t]), item.stop)
        return range(before + 1, after)

    def accept(self, object_id: int, frames: range) -> None:
        """Say that a cell is not there on frames on which it was not found."""
        self._session.approve(object_id, frames.start, frames.stop)

    def predictions(self) -> Floats:
        """The predicted IoU of every mask, (T, objects): 0 where it was not found, NaN where it was not looked for."""
        result = self._result()
        columns = [result.object_ids.index(i) for i in self._scene.ids]
        state = result.state[:, columns]
        found = np.where(state == str(ObjectState.PRESENT), result.predicted_iou[:, columns], 0.0)
        return np.asarray(np.where(state == "", np.nan, found))


def _iou(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> Floats:
    return np.asarray((a & b).sum((1, 2)) / np.maximum((a | b).sum((1, 2)), 1))


def step(person: Person, order: str, rng: np.random.Generator) -> tuple[int, int]:
    """Correct the next mask, or accept that there is none; its frame and object."""
    if order == "queue":
        item = person.queued()
        t, k = item.frame, person.column(item.object_id)
        absent = person.rightly_absent(item)
        if absent:
            person.accept(item.object_id, absent)
            return t, k
    else:
        values = {"truth": person.ious, "prediction": person.predictions}
        t, k = person.lowest(values[order]() if order in values else rng.random(person.corrected.shape))
    person.correct(t, k)
    return t, k


def first_result(scene: Scene, model: str, folder: Path) -> Path:
    """The result of the prompts alone, kept beside the table."""
    place = folder / f"{scene.name}_{len(scene.ids)}.zarr"
    if not place.exists():
        prompts = prompted(scene.truth[0], scene.ids, "box", 0)
        with tempfile.TemporaryDirectory() as recent:
            session = Session(scene.images, prompts, model=model_on_cpu(model), recent=Path(recent))
            session.run()
            session.save(place)
            session.close()
    return place


def curve(scene: Scene, first: Path, model: str, n: int, key: Key) -> Iterator[Row]:
    """Rows of the table: what was corrected, and J after it; the first row is before any correction."""
    _, order, act, seed = key
    with tempfile.TemporaryDirectory() as folder:
        recent = Path(folder) / "recent"
        session = Session.open(first, scene.images, model=model_on_cpu(model), recent=recent)
        session.save_as(Path(folder) / "now.zarr")
        person, rng = Person(scene, session, act), np.random.default_rng(int(seed))
        yield [*key, "0", "", "", "", f"{person.j():.4f}"]
        for k in range(1, n + 1):
            before = person.ious()
            at = step(person, order, rng)
            yield [*key, str(k), str(at[0]), str(scene.ids[at[1]]), f"{before[at]:.3f}", f"{person.j():.4f}"]
        session.close()


def finished(path: Path, n: int) -> dict[Key, list[Row]]:
    """The curves of so many corrections that a table holds."""
    found: dict[Key, list[Row]] = defaultdict(list)
    if path.exists():
        with path.open(newline="") as file:
            for row in list(csv.reader(file))[1:]:
                movie, order, act, seed, *_ = row
                found[movie, order, act, seed].append(row)
    return {key: rows for key, rows in found.items() if len(rows) > n}


def write(path: Path, curves: dict[Key, list[Row]]) -> None:
    """The table."""
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([HEAD, *(row for rows in curves.values() for row in rows)])


def js(curves: dict[Key, list[Row]], movie: str, order: str, act: str) -> Floats:
    """J by the number of corrections, a row for each seed; empty where that was not measured."""
    found = [rows for key, rows in curves.items() if key[:3] == (movie, order, act)]
    return np.array([[float(row[-1]) for row in rows] for rows in found])


def report(curves: dict[Key, list[Row]], n: int, act: str = "followed") -> str:
    """How many corrections each order needs for the J that `n` by chance give."""
    lines = [f"| movie | J before | by chance, {n} | " + " | ".join(o for o in ORDERS if o != "random") + " |"]
    lines.append("|---" * (lines[0].count("|") - 1) + "|")
    for movie in dict.fromkeys(key[0] for key in curves):
        chance = js(curves, movie, "random", act)
        if len(chance):
            goal = chance.mean(0)[n]
            cells = [_needed(js(curves, movie, order, act), goal) for order in ORDERS if order != "random"]
            lines.append(f"| {movie} | {chance[0, 0]:.3f} | {goal:.3f} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _needed(found: Floats, goal: float) -> str:
    if not len(found):
        return ""
    there = np.flatnonzero(found.mean(0) >= goal)
    return f"{there[0]} ({found.mean(0)[-1]:.3f})" if len(there) else f"never ({found.mean(0)[-1]:.3f})"


def plot(curves: dict[Key, list[Row]], path: Path, act: str = "followed") -> None:
    """J by the number of corrections, a panel for each movie; what chance gives with the range of its seeds."""
    movies = [m for m in (*REAL, *SIMULATED) if len(js(curves, m, "queue", act))]
    figure, axes = plt.subplots(1, len(movies), figsize=(2.4 * len(movies), 2.8), layout="constrained", squeeze=False)
    for panel, movie in zip(axes[0], movies, strict=True):
        for order, color in COLORS.items():
            found = js(curves, movie, order, act)
            if len(found):
                k = np.arange(found.shape[1])
                panel.plot(k, found.mean(0), color=color, label=order, marker=".")
                panel.fill_between(k, found.min(0), found.max(0), color=color, alpha=0.2, lw=0)
        panel.set(title=movie, xlabel="corrections")
    axes[0, 0].set_ylabel("J over frames not corrected")
    axes[0, 0].legend(frameon=False)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main() -> None:
    """Measure what is not there yet, print, and write a table and a picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--movies", help=f"names separated by ';': {', '.join((*REAL, *SIMULATED))}")
    parser.add_argument("--orders", help=f"names separated by ';': {', '.join(ORDERS)}")
    parser.add_argument("--acts", help=f"names separated by ';': {', '.join(ACTS)}")
    parser.add_argument("--model", default="nano")
    parser.add_argument("--objects", type=int, default=8, help="of each movie, at most")
    parser.add_argument("--corrections", type=int, default=10)
    parser.add_argument("--out", type=Path, default=Path("corrections"))
    given = parser.parse_args()
    torch.set_num_threads(1)
    given.out.mkdir(parents=True, exist_ok=True)
    table, n = given.out / "corrections.csv", given.corrections
    orders, acts = chosen("--orders", given.orders, ORDERS), chosen("--acts", given.acts, ACTS)
    movies, done = chosen("--movies", given.movies, (*REAL, *SIMULATED)), finished(table, n)
    asked = [(o, a, str(seed)) for o in orders for a in acts for seed in range(N_RANDOM if o == "random" else 1)]
    for name in movies:
        todo = [key for key in ((name, *rest) for rest in asked) if key not in done]
        shown = scene(name, given.objects) if todo else None
        for key in todo:
            assert shown is not None
            done[key] = []
            for row in curve(shown, first_result(shown, given.model, given.out), given.model, n, key):
                done[key].append(row)
                print(*row, sep="\t", flush=True)
            write(table, done)
    sys.stdout.write(report(done, n))
    plot(done, given.out / "corrections.png")


if __name__ == "__main__":
    main()
