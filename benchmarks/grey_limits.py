"""What the automatic grey limits are worth, on clean movies and on movies that are spoilt on purpose.

    MOSAM_DATA=... python -m benchmarks.grey_limits --out grey_limits.csv
    MOSAM_DATA=... python -m benchmarks.grey_limits --movies "hela;hela, flash" --limits "old;automatic"

Every movie is made in memory. Objects are prompted with boxes on the first frame that is not spoilt and followed
forward by the shipped model; J is the mean IoU over all objects and frames, 'lost' the part of them below 0.1. Frames
that are spoilt altogether are not scored. 'old' are the 0.5 and 99.8 percentiles of the pixels of 16 frames, which
were the limits before.
"""

import argparse
import csv
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import torch
from numpy.typing import NDArray

from benchmarks.options import chosen
from napari_mosam.core.api import segment
from napari_mosam.core.images.movie import Movie
from napari_mosam.core.model.protocol import Segmenter
from napari_mosam.core.model.registry import load_model
from napari_mosam.core.prompts.collection import BoxPrompt, Prompts

OLD_PERCENTILES, OLD_FRAMES = (0.5, 99.8), 16
LOST = 0.1
Pixels = NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """A movie with its truth.

    Attributes
    ----------
    images, truth : ndarray, shape (T, Y, X)
    ids : tuple of int
        Objects to follow; all are there on the first frame that is not skipped.
    skip : tuple of int
        Frames that show nothing.
    """

    images: Pixels
    truth: Pixels
    ids: tuple[int, ...]
    skip: tuple[int, ...] = field(default=())

    @property
    def first(self) -> int:
        """The prompted frame."""
        return next(t for t in range(len(self.images)) if t not in self.skip)


def real(name: str, ids: tuple[int, ...], n_frames: int, y: slice = slice(None), x: slice = slice(None)) -> Case:
    """The first frames of a part of a real movie."""
    folder = Path(os.environ["MOSAM_DATA"]) / "timelapse" / name
    images, truth = (tifffile.imread(folder / f"{kind}.tif")[:n_frames, y, x] for kind in ("images", "masks"))
    return Case(images, truth, ids)


def hela(n_frames: int = 16) -> Case:
    """Nuclei over a small camera offset: 90 to 4000."""
    case = real("fluo_hela_01", (1, 27, 28, 31, 38), n_frames, slice(130, 386), slice(200, 520))
    return replace(case, images=np.clip(case.images.astype(int) - 32900, 0, None).astype(np.uint16))


def dic() -> Case:
    """DIC on a mid-grey background, 8 bit."""
    return real("dic_hela_01", (5, 11, 23, 27, 32), 12)


CLEAN: dict[str, Callable[[], Case]] = {
    "hela": hela,
    "hela, as stored": lambda: real("fluo_hela_01", (1, 27, 28, 31, 38), 16, slice(130, 386), slice(200, 520)),
    "hela, whole": lambda: real("fluo_hela_01", (5, 27, 52, 78, 125, 220), 12),
    "sim": lambda: real("sim_n2dh_01", (3, 16, 27), 12),
    "dic": dic,
    "c2c12": lambda: real("c2c12_phase", (1, 2, 5, 6), 10),
    "ptk1": lambda: real("ptk1_edge", (1,), 12),
    "microglia": lambda: real("microglia_z_a", (2, 6), 8),
    "yeast a": lambda: _all_lasting(real("yeast_trap_a", (), 5)),
    "yeast b": lambda: _all_lasting(real("yeast_trap_b", (), 5)),
    "davis": lambda: real("davis_car_shadow", (1,), 10),
}


def _all_lasting(case: Case) -> Case:
    ids = [int(i) for i in np.unique(case.truth[0]) if i and all((frame == i).any() for frame in case.truth)]
    return replace(case, ids=tuple(ids))


# --- what spoils a movie ---------------------------------------------------------------------------------------------


def painted(case: Case, where: Pixels, value: float, frames: slice = slice(None)) -> Case:
    """Pixels (Y, X) of some frames set to a value."""
    images = case.images.copy()
    images[frames, where] = value
    return replace(case, images=images)


def disk(case: Case, centre_yx: tuple[float, float], radius: float) -> Pixels:
    """A disk in the frame."""
    y, x = np.mgrid[: case.images.shape[1], : case.images.shape[2]]
    return np.asarray(np.hypot(y - centre_yx[0], x - centre_yx[1]) < radius)


