"""Does memory grow with the length of the movie?

    python -m benchmarks.memory --frames 50,500,2000 --out memory.csv

Simulated zarr movies (512 px and 8 cells by default) are followed from their first frame; each length runs in a process
of its own and reports its peak resident memory, the results streaming to a zarr on disk.
"""

import argparse
import csv
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def make_movie(path: Path, n_frames: int, side: int, n_cells: int) -> None:
    """Simulate a movie into a zarr array, one chunk per frame, and its first labels beside it."""
    import numpy as np
    import zarr

    from napari_mosam.core.simulation import SimulationConfig, Simulator

    shape = (side, side)
    simulator = Simulator(SimulationConfig(seed=1, n_frames=n_frames, shape=shape, n_cells=n_cells, diameter=40))
    array = zarr.create_array(str(path), shape=(n_frames, *shape), chunks=(1, *shape), dtype="uint16")
    for t in range(n_frames):
        array[t] = simulator.render(t)[0]
    np.save(path.with_suffix(".npy"), simulator.labels(0))


def follow(path: Path, out: Path) -> None:
    """Track every cell of the first frame and print object-frames, seconds and peak memory in MiB."""
    import numpy as np

    from napari_mosam.core.api import track
    from napari_mosam.core.prompts.collection import Prompts

    begin = time.perf_counter()
    result = track(path, Prompts.from_labels(np.load(path.with_suffix(".npy"))), out=out, device="cpu")
    seconds = time.perf_counter() - begin
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(result.n_object_frames, round(seconds, 1), round(peak, 1))


def main() -> None:
    """Run every length and write a CSV."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", default="50,500,2000")
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--cells", type=int, default=8)
    parser.add_argument("--out", type=Path, default=Path("memory.csv"))
    parser.add_argument("--follow", nargs=2, type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.follow:
        follow(*given.follow)
        return
    with given.out.open("w", newline="") as file, tempfile.TemporaryDirectory() as folder:
        writer = csv.writer(file)
        writer.writerow(["frames", "object_frames", "seconds", "peak_rss_mib"])
        for n_frames in map(int, given.frames.split(",")):
            movie = Path(folder) / f"movie_{n_frames}.zarr"
            make_movie(movie, n_frames, given.side, given.cells)
            command = [sys.executable, __file__, "--follow", str(movie), str(movie.with_suffix(".out.zarr"))]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            row = [n_frames, *done.stdout.split()]
            writer.writerow(row)
            file.flush()
            print(*row, sep="\t", flush=True)


if __name__ == "__main__":
    main()
