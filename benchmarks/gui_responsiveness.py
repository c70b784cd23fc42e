"""How long is the GUI thread blocked while a movie is followed?

    xvfb-run -a python -m benchmarks.gui_responsiveness --out gui.csv
    xvfb-run -a python -m benchmarks.gui_responsiveness --frames 12 --side 4096

A 5-ms timer beats in the GUI thread of a real viewer; what a beat comes late by is how long the thread was blocked.
Measured twice over 100 frames of 512 px with 8 cells (with --side, of more px, the movie repeated around them): during
a propagation while the viewer steps along with the results, and without the model while the viewer takes the same
steps at the same pace.
"""

import argparse
import csv
import time
from collections.abc import Callable
from pathlib import Path

import napari
import numpy as np
import torch
from qtpy.QtCore import QEventLoop, Qt, QTimer
from qtpy.QtWidgets import QApplication

from napari_mosam.core.simulation import SimulationConfig, simulate
from napari_mosam.widgets import MosamWidget

BEAT_MS = 5
SIDE, N_CELLS = 512, 8


class Heartbeat:
    """Milliseconds by which the beats of a 5-ms timer came late."""

    def __init__(self) -> None:
        self.late_ms: list[float] = []
        self._last = time.perf_counter()
        self._timer = QTimer()
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._beat)

    def _beat(self) -> None:
        now = time.perf_counter()
        self.late_ms.append(max(0.0, 1000 * (now - self._last) - BEAT_MS))
        self._last = now

    def during(self, busy: Callable[[], bool]) -> np.ndarray:
        """Beat for as long as `busy`."""
        self.late_ms, self._last = [], time.perf_counter()
        self._timer.start(BEAT_MS)
        while busy():  # waits for the next event instead of spinning, as Qt's own loop does
            QApplication.instance().processEvents(QEventLoop.ProcessEventsFlag.WaitForMoreEvents)
        self._timer.stop()
        return np.array(self.late_ms)


def wait_until(done: Callable[[], bool]) -> None:
    """Let Qt work until `done`."""
    while not done():
        QApplication.instance().processEvents()
        time.sleep(0.005)


def prepare(n_frames: int, side: int) -> tuple[napari.Viewer, MosamWidget]:
    """A viewer with a simulated movie of `side` px, a multiple of 512, of which the cells of one corner are seeded."""
    config = SimulationConfig(seed=1, n_frames=n_frames, shape=(SIDE, SIDE), n_cells=N_CELLS, diameter=40)
    movie = simulate(config)
    viewer = napari.Viewer(show=True)
    viewer.window.resize(1200, 900)
    around = side // SIDE
    viewer.add_image(np.tile(movie.images, (1, around, around)), name="cells")
    seeds = np.pad(movie.labels[:1].astype(np.uint16), ((0, 0), (0, side - SIDE), (0, side - SIDE)))
    viewer.add_labels(seeds, name="seeds", visible=False)
    viewer.dims.set_point(0, 0)
    widget = MosamWidget(viewer)
    viewer.window.add_dock_widget(widget, name="MoSAM")
    widget.controls.image.layer = viewer.layers["cells"]
    wait_until(lambda: widget.controls.device.count() > 1)
    widget.seed_from_labels()
    return viewer, widget


def propagate(viewer: napari.Viewer, widget: MosamWidget) -> tuple[np.ndarray, float]:
    """Beats during a run, from the click on the button on, the viewer following it; and its seconds."""
    begin = time.perf_counter()
    shown = -1

    def busy() -> bool:
        nonlocal shown
        if shown < 0:
            shown = 0
            widget.controls.propagate.click()
        elif widget.run is not None and widget.run.done != shown:
            shown = widget.run.done
            viewer.dims.set_point(0, shown - 1)
        return widget.jobs.busy

    return Heartbeat().during(busy), time.perf_counter() - begin


def step_only(viewer: napari.Viewer, n_frames: int, seconds: float) -> np.ndarray:
    """Beats while the viewer takes the same steps without the model."""
    begin = time.perf_counter()
    shown = -1

    def busy() -> bool:
        nonlocal shown
        t = int((time.perf_counter() - begin) / seconds * n_frames)
        if t != shown:
            shown = t
            viewer.dims.set_point(0, min(t, n_frames - 1))
        return t < n_frames

    return Heartbeat().during(busy)


def main() -> None:
    """Measure, print and write a CSV."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=100)
    parser.add_argument("--side", type=int, default=SIDE, help="of a frame, px, a multiple of 512")
    parser.add_argument("--out", type=Path, default=Path("gui.csv"))
    given = parser.parse_args()
    viewer, widget = prepare(given.frames, given.side)
    during, seconds = propagate(viewer, widget)
    with given.out.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["case", "torch_threads", "seconds", "beats", "p50_ms", "p99_ms", "max_ms"])
        for case, late in (("propagation", during), ("steps only", step_only(viewer, given.frames, seconds))):
            figures = [f"{v:.1f}" for v in (*np.percentile(late, (50, 99)), late.max())]
            row = [case, torch.get_num_threads(), f"{seconds:.1f}", len(late), *figures]
            writer.writerow(row)
            print(*row, sep="\t")
    viewer.close()


if __name__ == "__main__":
    main()