def shown(case: Case, frames: dict[int, Pixels]) -> Case:
    """Whole frames replaced; they are not scored."""
    images = case.images.copy()
    for t, frame in frames.items():
        images[t] = np.clip(frame, 0, np.iinfo(images.dtype).max) if images.dtype.kind == "u" else frame
    return replace(case, images=images, skip=tuple(sorted({*case.skip, *frames})))


def flash(case: Case, *frames: int) -> Case:
    """Over-exposed frames: 12 times as bright over an offset of 30000."""
    noise = np.random.default_rng(0).normal(0, 300, case.images[0].shape)
    return shown(case, {t: case.images[t].astype(float) * 12 + 30000 + noise for t in frames})


def even(case: Case, value: float, *frames: int) -> Case:
    """Frames of one value."""
    return shown(case, {t: np.full(case.images[0].shape, value) for t in frames})


def dark(case: Case, *frames: int) -> Case:
    """Frames with a closed shutter: offset and read noise."""
    noise = np.random.default_rng(0).normal(np.percentile(case.images, 0.5), 4, case.images[0].shape)
    return shown(case, dict.fromkeys(frames, noise))


def registered(case: Case, step_yx: tuple[float, float], fill: float = 0) -> Case:
    """Zeros at the border, where a registration moved the frames by more and more."""
    images = case.images.copy()
    for t, frame in enumerate(images):
        for axis, step in enumerate(step_yx):
            moved = round(step * t)
            border = slice(0, moved) if moved > 0 else slice(frame.shape[axis] + moved, None)
            frame[(border, slice(None)) if axis == 0 else (slice(None), border)] = fill
    return replace(case, images=images)


def hot_pixels(case: Case, share: float, value: float, same: bool = True) -> Case:
    """Single bright pixels, the same in all frames or others in each."""
    rng = np.random.default_rng(0)
    shape = case.images.shape
    where = np.broadcast_to(rng.random(shape[1:]) < share, shape) if same else rng.random(shape) < share
    images = case.images.copy()
    images[where] = (value * rng.uniform(0.3, 1, shape))[where]
    return replace(case, images=images)


def debris(case: Case, centre_yx: tuple[float, float], radius: float, value: float) -> Case:
    """A bright piece with soft edges, which lies still."""
    y, x = np.mgrid[: case.images.shape[1], : case.images.shape[2]]
    soft = value / (1 + np.exp((np.hypot(y - centre_yx[0], x - centre_yx[1]) - radius) / 1.5))
    summed = case.images.astype(float) + soft
    top = np.iinfo(case.images.dtype).max if case.images.dtype.kind == "u" else np.inf
    return replace(case, images=np.clip(summed, 0, top).astype(case.images.dtype))


def dead_rows(case: Case, rows: tuple[int, ...], value: float) -> Case:
    """Camera rows that give one value."""
    where = np.zeros(case.images.shape[1:], bool)
    where[list(rows)] = True
    return painted(case, where, value)


def not_a_number(case: Case) -> Case:
    """Float pixels: rims of NaN, some infinite ones, one frame of nothing but NaN."""
    spoilt = replace(registered(replace(case, images=case.images.astype(np.float32)), (1.5, -1), np.nan))
    spoilt.images[3, 100, 100:110] = np.inf
    return even(spoilt, np.nan, 7)


def negative(case: Case) -> Case:
    """Float pixels, shifted and scaled so that most are negative, with a few wild ones."""
    images = (case.images.astype(np.float32) - 3000) / 700
    images[np.random.default_rng(0).random(images.shape) < 0.006] = -1e4
    return replace(case, images=images)


def eight_bit(case: Case) -> Case:
    """The range of the movie squeezed into 8 bits, so that nuclei reach 60, and some rubbish 255."""
    images = np.clip(case.images / 4000 * 60 + 4, 0, 255).astype(np.uint8)
    return debris(replace(case, images=images), (235, 300), 11, 400)


