"""A person's way through the dock, with true mouse and key events: how many gestures, and how long napari stands still.

    MOSAM_DATA=... xvfb-run -a -s "-screen 0 1600x1000x24" python -m benchmarks.gui_user --movie dic_hela_01
    xvfb-run -a -s "-screen 0 1600x1000x24" python -m benchmarks.gui_user --movie simulated

From the open movie: the dock, five boxes, a run, three corrections (a box, a stroke, an absence), a swap of two ids,
a deletion, its undo, saving, and opening again in a viewer that holds nothing. A gesture is what a hand does without a
pause: a click, a drag, a key, a choice of a frame in the slider, a name that is typed. For each step: gestures, seconds
until it was done, and the longest and the 99th percentile of the times for which a 10-ms timer of the GUI thread stood
still, less what that thread waited for a core (Linux tells), and of the times in which it computed itself: what is
between the two it waited for others, above all for a thread that kept the interpreter. At the end the same for napari
without a dock, see `benchmarks.gui_alone`.
"""

import argparse
import csv
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import napari
import numpy as np
import tifffile
from numpy.typing import NDArray
from qtpy.QtCore import QEventLoop, QPoint, Qt, QTimer
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QWidget

from benchmarks.tasks import lasting_ids, read_timelapse
from napari_mosam.core.session.recent import Recent
from napari_mosam.core.session.session import Session
from napari_mosam.core.simulation import SimulationConfig, simulate
from napari_mosam.widgets import MosamWidget
from napari_mosam.widgets.engine import Engine
from napari_mosam.widgets.files import questions

HEAD = ["step", "gestures", "seconds", "longest, ms", "p99, ms", "longest own, ms", "p99 own, ms"]
BEAT_MS = 10
N_CELLS, N_FRAMES = 5, 12
LEFT, NO_KEY = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
CONTROL = Qt.KeyboardModifier.ControlModifier
PATIENCE_S = 120.0
"""A step that is not done by then has failed."""


