"""How long is the GUI thread blocked by a stroke, undo, a mark, save and open, beside what napari alone takes?

    xvfb-run -a python -m benchmarks.gui_edits --side 4096

A movie of 4 frames with 30 objects, each marked by its mask and followed by nano without motion. Each gesture is made a
few times; printed is the longest time for which a 5-ms timer of the GUI thread stood still, its median over the
repeats, and until the gesture was whole on disk. 'napari alone' is the same gesture on layers of the user, of the same
size, without a dock.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import napari
import numpy as np

from benchmarks.gui_responsiveness import Heartbeat, wait_until
from napari_mosam.core.config.engine import EngineConfig, MotionConfig
from napari_mosam.core.prompts.collection import MaskPrompt, Prompts
from napari_mosam.core.session.recent import Recent
from napari_mosam.core.session.session import Session
from napari_mosam.widgets import MosamWidget
from napari_mosam.widgets.engine import Engine

Found = tuple[float, float]
N_FRAMES, N_OBJECTS, RADIUS = 4, 30, 30
REPEATS = 5


class Unsaved(Engine):
    """Keeps what is not saved in a folder that goes away."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def session(self, source: Any, settings: Any = None) -> Session:
        """Without motion, which needs most of the time of a run and changes nothing of what is measured."""
        return Session(source.open(), recent=self._folder, config=EngineConfig(motion=MotionConfig.off()))

    def open(self, path: Path, source: Any = None) -> Session:
        """As the engine does."""
        return Session.open(path, None if source is None else source.open(), recent=self._folder)

    def recent(self) -> Recent:
        """Of that folder."""
        return Recent(self._folder)


