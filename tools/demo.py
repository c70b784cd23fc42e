"""The demo: follow the nuclei of a real time-lapse and leave labels, a CTC export and a picture in ./demo.

The movie is the scratch assay of the package ndev-sampledata (10 frames, 4 channels: H3342, oblique light, and the
labels of nuclei and cells). The prompts are nuclei of its first label frame; later label frames are not read.
"""

import sys
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray

from napari_mosam.cli import main as cli
from napari_mosam.widgets.sample_data import scratch_assay_path

IMAGE_CHANNEL, LABEL_CHANNEL = 0, 2
MIN_AREA = 30


def without_specks(labels: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Keep the objects of at least ``MIN_AREA`` pixels, numbered from 1."""
    areas = np.bincount(labels.ravel())
    kept = np.flatnonzero(areas >= MIN_AREA)
    kept = kept[kept > 0]
    renumber = np.zeros(len(areas), np.uint16)
    renumber[kept] = np.arange(1, len(kept) + 1)
    return renumber[labels]


def main() -> int:
    """Write the prompts and run ``mosam track`` on them."""
    folder = Path("demo")
    folder.mkdir(exist_ok=True)
    movie = scratch_assay_path()
    prompts = folder / "prompts.tif"
    tifffile.imwrite(prompts, without_specks(tifffile.imread(movie)[LABEL_CHANNEL, 0]), compression="zlib")
    source = ["track", str(movie), "--channel", str(IMAGE_CHANNEL), "--prompts", str(prompts)]
    results = ["--out", "labels.zarr", "--export-ctc", "ctc", "--overlay", "overlay.gif"]
    results[1::2] = [str(folder / name) for name in results[1::2]]
    return cli.main([*source, *results, "--overwrite"])


if __name__ == "__main__":
    sys.exit(main())