class OwnRecent(Engine):
    """The engine of the dock; what is not saved lies in a folder that goes away."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def session(self, source: Any, settings: Any = None) -> Session:
        """As the engine does."""
        return Session(source.open(), recent=self._folder)

    def open(self, path: Path, source: Any = None) -> Session:
        """As the engine does."""
        return Session.open(path, None if source is None else source.open(), recent=self._folder)

    def recent(self) -> Recent:
        """Of that folder."""
        return Recent(self._folder)


@dataclass
class Step:
    """What a step took."""

    name: str
    gestures: list[str] = field(default_factory=list)
    seconds: float = 0.0
    late_ms: list[float] = field(default_factory=list)
    own_ms: list[float] = field(default_factory=list)

    def row(self) -> list[str]:
        """Of the table."""
        figures = [f(ms or [0.0]) for ms in (self.late_ms, self.own_ms) for f in (max, partial(np.percentile, q=99))]
        return [self.name, str(len(self.gestures)), f"{self.seconds:.1f}", *(f"{value:.0f}" for value in figures)]


class Hand:
    """Does gestures in a viewer and keeps account of them."""

    def __init__(self, viewer: napari.Viewer) -> None:
        self.viewer = viewer
        self.steps: list[Step] = []
        self._timer, self._last = QTimer(), (0.0, 0.0, 0.0)
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._beat)

    @property
    def canvas(self) -> QWidget:
        """On which it clicks."""
        native: QWidget = self.viewer.window._qt_viewer.canvas.native
        return native

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Count and time what is done within."""
        self.steps.append(Step(name))
        self._last, begin = _clocks(), time.perf_counter()
        self._timer.start(BEAT_MS)
        yield
        self.pump(0.05)
        self._timer.stop()
        self.steps[-1].seconds = time.perf_counter() - begin

    def _beat(self) -> None:
        now = _clocks()
        waited, own, queued = (1000 * (a - b) for a, b in zip(now, self._last, strict=True))
        self.steps[-1].late_ms.append(max(0.0, waited - queued - BEAT_MS))
        self.steps[-1].own_ms.append(own)
        self._last = now

    def pump(self, seconds: float) -> None:
        """Let Qt work."""
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            QApplication.instance().processEvents(QEventLoop.ProcessEventsFlag.AllEvents, 10)
            time.sleep(0.001)

    def until(self, done: Callable[[], bool]) -> None:
        """Let Qt work until something is done."""
        end = time.perf_counter() + PATIENCE_S
        while not done():
            self.pump(0.02)
            if time.perf_counter() > end:
                raise TimeoutError(self.steps[-1].name)

    def press(self, button: QWidget, words: str = "", modifier: Any = NO_KEY) -> None:
        """Click a button of the dock."""
        self._did(words or f"button {getattr(button, 'text', str)()}")
        QTest.mouseClick(button, LEFT, modifier, button.rect().center())
        self.pump(0.05)

    def key(self, key: Qt.Key, modifier: Any = NO_KEY) -> None:
        """Press a key with the mouse over the canvas."""
        self._did(f"key {key.name}")
        QTest.keyClick(self.canvas, key, modifier)
        self.pump(0.05)

    def frame(self, t: int) -> None:
        """Choose a frame in the slider."""
        self._did(f"frame {t}")
        self.viewer.dims.set_point(0, t)
        self.pump(0.05)

    def drag(self, *yx: tuple[float, float], words: str = "drag") -> None:
        """Press at a place of the frame, move on, and let go."""
        self._did(words)
        places = [self._place(one) for one in yx]
        QTest.mouseMove(self.canvas, places[0])
        self.pump(0.03)
        QTest.mousePress(self.canvas, LEFT, NO_KEY, places[0])
        for place in places[1:]:
            QTest.mouseMove(self.canvas, place)
            self.pump(0.03)
        QTest.mouseRelease(self.canvas, LEFT, NO_KEY, places[-1])
        self.pump(0.05)

    def row(self, table: Any, row: int, modifier: Any = NO_KEY) -> None:
        """Click a row of the table."""
        self._did(f"row {row}")
        place = table.visualRect(table.model().index(row, 0)).center()
        QTest.mouseClick(table.viewport(), LEFT, modifier, place)
        self.pump(0.1)

    def _did(self, words: str) -> None:
        self.steps[-1].gestures.append(words)

    def _place(self, yx: tuple[float, float]) -> QPoint:
        canvas = self.viewer.window._qt_viewer.canvas
        height, width = canvas.size
        ys = [canvas._map_canvas2world((0, y), canvas.view)[-2] for y in (0, height)]
        xs = [canvas._map_canvas2world((x, 0), canvas.view)[-1] for x in (0, width)]
        return QPoint(
            round((yx[1] - xs[0]) / (xs[1] - xs[0]) * width), round((yx[0] - ys[0]) / (ys[1] - ys[0]) * height)
        )


def _clocks() -> tuple[float, float, float]:
    """Seconds of the day, of this thread's own computing, and in which it waited for a core."""
    schedule = Path(f"/proc/self/task/{threading.get_native_id()}/schedstat")
    queued = int(schedule.read_text().split()[1]) / 1e9 if schedule.is_file() else 0.0
    return time.perf_counter(), time.thread_time(), queued


def scene(name: str, side: int, n_cells: int) -> tuple[NDArray[Any], NDArray[np.integer]]:
    """Frames and truth (T, Y, X) of a real movie or a simulated one."""
    if name == "simulated":
        asked = SimulationConfig(seed=1, n_frames=N_FRAMES, shape=(side, side), n_cells=n_cells, diameter=side / 25)
        movie = simulate(asked)
        return movie.images, movie.labels
    images, truth = read_timelapse(Path(os.environ["MOSAM_DATA"]) / "timelapse" / name)
    return images[:N_FRAMES], truth[:N_FRAMES]


def box_of(mask: NDArray[np.bool_]) -> tuple[tuple[float, float], tuple[float, float]]:
    """Two corners."""
    ys, xs = np.nonzero(mask)
    return (float(ys.min()), float(xs.min())), (float(ys.max()), float(xs.max()))


