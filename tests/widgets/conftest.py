"""A fake engine and helpers for tests in a real viewer (run them under xvfb-run)."""

from __future__ import annotations

import gc
import threading
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from napari_mosam.core.images.grey.limits import GreyLimits
from napari_mosam.core.masks.label_frames import label_dtype
from napari_mosam.core.results.frame import Cue, FrameResult, ObjectResult, ObjectScores, ObjectState
from napari_mosam.core.windows.window import Window
from napari_mosam.widgets import MosamWidget
from napari_mosam.widgets.engine import Engine, ModelChoice
from napari_mosam.widgets.layers.scratch_store import ScratchStore
from napari_mosam.widgets.layers.tags import movie_id, tag_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from napari_mosam.core.config.run import RunConfig
    from napari_mosam.core.runs.request import RunRequest


def frame_result(
    t: int, ids: list[int], shape: tuple[int, int] = (64, 64), flow: bool = True, right: int = 0
) -> FrameResult:
    """Every object is a 6 x 6 square in a row, which moves down with time, `right` px to the right of the first."""
    labels = np.zeros(shape, label_dtype(max(ids, default=0)))
    objects = []
    for row, object_id in enumerate(ids):
        y, x = 2 + t, 4 + 10 * row + right
        labels[y : y + 6, x : x + 6] = object_id
        item = ObjectResult(
            object_id=object_id,
            direction="forward",
            state=ObjectState.PRESENT,
            window=Window.square((y + 2.5, x + 2.5), 30),
            logits=np.zeros((32, 32), np.float32),
            scores=ObjectScores(0.9, 3.0, consistency=1.0),
            area=36,
            box=(y, x, y + 5, x + 5),
            cues=(Cue("flow", (1.0, 0.0), 1.0, used=True),),
            remembered=True,
        )
        objects.append(item)
    field_ = np.full((2, *shape), 2.0, np.float32) if flow else None
    return FrameResult(t, "forward", labels, (labels > 0).astype(np.float32) * 0.9, tuple(objects), field_)


def changed(item: ObjectResult, said: dict[str, Any]) -> ObjectResult:
    """A result with other fields, or other scores."""
    scores = {name: value for name, value in said.items() if name in ObjectScores.__slots__}
    rest = {name: value for name, value in said.items() if name not in scores}
    return replace(item, scores=replace(item.scores, **scores), **rest)


@dataclass
class FakeEngine:
    """Yields `frame_result`s, `right` px to the right; `before` is called in the worker thread before each frame.

    `doubt` changes what is said of an object on a frame: it is given both, and returns what is new in its result.
    """

    before: Callable[[int], None] = lambda t: None
    error: Exception | None = None
    right: int = 0
    doubt: Callable[[int, int], dict[str, Any]] = lambda object_id, t: {}
    yielded: list[int] = field(default_factory=list)
    prompts: Any = None
    config: Any = None
    source: Any = None
    threads: set[str] = field(default_factory=set)

    def models(self) -> list[ModelChoice]:
        return [ModelChoice("nano", "nano (built in)"), ModelChoice("tiny", "tiny")]

    def devices(self) -> list[str]:
        return ["cpu"]

    def warm_up(self) -> None:
        pass

    def device_name(self, request: Any) -> str:
        return "cpu"

    def request(self, source: Any, prompts: Any, config: RunConfig) -> RunRequest:
        self.source, self.prompts, self.config = source, prompts, config
        return Engine().request(source, prompts, config)

    def preview_request(self, source: Any, prompts: Any, frame: int, config: RunConfig) -> RunRequest:
        self.source, self.config = source, config
        request = Engine().preview_request(source, prompts, frame, config)
        self.prompts = request.prompts
        return request

    def grey_limits(self, movie: Any) -> GreyLimits:
        return GreyLimits(120.0, 3500.0, left_out=(3,))

    def forget(self, image: Any) -> None:
        pass

    def segment(self, request: RunRequest) -> Iterator[FrameResult]:
        for t in range(request.start, request.stop):
            self.before(t)
            if self.error is not None:
                raise self.error
            self.threads.add(threading.current_thread().name)
            self.yielded.append(t)
            ids, shape_yx = list(request.prompts.object_ids), request.movie.frame_shape
            yield self._doubted(frame_result(t, ids, shape_yx, right=self.right))

    def preview(self, request: RunRequest, frame: int) -> FrameResult:
        return self._doubted(frame_result(frame, sorted(request.prompts.at(frame)), request.movie.frame_shape))

    def _doubted(self, result: FrameResult) -> FrameResult:
        objects = tuple(changed(item, self.doubt(item.object_id, result.t)) for item in result.objects)
        gone = [item.object_id for item in objects if not item.area]
        labels = np.where(np.isin(result.labels, gone), 0, result.labels).astype(result.labels.dtype)
        return replace(result, objects=objects, labels=labels)


