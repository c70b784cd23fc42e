"""A real session on a model without a network, a movie for it, and hands; in a real viewer (run under xvfb-run)."""

from __future__ import annotations

import gc
import threading
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from tests.support.fake_model import FakeSegmenter, disks

from napari_mosam.core.config.engine import EngineConfig, MotionConfig
from napari_mosam.core.config.run import RunConfig
from napari_mosam.core.session.recent import Recent
from napari_mosam.core.session.session import Session
from napari_mosam.widgets import MosamWidget
from napari_mosam.widgets.engine import Engine, ModelChoice
from napari_mosam.widgets.layers.tags import movie_id, tag_of
from napari_mosam.widgets.sessions import sessions_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

QUICK = RunConfig(engine=EngineConfig(motion=MotionConfig.off()))

N = 8
PLACES = [[(20, 20 + t), (44, 40), (20, 36 + t)] for t in range(N)]
"""Middles of three disks with a radius of 6 px: 1 and 3 move to the right, 2 stays."""


@dataclass
class Model(FakeSegmenter):
    """Waits and fails where it is told to."""

    name: str = "nano"
    error: Exception | None = None
    waits: Callable[[], object] = lambda: None

    def encode_image(self, images: Any) -> Any:
        self.waits()
        if self.error is not None:
            raise self.error
        return super().encode_image(images)