def twelve_bit(case: Case) -> Case:
    """Nuclei at a fifth of a 12-bit camera's range, and rubbish at its end."""
    images = np.minimum(case.images // 5 + 20, 4095).astype(np.uint16)
    return painted(replace(case, images=images), disk(case, (235, 300), 12), 4095)


def sparse(case: Case, keep: int = 27) -> Case:
    """A dim, noisy background with one nucleus on a field three times as wide: under half a percent."""
    rng = np.random.default_rng(0)
    height, width = case.images.shape[1:]
    images = 100 + rng.normal(0, 8, (len(case.images), 3 * height, 2 * width))
    truth = np.zeros(images.shape, case.truth.dtype)
    for t, frame in enumerate(case.images):
        y, x = np.nonzero(_grown(case.truth[t] == keep, 6))
        images[t, y + height // 2, x + width // 4] = frame[y, x] - 20.0
        y, x = np.nonzero(case.truth[t] == keep)
        truth[t, y + height // 2, x + width // 4] = keep
    return Case(np.clip(images, 0, None).astype(np.uint16), truth, (keep,))


def _grown(mask: Pixels, by: int) -> Pixels:
    from scipy.ndimage import binary_dilation

    return np.asarray(binary_dilation(mask, iterations=by))


def camera(signal: Pixels, seed: int = 1) -> Pixels:
    """Photons of a signal over an offset of 100, with noise."""
    rng = np.random.default_rng(seed)
    counts = 100 + rng.poisson(np.clip(signal, 0, None)) + rng.normal(0, 3, signal.shape)
    return np.clip(counts, 0, 65535).astype(np.uint16)


def under_light(gains: Callable[[int], Pixels], haze: float = 0) -> Case:
    """Twenty frames of nuclei whose light changes from frame to frame."""
    case = real("fluo_hela_01", (1, 27, 28, 31, 38), 20, slice(130, 386), slice(200, 520))
    signal = np.clip(case.images.astype(float) - 33020, 0, None) + haze
    return replace(case, images=camera(signal * gains(len(signal))[:, None, None]))


def fading(to: float) -> Callable[[int], Pixels]:
    """Light that fades evenly."""
    return lambda n: to ** (np.arange(n) / (n - 1))


def shaded() -> Case:
    """A field three times as bright in one corner."""
    case = real("fluo_hela_01", (1, 27, 28, 31, 38), 20, slice(130, 386), slice(200, 520))
    field_yx = 0.5 + np.exp(-(np.hypot(*(np.mgrid[:256, :320] - 20.0)) ** 2) / 2 / 120**2)
    return replace(case, images=camera((np.clip(case.images.astype(float) - 33020, 0, None) + 80) * field_yx))


def short(case: Case, n_frames: int) -> Case:
    """The first frames only."""
    return replace(case, images=case.images[:n_frames], truth=case.truth[:n_frames])


SPOILT: dict[str, Callable[[], Case]] = {
    "hela, flash": lambda: flash(hela(), 8),
    "hela, first frame saturated": lambda: even(hela(), 65535, 0),
    "hela, saturated frame": lambda: even(hela(), 65535, 8),
    "hela, three odd frames": lambda: even(flash(hela(), 4, 5), 0, 11),
    "hela, black frames": lambda: even(hela(), 0, 3, 9),
    "hela as stored, black frames": lambda: even(CLEAN["hela, as stored"](), 0, 3, 9),
    "hela as stored, closed shutter": lambda: dark(CLEAN["hela, as stored"](), 3, 9),
    "hela as stored, rims": lambda: registered(CLEAN["hela, as stored"](), (1, -1.5)),
    "hela as stored, dead rows": lambda: dead_rows(CLEAN["hela, as stored"](), (20, 120), 0),
    "dic, rims": lambda: registered(dic(), (3, 4)),
    "dic, black frame": lambda: even(dic(), 0, 4),
    "dic, bright debris": lambda: painted(dic(), disk(dic(), (40, 470), 22), 255),
    "dic, hot pixels": lambda: hot_pixels(replace(dic(), images=dic().images.astype(np.uint16) * 16), 0.004, 65535),
    "hela, debris": lambda: painted(hela(), disk(hela(), (235, 300), 12), 60000),
    "hela, debris and flash": lambda: flash(painted(hela(), disk(hela(), (235, 300), 12), 60000), 8),
    "hela, soft debris": lambda: debris(hela(), (235, 300), 11, 40000),
    "hela, two soft pieces": lambda: debris(debris(hela(), (235, 300), 12, 30000), (15, 20), 8, 60000),
    "hela, saturated debris": lambda: debris(hela(), (235, 300), 12, 300000),
    "hela, hot pixels": lambda: hot_pixels(hela(), 0.003, 60000),
    "hela, moving hot pixels": lambda: hot_pixels(hela(), 0.005, 60000, same=False),
    "hela, hot rows": lambda: dead_rows(hela(), (20, 120), 65535),
    "hela, NaN": lambda: not_a_number(hela()),
    "hela, negative": lambda: negative(hela()),
    "hela, 8 bit": lambda: eight_bit(hela()),
    "hela, 12 bit": lambda: twelve_bit(hela()),
    "hela, T=2, debris": lambda: painted(short(hela(), 2), disk(hela(), (235, 300), 12), 60000),
    "hela, T=2, black": lambda: even(short(CLEAN["hela, as stored"](), 2), 0, 1),
    "sparse": lambda: sparse(hela()),
    "sparse, hot pixels": lambda: hot_pixels(sparse(hela()), 0.0003, 40000),
    "bleach": lambda: under_light(fading(0.12)),
    "bleach to .3 over haze": lambda: under_light(fading(0.3), 200),
    "bleach, flash": lambda: flash(under_light(fading(0.12)), 9),
    "bleach, black": lambda: even(under_light(fading(0.12)), 0, 9),
    "getting brighter": lambda: under_light(lambda n: fading(0.15)(n)[::-1]),
    "flicker": lambda: under_light(lambda n: np.random.default_rng(1).uniform(0.65, 1.35, n), 60),
    "shading": shaded,
}


# --- measuring -------------------------------------------------------------------------------------------------------


def old_limits(images: Pixels) -> tuple[float, float]:
    """The percentiles that were the limits before."""
    picked = np.unique(np.linspace(0, len(images) - 1, OLD_FRAMES).round().astype(int))
    pixels = images[picked]
    if pixels.ndim == 4:
        pixels = pixels @ np.array([0.299, 0.587, 0.114])
    low, high = np.percentile(pixels[np.isfinite(pixels)], OLD_PERCENTILES, method="nearest")
    return float(low), float(high)


def boxes(case: Case) -> Prompts:
    """A box around every object, a pixel wider than its mask."""
    found = []
    for i in case.ids:
        y, x = np.nonzero(case.truth[case.first] == i)
        found.append(BoxPrompt(i, case.first, (y.min() - 1.0, x.min() - 1.0, y.max() + 1.0, x.max() + 1.0)))
    return Prompts(found)


def ious(case: Case, movie: Movie, model: Segmenter) -> list[float]:
    """IoU of every object on every frame where it is and something can be seen."""
    found = []
    for result in segment(movie, boxes(case), model=model, direction="forward"):
        for i in case.ids if result.t not in case.skip else ():
            mask, truth = result.labels == i, case.truth[result.t] == i
            if truth.any():
                found.append(float((mask & truth).sum() / (mask | truth).sum()))
    return found


def opened(images: Pixels, limits: str) -> Movie:
    """The movie with one kind of limits."""
    axes = "TYXS"[: images.ndim]
    given: Any = {"automatic": None, "old": None, "exact": "exact"}[limits]
    return Movie.open(images, axes=axes, limits=old_limits(images) if limits == "old" else given)


def rows(names: list[str], kinds: list[str], model: Segmenter) -> Iterator[dict[str, Any]]:
    """One row per movie and kind of limits."""
    for name in names:
        case = (CLEAN | SPOILT)[name]()
        for kind in kinds:
            movie = opened(case.images, kind)
            low, high = movie.limits
            scores = np.array(ious(case, movie, model))
            yield {
                "movie": name,
                "limits": kind,
                "low": f"{low:.6g}",
                "high": f"{high:.6g}",
                "J": f"{scores.mean():.3f}",
                "lost %": f"{100 * (scores < LOST).mean():.1f}",
                "said": movie.grey_limits.note(),
            }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--movies", help="such as 'hela;hela, flash', 'clean' or 'spoilt' (default: all)")
    parser.add_argument("--limits", default="old;automatic", help="old, automatic, exact (default: old;automatic)")
    parser.add_argument("--model", default="nano")
    parser.add_argument("--out", type=Path, help="also write a CSV file")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    names = chosen("--movies", arguments.movies, [*CLEAN, *SPOILT], {"clean": [*CLEAN], "spoilt": [*SPOILT]})
    kinds = chosen("--limits", arguments.limits, ["old", "automatic", "exact"])
    table = []
    for row in rows(names, kinds, load_model(arguments.model)):
        table.append(row)
        sys.stdout.write("{movie:32} {limits:10} {low:>9} {high:>9}  J {J}  lost {lost %:>4} %  {said}\n".format(**row))
        sys.stdout.flush()
    if arguments.out:
        with arguments.out.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(table[0]))
            writer.writeheader()
            writer.writerows(table)


if __name__ == "__main__":
    main()
