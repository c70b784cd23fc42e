"""Follow cells, correct a frame, take it back, and save: all that the dock does, without a viewer.

Run ``python examples/session_without_a_viewer.py out.zarr`` for a simulated movie, or name your own and a prompts file:
``python examples/session_without_a_viewer.py out.zarr movie.tif prompts.json``.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np

from napari_mosam import BoxPrompt, Session
from napari_mosam.core.simulation import disk_moves


def simulated() -> tuple[Any, list[BoxPrompt]]:
    """A small movie, and a box around its first cell."""
    movie = disk_moves(0, shape=(64, 64), n_frames=4)
    y, x = np.nonzero(movie.labels[0] == 1)
    return movie.images, [BoxPrompt(1, 0, (y.min(), x.min(), y.max(), x.max()))]


def main(out: str, movie: str | None = None, prompts: str | None = None) -> Path:
    """Do it, and return where the result lies."""
    images, marks = simulated() if movie is None or prompts is None else (movie, prompts)
    session = Session(images, marks)
    session.events.frame.connect(lambda result, done, total: print(f"frame {result.t}: {done} of {total}"))

    result = session.run()
    first = session.prompts.object_ids[0]

    # What a person paints is the person's: it is locked, and the object is followed again from there.
    mask = np.asarray(result.labels[2]) == first
    session.correct(first, 2, np.roll(mask, 1, axis=0))
    session.undo()  # whatever was last

    place = session.save(out)  # until here the result lay among the recent ones
    print(f"{place}: {', '.join(session.history)}")
    session.close()
    return place


if __name__ == "__main__":
    main(*sys.argv[1:])
