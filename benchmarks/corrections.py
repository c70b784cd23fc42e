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
  of the queue of all that a person has not judged;
- `prediction`: the one with the lowest IoU as the network predicts it, lost frames first;
- `random`: by chance, three times.
"""

import argparse
import csv
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

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
from napari_mosam.core.session.session import Session
from napari_mosam.core.store.result import Result

N_FRAMES, MIN_FRAMES = 40, 30
SIDE = 256
REAL = ("fluo_hela_01", "dic_hela_01", "sim_n2dh_01")
SIMULATED = ("thin", "rods")
ACTS = ("followed", "painted")
ORDERS = ("truth", "queue", "prediction", "random")
N_RANDOM = 3
HALVED = 0.6
"""Of the area on the frame before; a cell that leaves the frame is left out too."""

Floats = NDArray[np.float64]


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

    def queued(self) -> tuple[int, int]:
        """Frame and object that the first item of the queue shows."""
        queues = (self._session.queue(sure) for sure in (SURE_IOU, 1.0))
        shown = next(item for queue in queues for item in queue if item.loss)
        return shown.frame, self._scene.ids.index(shown.object_id)

    def predictions(self) -> Floats:
        """The predicted IoU of every mask, (T, objects): 0 where it was not found, NaN where it was not looked for."""
        result = self._result()
        columns = [result.object_ids.index(i) for i in self._scene.ids]
        state = result.state[:, columns]
        found = np.where(state == str(ObjectState.PRESENT), result.predicted_iou[:, columns], 0.0)
        return np.asarray(np.where(state == "", np.nan, found))


def _iou(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> Floats:
    return np.asarray((a & b).sum((1, 2)) / np.maximum((a | b).sum((1, 2)), 1))


def next_of(person: Person, order: str, rng: np.random.Generator) -> tuple[int, int]:
    """Frame and object of the mask that is corrected next."""
    if order == "queue":
        return person.queued()
    values = {"truth": person.ious, "prediction": person.predictions}
    return person.lowest(values[order]() if order in values else rng.random(person.corrected.shape))


def curves(scene: Scene, model: str, n: int, orders: Sequence[str], acts: Sequence[str]) -> Iterator[list[str]]:
    """Rows of the table: movie, order, seed, act, number of corrections, J."""
    with tempfile.TemporaryDirectory() as folder:
        first = Path(folder) / "first.zarr"
        prompts = prompted(scene.truth[0], scene.ids, "box", 0)
        with_model = model_on_cpu(model)
        session = Session(scene.images, prompts, model=with_model, recent=Path(folder) / "recent")
        session.run()
        session.save(first)
        session.close()
        for order in orders:
            for seed in range(N_RANDOM if order == "random" else 1):
                for act in acts:
                    place = Path(folder) / f"{order}{seed}{act}.zarr"
                    session = Session.open(first, scene.images, model=with_model, recent=Path(folder) / "recent")
                    session.save_as(place)
                    person, rng = Person(scene, session, act), np.random.default_rng(seed)
                    for k in range(n + 1):
                        if k:
                            person.correct(*next_of(person, order, rng))
                        yield [scene.name, order, str(seed), act, str(k), f"{person.j():.4f}"]
                    session.close()


def main() -> None:
    """Measure, print and write a CSV."""
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
    orders, acts = chosen("--orders", given.orders, ORDERS), chosen("--acts", given.acts, ACTS)
    with (given.out / "corrections.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["movie", "order", "seed", "act", "corrections", "j"])
        for name in chosen("--movies", given.movies, (*REAL, *SIMULATED)):
            for row in curves(scene(name, given.objects), given.model, given.corrections, orders, acts):
                writer.writerow(row)
                file.flush()
                print(*row, sep="\t", flush=True)


if __name__ == "__main__":
    main()