def movie(side: int) -> tuple[np.ndarray, np.ndarray]:
    """Bright disks that move by a pixel a frame, and their labels."""
    y, x = np.mgrid[-RADIUS : RADIUS + 1, -RADIUS : RADIUS + 1]
    rows, columns = np.nonzero(np.hypot(y, x) <= RADIUS)
    step = (side - 4 * RADIUS) // 6
    labels = np.zeros((N_FRAMES, side, side), np.uint16)
    for t in range(N_FRAMES):
        for k in range(N_OBJECTS):
            labels[t, rows + RADIUS + t + step * (k // 6), columns + RADIUS + step * (k % 6)] = k + 1
    return (labels > 0) * np.uint16(3000) + np.uint16(100), labels


def blocked(gesture: Callable[[], object], done: Callable[[], bool]) -> tuple[float, float]:
    """Longest block, ms, and seconds until `done`, with half a second to settle."""
    begin, whole = time.perf_counter(), 0.0

    def busy() -> bool:
        nonlocal whole
        if not whole and done():
            whole = time.perf_counter()
        return not whole or time.perf_counter() - whole < 0.5

    heart = Heartbeat()
    state = {"begun": False}

    def beat() -> bool:
        if not state["begun"]:
            state["begun"] = True
            gesture()
        return busy()

    late = heart.during(beat)
    return float(late.max()), whole - begin


def report(name: str, found: list[Found]) -> None:
    """A line of the table."""
    blocks, seconds = zip(*found, strict=True)
    print(f"| {name} | {np.median(blocks):.0f} | {max(blocks):.0f} | {np.median(seconds):.2f} |", flush=True)


def stroke(layer: Any, t: int, at: int) -> None:
    """Five touches of a brush of 60 px."""
    layer.brush_size = 60
    with layer.block_history():
        for k in range(5):
            layer.paint((t, at + 5 * k, at + 5 * k), 7)


def napari_alone(viewer: napari.Viewer, images: np.ndarray, labels: np.ndarray) -> None:
    """The same gestures on layers of the user."""
    viewer.add_image(images, name="movie", contrast_limits=(0, 3000))
    layer, points = viewer.add_labels(labels.copy(), name="mine"), viewer.add_points(ndim=3, name="clicks")
    viewer.dims.set_point(0, 2)
    viewer.layers.selection.active = layer
    wait_until(lambda: True)
    more = labels.copy()
    report("a layer of labels, napari alone", [blocked(lambda: viewer.add_labels(more), lambda: True)])
    viewer.layers.selection.active = layer
    strokes, undone, clicked = list[Found](), list[Found](), list[Found]()
    for k in range(1 + REPEATS):
        found = blocked(lambda: stroke(layer, 2, 1000), lambda: True), blocked(layer.undo, lambda: True)
        clicks = blocked(lambda: points.add((2, 500, 500)), lambda: True)
        if k:  # the first of each warms up
            strokes.append(found[0])
            undone.append(found[1])
            clicked.append(clicks)
    for name, figures in (("stroke", strokes), ("undo", undone), ("click", clicked)):
        report(f"{name}, napari alone", figures)
    viewer.layers.clear()


def with_dock(viewer: napari.Viewer, images: np.ndarray, labels: np.ndarray, folder: Path) -> None:
    """The gestures on the layers of a dock."""
    viewer.add_image(images, name="movie", contrast_limits=(0, 3000))
    dock = MosamWidget(viewer, engine=Unsaved(folder / "recent"))
    viewer.window.add_dock_widget(dock, name="MoSAM")
    wait_until(lambda: dock.controls.device.count() > 1)
    marks = Prompts(MaskPrompt.from_frame(i, 0, labels[0] == i) for i in range(1, N_OBJECTS + 1))
    dock.prompts.apply(dock.source, marks)
    dock.prompts.changed = True
    dock.propagate()
    wait_until(lambda: not dock.jobs.busy)
    session = dock.session
    assert session is not None and dock.jobs.view is not None, dock.controls.status.text()
    layer, view = dock.jobs.view.labels, dock.jobs.view.labels_view
    viewer.dims.set_point(0, 2)
    viewer.layers.selection.active = layer
    wait_until(lambda: not view.held)
    points: Any = dock.prompts.points
    n = len(session.history)
    gestures: dict[str, tuple[Callable[[], object], Callable[[], bool]]] = {
        "stroke": (lambda: stroke(layer, 2, 1000), lambda: len(session.history) == n + 1 and not view.held),
        "undo": (dock.undo, lambda: len(session.history) == n),
        "click": (lambda: points.add((2, 500, 500)), lambda: len(session.history) == n + 1),
        "undo of it": (dock.undo, lambda: len(session.history) == n),
    }
    found: dict[str, list[Found]] = {name: [] for name in gestures}
    for k in range(1 + REPEATS):
        for name, (gesture, done) in gestures.items():
            figures = blocked(gesture, done)
            if k:
                found[name].append(figures)
    for name, each in found.items():
        report(name, each)
    place = folder / "saved.zarr"
    report("save", [blocked(lambda: dock.jobs.edit(lambda s: str(s.save(place))), lambda: session.saved)])
    session.close()
    viewer.window.remove_dock_widget(dock)
    viewer.layers.clear()


def opening(viewer: napari.Viewer, images: np.ndarray, folder: Path) -> None:
    """Open a result whose movie is in the viewer."""
    viewer.add_image(images, name="movie", contrast_limits=(0, 3000))
    dock = MosamWidget(viewer, engine=Unsaved(folder / "recent"))
    viewer.window.add_dock_widget(dock, name="MoSAM")
    wait_until(lambda: dock.controls.device.count() > 1)

    def opened() -> bool:
        return dock.session is not None and dock.session.result is not None

    report("open", [blocked(lambda: dock.files.open(folder / "saved.zarr"), opened)])


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=4096)
    images, labels = movie(parser.parse_args().side)
    viewer = napari.Viewer(show=True)
    print("| gesture | longest block, median ms | worst ms | s until on disk |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        napari_alone(viewer, images, labels)
        with_dock(viewer, images, labels, Path(folder))
        viewer.close()
        viewer = napari.Viewer(show=True)
        opening(viewer, images, Path(folder))
        viewer.close()


if __name__ == "__main__":
    main()
