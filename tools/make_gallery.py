"""Make the gallery of simulated movies: one row per kind, `python -m tools.make_gallery` from the repository's root.

Each row shows two movies on their first, middle and last frame, and the last one again with the outlines of its cells.
"""

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from training.simulator.movies import KINDS, random_batch

SIDE, N_FRAMES, GAP, TITLE = 144, 9, 3, 14
IMAGE = Path(__file__).parents[1] / "docs" / "images" / "simulator_gallery.png"
Picture = NDArray[np.uint8]


def outlined(grey: Picture, labels: NDArray[np.int32]) -> Picture:
    """Draw every cell's outline in a colour of its own."""
    colours = np.random.default_rng(1).permutation(
        np.array([[255, 80, 60], [60, 200, 255], [255, 220, 60], [90, 230, 90]])
    )
    edge = np.zeros(labels.shape, bool)
    for axis in (0, 1):
        for step in (1, -1):
            edge |= labels != np.roll(labels, step, axis)
    picture = np.repeat(grey[..., None], 3, axis=-1)
    shown = edge & (labels > 0)
    picture[shown] = colours[labels[shown] % len(colours)]
    return picture


def strip(images: NDArray[np.float32], labels: NDArray[np.int32]) -> list[Picture]:
    """Three frames of a movie, and the last one outlined."""
    grey = np.round(255 * images[[0, len(images) // 2, -1]]).astype(np.uint8)
    plain = [np.repeat(frame[..., None], 3, axis=-1) for frame in grey]
    return [*plain, outlined(grey[-1], labels[-1])]


def row(kind: str, seed: int) -> Picture:
    """Two movies of a kind side by side, under its name."""
    batch = random_batch(seed, 2, n_frames=N_FRAMES, shape=(SIDE, SIDE), kinds=[kind])
    tiles = [t for pair in zip(batch.images.numpy(), batch.labels.numpy(), strict=True) for t in strip(*pair)]
    padded = [np.pad(tile, ((0, GAP), (0, GAP), (0, 0)), constant_values=255) for tile in tiles]
    pictures = np.concatenate(padded, axis=1)
    title = Image.new("RGB", (pictures.shape[1], TITLE), "white")
    ImageDraw.Draw(title).text((2, 1), kind, fill="black")
    return np.concatenate([np.asarray(title), pictures])


def main() -> None:
    """Write the gallery."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=14)
    parser.add_argument("--out", type=Path, default=IMAGE)
    given = parser.parse_args()
    picture = np.concatenate([row(kind, given.seed + k) for k, kind in enumerate(KINDS)])
    Image.fromarray(picture).quantize(128).save(given.out, optimize=True)


if __name__ == "__main__":
    main()