class FakeEngine(Engine):
    """The engine with a model without a network, and recent results in a folder of the test.

    `after` is called in the thread of a run after each frame, of which the viewer is told already, with its number.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.model = Model()
        self.after: Callable[[int], object] = lambda t: None
        self.sessions: list[Session] = []
        self.threads: set[str] = set()

    def models(self) -> list[ModelChoice]:
        return [ModelChoice("nano", "nano (built in)"), ModelChoice("tiny", "tiny")]

    def devices(self) -> list[str]:
        return ["cpu"]

    def warm_up(self) -> None:
        pass

    def device_name(self, config: RunConfig) -> str:
        return "cpu"

    def recent(self) -> Recent:
        return Recent(self.folder)

    def session(self, source: Any, settings: RunConfig | None = None) -> Session:
        session = Session(source.open(), model=self.model, recent=self.folder)
        session.settings = settings or QUICK
        return self._watched(session)

    def open(self, path: Path, source: Any = None) -> Session:
        movie = None if source is None else source.open()
        return self._watched(Session.open(path, movie, model=self.model, recent=self.folder))

    def _watched(self, session: Session) -> Session:
        session.events.frame.connect(self._frame_done, priority=-1)  # the last to be told
        self.sessions.append(session)
        return session

    def _frame_done(self, result: Any, done: int, total: int) -> None:
        self.threads.add(threading.current_thread().name)
        self.after(result.t)


@pytest.fixture(scope="module", autouse=True)
def small_heap() -> None:
    """napari collects garbage after every viewer; what is there before a module of tests is not looked at again."""
    for heavy in ("napari._qt.qt_main_window", "napari_mosam.core.session.work", "vispy.app.backends._pyqt6", "pandas"):
        import_module(heavy)
    gc.collect()
    gc.freeze()


@pytest.fixture
def engine(tmp_path: Path) -> FakeEngine:
    return FakeEngine(tmp_path / "recent")


@pytest.fixture
def open_widget(make_napari_viewer: Any, qtbot: Any, engine: FakeEngine) -> Iterator[Callable[..., MosamWidget]]:
    """A function: image array, viewer and its options -> docked widget. Ends every run at the end of the test."""
    widgets: list[MosamWidget] = []

    def opened(
        data: Any,
        *,
        with_engine: Any = engine,
        show: bool = False,
        viewer: Any = None,
        live: bool = False,
        **image: Any,
    ) -> MosamWidget:
        viewer = viewer or make_napari_viewer(show=show)
        if data is not None:
            viewer.add_image(data, name="movie", **image)
        widget = MosamWidget(viewer, engine=with_engine)
        viewer.window.add_dock_widget(widget, name="MoSAM: segment and track")
        widgets.append(widget)
        widget.controls.live.setChecked(live)
        qtbot.waitUntil(lambda: widget.controls.device.count() > 1, timeout=20_000)
        qtbot.waitUntil(lambda: widget.first_use.ready, timeout=120_000)
        if with_engine is engine:
            widget.controls.settings = QUICK
        return widget

    yield opened
    from qtpy.QtCore import QThreadPool

    for widget in widgets:
        widget.shut_down()
        sessions_of(widget.viewer).close()
    with suppress(AssertionError):
        qtbot.waitUntil(lambda: not threads_of_docks(), timeout=10_000)
    assert threads_of_docks() == [], "a thread outlives its dock"
    assert QThreadPool.globalInstance().waitForDone(10_000), "a worker is still running"
    qtbot.wait(20)


def threads_of_docks() -> list[str]:
    """Threads in which docks run or write."""
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("MoSAM")]


@pytest.fixture
def held(engine: FakeEngine) -> Iterator[Held]:
    """Holds a run in frame 2, until it is let go; the viewer was told of frames 0 and 1."""
    hold = Held(engine)
    yield hold
    hold.let_go()


class Held:
    def __init__(self, engine: FakeEngine, after: int = 1) -> None:
        self.after, self._now, self._reached, self._go_on = after, False, threading.Event(), threading.Event()
        engine.after, engine.model.waits = self._done, self._wait

    def _done(self, t: int) -> None:
        self._now = self._now or t == self.after

    def _wait(self) -> None:
        """In the model: no lock of events is held."""
        if self._now:
            self._reached.set()
            self._go_on.wait(10)

    def __bool__(self) -> bool:
        return self._reached.is_set()

    def let_go(self, *_: Any) -> None:
        self._go_on.set()


@pytest.fixture
def movie() -> np.ndarray:
    """Eight frames of 64 x 64 px with three disks, see :func:`truth`."""
    return disks(PLACES, shape=(64, 64), radius=6)[0]


@pytest.fixture
def truth() -> np.ndarray:
    """Labels of the disks: 1 and 3 move to the right, 2 stays below them."""
    return disks(PLACES, shape=(64, 64), radius=6)[1]


def box_around(disk: int, frame: int) -> tuple[float, float, float, float]:
    """y0, x0, y1, x1 of a disk."""
    y, x = PLACES[frame][disk - 1]
    return y - 6.0, x - 6.0, y + 6.0, x + 6.0


class Hands:
    """What a user does, and what they see."""

    def __init__(self, qtbot: Any) -> None:
        self.qtbot = qtbot

    def box(self, widget: MosamWidget, frame: int, y0: float, x0: float, y1: float, x1: float) -> None:
        """Add a rectangle as if drawn with the box tool, in image coordinates of a (T, Y, X) layer."""
        widget.controls.box.click()
        corners = np.array([(frame, y0, x0), (frame, y0, x1), (frame, y1, x1), (frame, y1, x0)], float)
        widget.prompts.shapes.add(corners, shape_type="rectangle")

    def mark(self, widget: MosamWidget, *disk_numbers: int, frame: int = 0) -> None:
        """Draw a box around disks of the movie."""
        for disk in disk_numbers:
            self.box(widget, frame, *box_around(disk, frame))

    def click(self, widget: MosamWidget, frame: int, y: float, x: float, sign: str = "+") -> None:
        """Add a point as if clicked with the tool of that sign."""
        (widget.controls.plus if sign == "+" else widget.controls.minus).click()
        widget.prompts.points.add((frame, y, x))

    def run(self, widget: MosamWidget) -> np.ndarray:
        """Press Track, wait, and return the labels."""
        widget.controls.propagate.click()
        self.finish(widget)
        return self.shown(widget)

    def start(self, widget: MosamWidget, held: Held) -> None:
        """Press Track and wait until the run is held and the viewer knows of that frame."""
        widget.controls.propagate.click()
        self.qtbot.waitUntil(lambda: bool(held) and held.after in widget.run.frames, timeout=10_000)
        self.qtbot.waitUntil(lambda: not widget.jobs.waits, timeout=10_000)  # layers are seen in a later turn

    def finish(self, widget: MosamWidget, timeout: int = 20_000) -> None:
        self.qtbot.waitUntil(lambda: not widget.jobs.busy, timeout=timeout)
        self.settle(widget)

    def settle(self, widget: MosamWidget) -> None:
        """Wait until all that was marked and painted is in the session, and the viewer shows it."""
        self.qtbot.wait(1)  # what was posted from other threads comes
        self.qtbot.waitUntil(lambda: not self.busy(widget), timeout=20_000)
        self.qtbot.wait(1)

    def busy(self, widget: MosamWidget) -> bool:
        view = widget.jobs.view
        return widget.jobs._edits.busy or widget.jobs.waits or (view is not None and bool(view._strokes._dirty))

    def undo(self, widget: MosamWidget) -> None:
        widget.controls.result.undo.click()
        self.settle(widget)

    def redo(self, widget: MosamWidget) -> None:
        widget.controls.result.redo.click()
        self.settle(widget)

    def paint(self, widget: MosamWidget, frame: int, where: Any, object_id: int) -> None:
        """Set pixels of a frame of the labels, as a brush does, and wait until they are in the result."""
        layer = self.labels(widget)
        rows, columns = np.nonzero(where)
        layer.data_setitem((np.full(len(rows), frame), rows, columns), object_id)
        self.settle(widget)

    def shown(self, widget: MosamWidget) -> np.ndarray:
        """What the labels layer shows, all frames."""
        return np.asarray(self.labels(widget).data[...])

    def stored(self, widget: MosamWidget) -> np.ndarray:
        """The labels of the result."""
        return np.asarray(widget.session.result.labels[:])

    def labels(self, widget: MosamWidget) -> Any:
        return self.layer(widget, "labels")

    def layer(self, widget: MosamWidget, role: str) -> Any:
        movie = movie_id(widget.controls.image.layer)
        tags = ((layer, tag_of(layer)) for layer in widget.viewer.layers)
        return next((layer for layer, t in tags if t and t.role == role and t.movie in ("", movie)), None)

    def says(self, widget: MosamWidget) -> str:
        return widget.controls.status.text()


@pytest.fixture
def hands(qtbot: Any) -> Hands:
    return Hands(qtbot)


@pytest.fixture
def after_a_run(open_widget: Any, movie: np.ndarray, hands: Hands) -> Callable[..., tuple[MosamWidget, Any]]:
    """A function: a widget in which disks were followed, by default the first, and its layer of labels."""

    def run(*disk_numbers: int, **options: Any) -> tuple[MosamWidget, Any]:
        widget = open_widget(movie, **options)
        hands.mark(widget, *disk_numbers or (1,))
        hands.run(widget)
        return widget, hands.labels(widget)

    return run