def walk(
    hand: Hand, dock: MosamWidget, truth: NDArray[np.integer], shots: Path | None, *, seeded: bool = False
) -> None:
    """Everything up to saving; `seeded`: all cells of the labels layer that is there are followed, not five boxes."""
    ids = [i for i in lasting_ids(truth, 0, len(truth)) if all((frame == i).any() for frame in truth)][:N_CELLS]
    controls, jobs = dock.controls, dock.jobs

    def look(name: str) -> None:
        if shots is not None:
            hand.pump(0.3)
            hand.viewer.screenshot(str(shots / f"{len(hand.steps)}_{name}.png"), canvas_only=False, flash=False)

    def session() -> Any:
        assert jobs.session is not None and jobs.session.result is not None
        return jobs.session

    def idle() -> bool:
        return not jobs.busy and not jobs.waits and not (jobs.session is not None and jobs.session.busy)

    def run() -> None:
        hand.press(controls.propagate)
        hand.until(idle)

    with hand.step("all cells of a labels layer" if seeded else "five boxes"):
        if seeded:
            hand.press(controls.seed)
            hand.until(lambda: not jobs.waits)
        else:
            hand.press(controls.box)
            for i in ids:
                hand.drag(*box_of(truth[0] == i), words=f"box {i}")
    with hand.step("previews of them"):
        hand.until(lambda: idle() and not jobs.live.busy and (seeded or len(jobs.live.outlined) == len(ids)))
    look("boxes")
    with hand.step("run"):
        run()
    look("run")
    with hand.step("correction: a box on a later frame"):
        hand.frame(5)
        if seeded:
            hand.press(controls.box)
        hand.drag(*box_of(truth[5] == ids[0]), words="box")
        run()
    assert controls.object_id.value() == (ids[0] if seeded else 1)
    look("box")
    with hand.step("correction: a stroke"):
        hand.frame(7)
        layer: Any = jobs.view.labels if jobs.view is not None else None
        hand.viewer.layers.selection.active = layer
        hand.steps[-1].gestures += ["labels layer", "brush"]
        layer.selected_label, layer.mode, layer.brush_size = 2, "paint", 9
        (top, left), (bottom, right) = box_of(truth[7] == ids[1])
        middle = (top + bottom) / 2
        hand.drag((middle, left + 2), (middle, (left + right) / 2), (middle, right - 2), words="stroke")
        hand.until(idle)
        run()
    look("stroke")
    with hand.step("correction: not here"):
        hand.steps[-1].gestures.append("unfold the table")
        controls.objects.box.expand(animate=False)
        hand.pump(0.3)
        hand.frame(len(truth) - 2)
        hand.row(controls.objects.table, 2)
        hand.key(Qt.Key.Key_Q)
        hand.until(lambda: idle() and 3 not in session().result.labels[len(truth) - 2])
    look("not_here")
    was = np.asarray(session().result.labels[8])
    with hand.step("swap of two ids"):
        hand.frame(6)
        hand.row(controls.objects.table, 3)
        hand.row(controls.objects.table, 4, CONTROL)
        hand.press(controls.objects.swap)
        hand.until(lambda: idle() and not np.array_equal(session().result.labels[8], was))
    look("swap")
    now = np.asarray(session().result.labels[8])
    assert np.array_equal(now == 4, was == 5) and np.array_equal(now == 5, was == 4)
    with hand.step("delete"):
        hand.row(controls.objects.table, 1)
        hand.press(controls.objects.delete)
        hand.until(lambda: idle() and 2 not in session().result.labels[8])
    with hand.step("undo"):
        hand.key(Qt.Key.Key_Z, CONTROL)
        hand.until(lambda: idle() and 2 in session().result.labels[8])
    look("undo")
    assert np.array_equal(session().result.labels[8], now)
    with hand.step("save"):
        hand.press(controls.result.save)
        hand.until(lambda: idle() and session().saved)
    look("saved")


def _result(dock: MosamWidget) -> Any:
    assert dock.session is not None and dock.session.result is not None
    return dock.session.result


