"""How much of a large movie is read to follow a few objects, and in how much memory?

    MOSAM_DATA=... python -m benchmarks.reading --out build/reading --frames 40

An OME-Zarr image of 4096 x 4096 px x 600 frames, uint16 (20 GB), chunks of 256 px, with a level four times smaller; its
chunks are hard links to those of eight frames of real nuclei, mirrored to that size, which come and go. Beside it the
same as one array without levels, as a TIFF file with a page per frame, and as a dask array, of fewer frames. 30 nuclei
are followed forward from frame 0 with `ram`; each row is a process of its own.

'windows' is what was decoded of the full resolution during the run, 'touched' what the chunks weigh that lie under the
window of an object on any frame, 'overviews' what was decoded of the smaller level for the motion, 'before' what was
decoded before the run for the grey limits, the fingerprint and the comparison of the levels.
"""

import argparse
import csv
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.tasks import lasting_ids, read_timelapse

SIDE, CHUNK, SMALLER = 4096, 256, 4
DISTINCT, N_OBJECTS = 8, 30
KINDS = ("OME-Zarr", "zarr, no levels", "TIFF", "dask")
MEASURED = ("frames", "frames/s", "peak RSS, MB", "windows, MB", "touched, MB", "ratio", "overviews, MB", "before, MB")


