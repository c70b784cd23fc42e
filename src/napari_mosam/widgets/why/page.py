"""The page 'Why': asks the session about the object in hand on the frame shown, beside the GUI thread."""

from functools import partial
from typing import TYPE_CHECKING, Any

from napari_mosam.widgets.layers.label_ids import own_labels
from napari_mosam.widgets.layers.source import SourceError
from napari_mosam.widgets.messages import refusal
from napari_mosam.widgets.support import Reporting, ViewerLink, go_to
from napari_mosam.widgets.why.comparison import Comparing
from napari_mosam.widgets.why.flow import arrows_of
from napari_mosam.widgets.why.latest import Latest
from napari_mosam.widgets.why.layers import CONFIDENCE, FLOW, PLACE, WhyLayers
from napari_mosam.widgets.why.panel import WhyPanel
from napari_mosam.widgets.why.told import told_of
from napari_mosam.widgets.why.words import flow_sentence, short

if TYPE_CHECKING:
    from napari_mosam.core.session.session import Session
    from napari_mosam.widgets.layers.source import MovieSource
    from napari_mosam.widgets.sessions.threads import JobEnd
    from napari_mosam.widgets.why.flow import Arrows
    from napari_mosam.widgets.why.told import Told
    from napari_mosam.widgets.widget import MosamWidget