def reopen(hand: Hand, dock: MosamWidget, folder: Path, engine: Engine) -> None:
    """Open what was saved in a viewer that holds nothing, and export it."""
    saved = np.asarray(_result(dock).labels)
    hand.viewer.close()
    viewer = napari.Viewer(show=True)
    viewer.window.resize(1280, 720)
    questions.result_to_open = lambda *_: folder / "saved.zarr"
    questions.movie_to_open = lambda *_: folder / "movie.tif"
    hand.viewer = viewer
    dock = MosamWidget(viewer, engine)
    viewer.window.add_dock_widget(dock, name="MoSAM")
    hand.pump(1.0)
    with hand.step("open again"):
        hand.press(dock.controls.result.open)
        hand.until(lambda: dock.session is not None and dock.session.result is not None and not dock.jobs.busy)
        hand.until(lambda: "Opened" in dock.controls.status.text() and not dock.jobs.waits)
    assert np.array_equal(_result(dock).labels, saved)
    with hand.step("export"):
        hand.steps[-1].gestures += ["File > Save", "name"]
        assert dock.session is not None
        dock.session.export(folder / "ctc")
    viewer.close()


def add_movie_options(parser: argparse.ArgumentParser) -> None:
    """Which movie."""
    parser.add_argument("--movie", default="simulated", help="'simulated', or a movie of MOSAM_DATA")
    parser.add_argument("--side", type=int, default=512, help="of the simulated movie, px")
    parser.add_argument("--cells", type=int, default=20, help="of the simulated movie")


def print_steps(steps: list[Step], out: Path | None = None) -> None:
    """What the steps took; into a CSV too, where one is asked for."""
    rows = [HEAD, *(step.row() for step in steps)]
    if out is not None:
        with out.open("w", newline="") as file:
            csv.writer(file).writerows(rows)
    for row, gestures in zip(rows, [[], *(step.gestures for step in steps)], strict=True):
        print(*row, *gestures, sep="\t")


def main() -> None:
    """Walk, print and write a CSV."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_movie_options(parser)
    parser.add_argument("--seeded", action="store_true", help="follow all cells of the simulated movie, not five")
    parser.add_argument("--shots", type=Path, help="folder for pictures of the steps")
    parser.add_argument("--out", type=Path, default=Path("gui_user.csv"))
    given = parser.parse_args()
    if given.shots is not None:
        given.shots.mkdir(parents=True, exist_ok=True)
    images, truth = scene(given.movie, given.side, given.cells)
    with tempfile.TemporaryDirectory() as folder:
        viewer = napari.Viewer(show=True)
        viewer.window.resize(1280, 720)
        tifffile.imwrite(Path(folder) / "movie.tif", images, photometric="minisblack", metadata={"axes": "TYX"})
        viewer.open(Path(folder) / "movie.tif", plugin="napari", name=given.movie)
        viewer.dims.set_point(0, 0)
        hand, engine = Hand(viewer), OwnRecent(Path(folder) / "recent")
        hand.pump(1.0)
        with hand.step("open the dock"):
            dock = MosamWidget(viewer, engine)
            viewer.window.add_dock_widget(dock, name="MoSAM")
            hand.steps[-1].gestures.append("menu")
            hand.until(lambda: dock.controls.device.count() > 1)
        questions.place_to_save = lambda *_: Path(folder) / "saved.zarr"  # a dialog of the system cannot be driven
        if given.seeded:
            viewer.add_labels(truth[:1].astype(np.uint16), name="truth", visible=False)
            viewer.layers.selection.active = viewer.layers[given.movie]
            viewer.dims.set_point(0, 0)
        hand.pump(5.0)
        walk(hand, dock, truth, given.shots, seeded=given.seeded)
        reopen(hand, dock, Path(folder), engine)
        print_steps(hand.steps, given.out)
    movie = ["--movie", given.movie, "--side", str(given.side), "--cells", str(given.cells)]
    print("\nnapari without a dock", flush=True)
    subprocess.run([sys.executable, "-m", "benchmarks.gui_alone", *movie], check=True)


if __name__ == "__main__":
    main()