@pytest.fixture(scope="module", autouse=True)
def small_heap() -> None:
    """napari collects garbage after every viewer; what was there before a module of tests is not looked at again."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
def open_widget(
    make_napari_viewer: Any, qtbot: Any, tmp_path: Any, engine: FakeEngine, monkeypatch: Any
) -> Iterator[Callable[..., MosamWidget]]:
    """A function: image array, viewer and its options -> docked widget. Ends every run at the end of the test."""
    monkeypatch.setattr("napari_mosam.widgets.layers.scratch_store.default_root", lambda: tmp_path / "cache")
    widgets: list[MosamWidget] = []

    def opened(
        data: Any, *, with_engine: Any = engine, show: bool = False, viewer: Any = None, **image: Any
    ) -> MosamWidget:
        viewer = viewer or make_napari_viewer(show=show)
        if data is not None:
            viewer.add_image(data, name="movie", **image)
        widget = MosamWidget(viewer, engine=with_engine, session=ScratchStore(tmp_path / "sessions"))
        viewer.window.add_dock_widget(widget, name="MoSAM: segment and track")
        widgets.append(widget)
        qtbot.waitUntil(lambda: widget.controls.device.count() > 1, timeout=20_000)
        return widget

    yield opened
    from qtpy.QtCore import QThreadPool

    for widget in widgets:
        widget.runner.stop()
    assert QThreadPool.globalInstance().waitForDone(10_000), "a worker is still running"
    qtbot.wait(20)


@pytest.fixture
def movie() -> np.ndarray:
    """Ten frames of 64 x 64 px."""
    return np.random.default_rng(0).integers(0, 4000, (10, 64, 64)).astype(np.uint16)


class Hands:
    """What a user does, and what they see."""

    def __init__(self, qtbot: Any) -> None:
        self.qtbot = qtbot

    def box(self, widget: MosamWidget, frame: int, y0: float, x0: float, y1: float, x1: float) -> None:
        """Add a rectangle as if drawn with the box tool, in image coordinates of a (T, Y, X) layer."""
        widget.controls.box.click()
        corners = np.array([(frame, y0, x0), (frame, y0, x1), (frame, y1, x1), (frame, y1, x0)], float)
        widget.prompts.shapes.add(corners, shape_type="rectangle")

    def click(self, widget: MosamWidget, frame: int, y: float, x: float, sign: str = "+") -> None:
        """Add a point as if clicked with the tool of that sign."""
        (widget.controls.plus if sign == "+" else widget.controls.minus).click()
        widget.prompts.points.add((frame, y, x))

    def run(self, widget: MosamWidget) -> np.ndarray:
        """Press Propagate, wait, and return the labels."""
        widget.controls.propagate.click()
        self.finish(widget)
        return np.asarray(self.labels(widget).data[:])

    def finish(self, widget: MosamWidget, timeout: int = 20_000) -> None:
        self.qtbot.waitUntil(lambda: not widget.runner.busy, timeout=timeout)

    def labels(self, widget: MosamWidget) -> Any:
        return self.layer(widget, "labels")

    def layer(self, widget: MosamWidget, role: str) -> Any:
        movie = movie_id(widget.controls.image.layer)
        tags = ((layer, tag_of(layer)) for layer in widget.viewer.layers)
        return next((layer for layer, t in tags if t and t.role == role and t.movie in ("", movie)), None)


@pytest.fixture
def hands(qtbot: Any) -> Hands:
    return Hands(qtbot)


@pytest.fixture
def make_result() -> Callable[..., FrameResult]:
    return frame_result