@dataclass(slots=True, eq=False)
class Counting:
    """An array that adds up what the chunks weigh that its reads decode."""

    pixels: Any
    chunks: tuple[int, ...]
    decoded: int = 0

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the array."""
        return tuple(self.pixels.shape)

    @property
    def dtype(self) -> Any:
        """Of the array."""
        return self.pixels.dtype

    def __getitem__(self, index: Any) -> Any:
        """Read and count."""
        sizes = []
        for i, n, chunk in zip(index, self.shape, self.chunks, strict=True):
            low, high, _ = (i, i + 1, 1) if isinstance(i, int) else i.indices(n)
            sizes.append(min(-(-high // chunk) * chunk, n) - low // chunk * chunk)
        self.decoded += prod(sizes) * np.dtype(self.dtype).itemsize
        return self.pixels[index]


# --- the movies ------------------------------------------------------------------------------------------------------


def texture() -> tuple[NDArray[Any], NDArray[np.integer]]:
    """Frames (T, SIDE, SIDE) of real nuclei, mirrored side by side, and ids of some on the first of them."""
    images, truth = read_timelapse(Path(os.environ["MOSAM_DATA"]) / "timelapse" / "fluo_hela_01")
    height, width = images.shape[1:]
    frames = np.pad(images[:DISTINCT], ((0, 0), (0, SIDE - height), (0, SIDE - width)), mode="symmetric")
    labels, rng = np.zeros((SIDE, SIDE), np.uint16), np.random.default_rng(0)
    tiles = list(product(range(SIDE // height), range(SIDE // width)))
    ids = lasting_ids(truth, 0, DISTINCT)
    for new, (k, i) in enumerate(zip(rng.integers(len(tiles), size=N_OBJECTS), rng.permutation(ids), strict=False), 1):
        y, x = tiles[k]
        mask = (truth[0] == i)[:: 1 - 2 * (y % 2), :: 1 - 2 * (x % 2)]
        labels[y * height : (y + 1) * height, x * width : (x + 1) * width][mask] = new
    return frames.astype(np.uint16), labels


def shown(t: int) -> int:
    """Which of the frames is shown at `t`: there and back again."""
    return min(t % (2 * DISTINCT - 2), -t % (2 * DISTINCT - 2))


def make_zarr(folder: Path, frames: NDArray[Any], n_frames: int) -> None:
    """An OME-Zarr image of two levels whose later frames are hard links to the first."""
    import zarr

    group = zarr.create_group(str(folder))
    axes = [{"name": "t", "type": "time"}, {"name": "y", "type": "space"}, {"name": "x", "type": "space"}]
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": [{"path": "0"}, {"path": "1"}]}]}
    blocks = frames.reshape(len(frames), SIDE // SMALLER, SMALLER, SIDE // SMALLER, SMALLER)
    for path, pixels in (("0", frames), ("1", blocks.mean((2, 4)).astype(np.uint16))):
        shape, chunks = (n_frames, *pixels.shape[1:]), (1, CHUNK, CHUNK)
        array = group.create_array(path, shape=shape, chunks=chunks, dtype=np.uint16)
        array[: len(pixels)] = pixels
        for t in range(len(pixels), n_frames):
            shutil.copytree(folder / path / "c" / str(shown(t)), folder / path / "c" / str(t), copy_function=os.link)


def make_movies(folder: Path, n_frames: int, n_few: int) -> None:
    """All movies, and the ids of the objects on their first frame, where they are not there yet."""
    import tifffile

    if (folder / "labels.npy").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    frames, labels = texture()
    make_zarr(folder / "movie.zarr", frames, n_frames)
    with tifffile.TiffWriter(folder / "movie.tif", bigtiff=True) as writer:
        for t in range(n_few):
            writer.write(frames[shown(t)], compression="zlib", contiguous=False)
    np.save(folder / "labels.npy", labels)


def open_kind(kind: str, folder: Path) -> Any:
    """What is given to the plug-in."""
    if kind == "OME-Zarr":
        return folder / "movie.zarr"
    if kind == "zarr, no levels":
        return folder / "movie.zarr" / "0"
    if kind == "TIFF":
        return folder / "movie.tif"
    import dask.array as da

    return da.from_zarr(str(folder / "movie.zarr" / "0"))


# --- one row ---------------------------------------------------------------------------------------------------------


def under(window: Any, t: int, chunks: tuple[int, ...]) -> Iterator[tuple[int, int, int]]:
    """Chunks (t, y, x) that lie under a window."""
    rows, columns = window.pixels((SIDE, SIDE))
    _, height, width = chunks
    spans = (range(p.start // n, -(-p.stop // n)) for p, n in ((rows, height), (columns, width)))
    yield from ((t, y, x) for y, x in product(*spans))


def follow(kind: str, folder: Path, n_frames: int, ram: str) -> dict[str, float]:
    """Follow the objects and say what that took."""
    from napari_mosam.core.api import track
    from napari_mosam.core.images.axes import plan_frames
    from napari_mosam.core.images.movie import Movie
    from napari_mosam.core.images.reading import BlockCache, room_for_blocks
    from napari_mosam.core.images.sources import open_source
    from napari_mosam.core.prompts.collection import Prompts

    source = open_source(open_kind(kind, folder))
    counted = [Counting(one.pixels, one.chunks or one.shape) for one in (source, *source.levels)]
    levels = tuple(replace(one, pixels=count) for one, count in zip(source.levels, counted[1:], strict=True))
    source = replace(source, pixels=counted[0], levels=levels)
    plan = plan_frames(kind, source.shape, source.dtype, given="TYX", found=None, channel=None, z=None)
    movie = Movie(source, plan, cache=BlockCache(room_for_blocks(source, plan, ram), bounded=True))
    assert movie.limits and movie.fingerprint and movie.halvings is not None
    before = sum(count.decoded for count in counted)
    chunks, seen = counted[0].chunks, set[tuple[int, int, int]]()
    prompts = Prompts.from_labels(np.load(folder / "labels.npy"))
    earlier, begin = [count.decoded for count in counted], time.perf_counter()

    def note(result: Any, *_: int) -> None:
        seen.update(chunk for o in result.objects for chunk in under(o.window, result.t, chunks))

    out = folder / "out.zarr"
    track(movie, prompts, out=out, overwrite=True, direction="forward", frames=(0, n_frames), progress=note)
    seconds = time.perf_counter() - begin
    windows, *overviews = (count.decoded - less for count, less in zip(counted, earlier, strict=True))
    peak, weight = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, len(seen) * prod(chunks) * 2
    megabytes = [n / 1e6 for n in (peak, windows, weight, sum(overviews), before)]
    figures = n_frames, n_frames / seconds, *megabytes[:3], windows / weight, *megabytes[3:]
    return dict(zip(MEASURED, figures, strict=True))


def main() -> None:
    """Make the movies, run every kind and write a CSV."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("build/reading"))
    parser.add_argument("--kinds", default=";".join(KINDS))
    parser.add_argument("--length", type=int, default=600, help="frames of the OME-Zarr image")
    parser.add_argument("--frames", type=int, default=40, help="frames that are followed")
    parser.add_argument("--few", type=int, default=12, help="frames that are followed of the other kinds")
    parser.add_argument("--ram", default="2GB")
    parser.add_argument("--follow", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.follow:
        print(json.dumps(follow(given.follow, given.out, given.frames, given.ram)))
        return
    make_movies(given.out, given.length, given.few)
    with (given.out / "reading.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ("kind", *MEASURED))
        writer.writeheader()
        for kind in given.kinds.split(";"):
            n_frames = given.frames if kind == "OME-Zarr" else min(given.frames, given.few)
            command = [sys.executable, "-m", "benchmarks.reading", "--out", given.out, "--follow", kind]
            command += ["--frames", str(n_frames), "--ram", given.ram]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            row = {"kind": kind} | {k: round(v, 2) for k, v in json.loads(done.stdout.splitlines()[-1]).items()}
            writer.writerow(row)
            file.flush()
            print(*row.values(), sep="\t", flush=True)


if __name__ == "__main__":
    main()