class WhyPage:
    """Shows why an object has its mask.

    Parameters
    ----------
    dock : MosamWidget
    """

    def __init__(self, dock: "MosamWidget") -> None:
        self._dock = dock
        self.panel = self.widget = WhyPanel()
        self._reporting = Reporting(lambda error: dock.controls.say(refusal(error, 0)[1], error=True))
        self._layers = WhyLayers(dock.viewer)
        self._comparing = Comparing(dock, self.panel, self._layers, self._reporting)
        self._answers = Latest(dock.jobs.background, self._told)
        self._flows = Latest(dock.jobs.background, self._flow_known)
        self._shown: Told | None = None
        self._explained: tuple[int, int] | None = None  # object and frame
        self._visited: int | None = None  # a frame that was gone to from there
        layers = dock.viewer.layers.events
        self._link = ViewerLink(
            dock.viewer, [(layers.inserted, self._list_truths), (layers.removed, self._list_truths)]
        )
        panel = self.panel
        panel.pictures.asked.connect(self._visit)
        panel.back.clicked.connect(self._go_back)
        panel.confidence.toggled.connect(self._show)
        panel.place.toggled.connect(self._show)
        panel.flow.toggled.connect(lambda _: self._ask_flow())

    # ---- a page

    def update(self) -> None:
        """Ask anew where the object, the frame or the result is another one."""
        self._list_truths()
        scene = self._scene()
        if scene is None:
            self._explained = None
            self._answers.ask(None)
            self._nothing(
                "Open a movie, mark a cell and press Track; then this page tells why its mask is where it is."
            )
            self._flows.ask(None)
            return
        _, session, object_id, frame = scene
        explained = self._explained
        if explained is None or explained[0] != object_id or frame not in (explained[1], self._visited):
            self._explained, self._visited = (object_id, frame), None
        assert self._explained is not None
        self._say_title(frame)
        why_not = _not_followed(session, object_id)
        key = None if why_not else (id(session.result), *self._explained)
        if why_not:
            self._nothing(why_not)
        self._answers.ask(key, partial(told_of, session, *self._explained))
        self._ask_flow()
        self._comparing.update()

    def hide(self) -> None:
        """Take the layers away, and ask for nothing."""
        self._answers.forget()
        self._flows.forget()
        self._shown = None
        self._layers.remove_all()

    def close(self) -> None:
        """Leave no layer."""
        self._link.close()
        self.hide()

    # ---- inside

    def _scene(self) -> "tuple[MovieSource, Session, int, int] | None":
        dock = self._dock
        try:
            source = dock.source
        except SourceError:
            return None
        if dock.session is None:
            return None
        return source, dock.session, dock.controls.object_id.value(), source.frame_at(dock.viewer.dims.point)

    def _list_truths(self, *_: Any) -> None:
        self.panel.truth.set_layers(own_labels(self._dock.viewer))

    def _say_title(self, frame: int) -> None:
        assert self._explained is not None
        object_id, explained = self._explained
        away = frame != explained
        here = f"; you look at its memory of frame {frame}" if away else ""
        self.panel.show_title(f"Object {object_id} on frame {explained}{here}", explained if away else None)

    def _nothing(self, words: str) -> None:
        self._shown = None
        self.panel.show_answer([words], [], "")
        self.panel.pictures.show_pictures([], heat=False)
        self._show_switches()

    def _told(self, outcome: "JobEnd") -> None:
        if outcome.error is not None:
            self._nothing(_hint(outcome.error))
            return
        self._shown = outcome.value
        self._show()

    def _show(self, *_: Any) -> None:
        """What was told, with the layers that are switched on."""
        told, panel = self._shown, self.panel
        if told is not None:
            panel.show_answer(told.sentences, told.cues, told.memory)
            panel.pictures.show_pictures(told.pictures, heat=panel.confidence.isChecked())
        self._show_switches()

    def _show_switches(self) -> None:
        told, panel, scene = self._shown, self.panel, self._scene()
        sure, place = panel.confidence.isChecked(), panel.place.isChecked()
        panel.bar.setVisible(sure)
        panel.bar.say("Red: unsure pixels that were not read." if told is not None and told.filters else "")
        panel.bar.low.setText(f"{short(told.lowest if told is not None else 0.0)} unsure")
        panel.show_legend(told.lines.kinds if told is not None and place else None)
        if told is not None and scene is not None and sure and told.inspection.memory:
            self._layers.show_confidence(scene[0], told)
        else:
            self._layers.put_out(CONFIDENCE)
        if told is not None and scene is not None and place:
            self._layers.show_place(scene[0], told.inspection.frame, told.lines)
        else:
            self._layers.put_out(PLACE)

    def _visit(self, frame: int) -> None:
        """Look at a remembered frame, and keep in mind whose memory it is."""
        self._visited = frame
        self._go(frame)

    def _go_back(self, *_: Any) -> None:
        if self._explained is not None:
            self._go(self._explained[1])

    def _go(self, frame: int) -> None:
        with self._reporting:
            go_to(self._dock.viewer, self._dock.source, frame)

    # ---- flow

    def _ask_flow(self) -> None:
        scene = self._scene()
        if scene is None or not self.panel.flow.isChecked():
            self._flows.ask(None)
            self._layers.put_out(FLOW)
            self.panel.say_flow("")
            return
        source, session, _, frame = scene
        self._flows.ask((id(session), id(source.image), source.plane, frame), partial(arrows_of, session, frame))

    def _flow_known(self, outcome: "JobEnd") -> None:
        scene = self._scene()
        if outcome.error is not None or scene is None:
            self.panel.say_flow("" if outcome.error is None else refusal(outcome.error, 0)[1])
            self._layers.put_out(FLOW)
            return
        arrows: Arrows = outcome.value
        source, session, _, _ = scene
        if not len(arrows.vectors):
            first = arrows.frame == 0
            self.panel.say_flow("Frame 0 has no frame before it." if first else "Nothing moved since the frame before.")
            self._layers.put_out(FLOW)
            return
        self._layers.show_flow(source, arrows.frame, arrows.vectors, arrows.times)
        um = session.movie.calibration.pixel_um
        self.panel.say_flow(
            flow_sentence(arrows.frame, arrows.times, arrows.longest, arrows.drift_yx, um[0] if um else None)
        )


def _not_followed(session: "Session", object_id: int) -> str:
    """Says that there is nothing to tell of an object, and what to do; '' where there is."""
    if session.result is None:
        return "Nothing was followed yet: press Track first."
    if object_id in session.result.object_ids:
        return ""
    return f"Object {object_id} was not followed yet. Once it is marked, press Track."


def _hint(error: Exception) -> str:
    return refusal(error, 0)[1] + "."
