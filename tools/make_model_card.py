"""The picture of the model card: where nano fails, on simulated cells.

    python -m tools.make_model_card

For some kinds of cells, the worst of a few held-out ones: after a click, after a box, and some frames after the true
mask. Blue: the truth. Orange: the model's mask.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from skimage.segmentation import find_boundaries
from training.simulator.movies import random_batch

from napari_mosam.core.api import preview, segment
from napari_mosam.core.images.movie import Movie
from napari_mosam.core.masks.raster import inner_points
from napari_mosam.core.masks.region import Region
from napari_mosam.core.model.protocol import Segmenter
from napari_mosam.core.model.registry import load_model
from napari_mosam.core.prompts.collection import BoxPrompt, PointPrompt, Prompt, Prompts

KINDS = ("dic", "phase", "thin", "rods", "membranes")
SEED, N_FRAMES, SIDE, N_MOVIES = 2**41, 9, 224, 3
OUT = Path(__file__).parents[1] / "docs" / "images" / "model_card_failures.png"
COLUMNS = ("click", "box", f"mask + {N_FRAMES - 1} frames")
HALF = 56
Masks = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """One answer: image (Y, X), truth, mask and their IoU."""

    image: NDArray[np.uint16]
    truth: Masks
    found: Masks

    @property
    def iou(self) -> float:
        """Of truth and mask."""
        return float((self.truth & self.found).sum() / max(1, (self.truth | self.found).sum()))


def movies(kind: str) -> Iterator[tuple[NDArray[np.uint16], NDArray[np.int32]]]:
    """Images and truth of held-out movies of one kind."""
    batch = random_batch(SEED, N_MOVIES, n_frames=N_FRAMES, shape=(SIDE, SIDE), kinds=[kind])
    for images, labels in zip(batch.images, batch.labels, strict=True):
        yield (images.numpy() * 65535).astype(np.uint16), labels.numpy()


def whole_cells(truth: NDArray[np.int32]) -> list[int]:
    """Cells away from the border that are there on the first and the last frame."""
    inner = np.unique(truth[0][HALF // 2 : -HALF // 2, HALF // 2 : -HALF // 2])
    edge = np.unique(np.concatenate([truth[0][[0, -1]].ravel(), truth[0][:, [0, -1]].ravel()]))
    areas = np.bincount(truth[0].ravel())
    lasting = np.intersect1d(inner, np.unique(truth[-1]))
    return [int(i) for i in lasting if i and i not in edge and areas[i] >= 60]


def first(model: Segmenter, image: NDArray[np.uint16], truth: Masks, prompt: Prompt) -> Shown:
    """What one prompt gives."""
    result = preview(Movie.open(image), Prompts([prompt]), 0, model=model)
    return Shown(image, truth, result.labels == 1)


def answers(model: Segmenter, images: NDArray[np.uint16], truth: NDArray[np.int32], i: int) -> list[Shown]:
    """A cell after a click, a box and its mask."""
    mask = truth[0] == i
    region = Region.from_mask(mask)
    assert region is not None
    click, box = PointPrompt(1, 0, inner_points(region)[0]), BoxPrompt(1, 0, tuple(map(float, region.box)))
    *_, last = segment(images, Prompts.from_labels(mask.astype(np.uint8)), model=model, direction="forward")
    later = Shown(images[-1], truth[-1] == i, last.labels == 1)
    return [first(model, images[0], mask, click), first(model, images[0], mask, box), later]


def worst(model: Segmenter, kind: str) -> list[Shown]:
    """The cell of a kind with the lowest sum of IoUs."""
    found = [answers(model, *movie, i) for movie in movies(kind) for i in whole_cells(movie[1])[:4]]
    return min(found, key=lambda shown: sum(answer.iou for answer in shown))


def tile(shown: Shown) -> NDArray[np.float64]:
    """The surroundings of the cell (2 HALF, 2 HALF, 3), outlined."""
    y, x = (int(c.mean()) for c in np.nonzero(shown.truth))
    y, x = (min(max(c, HALF), SIDE - HALF) for c in (y, x))
    cut = slice(y - HALF, y + HALF), slice(x - HALF, x + HALF)
    image = shown.image[cut].astype(float)
    rgb = (
        np.stack([np.clip(image / max(1.0, float(np.percentile(image, 99.8))), 0, 1)] * 3, -1).repeat(2, 0).repeat(2, 1)
    )
    for mask, colour in ((shown.truth, (0, 0.85, 1)), (shown.found, (1, 0.45, 0))):
        rgb[find_boundaries(mask[cut].repeat(2, 0).repeat(2, 1), mode="inner")] = colour
    return rgb


def main() -> None:
    """Draw the picture."""
    import matplotlib.pyplot as plt

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="nano")
    parser.add_argument("--out", type=Path, default=OUT)
    given = parser.parse_args()
    model = load_model(given.model, device="cpu")
    figure, axes = plt.subplots(len(KINDS), 3, figsize=(7.5, 2.65 * len(KINDS)), layout="constrained")
    for row, kind in zip(axes, KINDS, strict=True):
        for axis, column, shown in zip(row, COLUMNS, worst(model, kind), strict=True):
            axis.imshow(tile(shown))
            axis.set_title(f"{kind}, {column}:  {shown.iou:.2f}", fontsize=8)
            axis.axis("off")
    figure.savefig(given.out, dpi=90)


if __name__ == "__main__":
    main()
