"""The dock widget: it wires controls, prompt layers, worker and output layers together."""

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QEvent, QSignalBlocker, QTimer
from qtpy.QtWidgets import QWidget

from napari_mosam.widgets.controller import Controller
from napari_mosam.widgets.controls.builders import fill_menu
from napari_mosam.widgets.controls.controls import Controls
from napari_mosam.widgets.controls.diameter import DiameterTool
from napari_mosam.widgets.controls.model_download import ModelDownload
from napari_mosam.widgets.controls.movie_menu import MovieMenu
from napari_mosam.widgets.engine import Engine
from napari_mosam.widgets.files.files import Files
from napari_mosam.widgets.finding.finding import Finding
from napari_mosam.widgets.layers.label_ids import labels_layers, largest_id
from napari_mosam.widgets.layers.prompts import PromptLayers
from napari_mosam.widgets.layers.source import MovieSource, SourceError
from napari_mosam.widgets.layers.tags import is_output, movie_id, tag_of
from napari_mosam.widgets.marking.tools import Tools
from napari_mosam.widgets.messages import hint, micrometres, painted_summary, prompt_summary, refusal
from napari_mosam.widgets.objects import Objects
from napari_mosam.widgets.pages.pages import Pages, stack
from napari_mosam.widgets.picture.beside import ShortTurns, look_around, once_drawn
from napari_mosam.widgets.picture.first_use import FirstUse
from napari_mosam.widgets.picture.shortcuts import Shortcuts
from napari_mosam.widgets.runs import Runs
from napari_mosam.widgets.sessions.threads import GuiThread
from napari_mosam.widgets.support import HistoryKeys, Reporting, ViewerLink, shut_down_at_end
from napari_mosam.widgets.wiring import connect_buttons

if TYPE_CHECKING:
    import napari.viewer

    from napari_mosam.core.session.session import Session
    from napari_mosam.widgets.run_view import RunView


class MosamWidget(QWidget):
    """MoSAM: segment and track. Mark cells on a frame, follow them through the movie.

    Parameters
    ----------
    napari_viewer : napari.viewer.Viewer
        The viewer to work in.
    engine : Engine or None
        What computes; the real engine by default.
    """

    def __init__(self, napari_viewer: "napari.viewer.Viewer", engine: Engine | None = None) -> None:
        super().__init__()
        self.viewer = napari_viewer
        self.controls = Controls()
        self.prompts = PromptLayers(
            napari_viewer,
            self._prompts_changed,
            self._sync_tools,
            self._max_label,
            lambda t: self.jobs.ids_shown(t),
            lambda: self.controls.diameter.value() or None,
            lambda object_id: self.tools.picked(object_id),
            lambda call: self.jobs.later(call),
        )
        self.tools = Tools(self)
        engine = engine or Engine()
        self.jobs = Controller(napari_viewer, self.controls, engine, self._show_marks, self._result_changed, self._fail)
        self.movies = MovieMenu(napari_viewer, self.controls.image, lambda: self.jobs.busy, self._say_movie)
        self._gui = GuiThread()
        self.model_download = ModelDownload(self.controls, engine, self._gui, self._fail)
        self.diameter_tool = DiameterTool(napari_viewer, self.controls.diameter.setValue)
        self._image_link = ViewerLink(napari_viewer)
        self._history_keys = HistoryKeys(napari_viewer, self.undo, self.redo)
        self._closed = False
        self._hinted: Any = None
        self.files = Files(self, engine, self._fail)
        self.objects = Objects(self, self._reporting())
        self.runs = Runs(self, self._reporting())
        self.finding = Finding(self, self._reporting())
        self.first_use = FirstUse(self.controls.say)
        self.pages = Pages(self, self.controls)
        stack(self, self.pages, self.controls.footer)
        connect_buttons(self)
        self._keys = Shortcuts(self)
        self._short_turns = ShortTurns()
        once_drawn(self, self.first_use.start)
        self._connect_viewer()
        self._layers_changed()
        self._sync_tools()
        self.files.start()
        self._history_keys.watch_fields(self)
        self.controls.engine.made.connect(lambda: self._history_keys.watch_fields(self.controls.engine))
        look_around(self, engine, self.first_use.calm, self._gui, self._fill_menus)
        shut_down_at_end(self)

    @property
    def run(self) -> "RunView | None":
        """The run that is going, or the last one."""
        return self.jobs.run

    @property
    def session(self) -> "Session | None":
        """That of the movie shown."""
        return self.jobs.session

    @property
    def source(self) -> MovieSource:
        """The movie chosen, at the plane the viewer shows.

        Raises
        ------
        SourceError
            If no image is open, or it cannot be read as a movie.
        """
        image = self.controls.image.layer
        if image is None:
            raise SourceError("there is no image; open a time-lapse with the axes (T, Y, X) first")
        return MovieSource.from_layer(image, self.viewer.dims.point)

    @property
    def frame(self) -> int:
        """Frame of the movie that the viewer shows."""
        return self.source.frame_at(self.viewer.dims.point)

    def new_object(self, *_: Any) -> None:
        """Choose an unused id; the next mark is of that object."""
        with self._reporting():
            self.tools.check_flat()
            words = self.tools.new_object()
            self._prompts_changed()
            self.controls.say(words)

    def seed_from_labels(self, *_: Any) -> None:
        """Make every label of the frame shown, or of all frames, a mask prompt."""
        with self._reporting():
            self.tools.seed_from_labels()

    def preview(self, *_: Any) -> None:
        """Outline the objects prompted on the frame shown."""
        with self._reporting():
            source = self.source
            self.model_download.require()
            self.take_marks()
            self.jobs.preview(source, self.frame)

    def propagate(self, *_: Any) -> None:
        """Follow the prompted objects through the movie, in a thread."""
        self.runs.track()

    def forget_painted(self, *_: Any) -> None:
        """Let the next run change what was painted in the labels; no pixel changes now."""
        self._edit(self.jobs.release_painted)

    def undo(self, *_: Any) -> None:
        """Take back what was done last: a mark, a stroke, a run, whatever it was."""
        self._edit(self.jobs.undo)

    def redo(self, *_: Any) -> None:
        """Do again what was undone last."""
        self._edit(self.jobs.redo)

    def measure_diameter(self, *_: Any) -> None:
        """Let the next drag measure a cell."""
        with self._reporting():
            self.diameter_tool.start(self.source)
            self.controls.say("Draw a line across a cell, or switch to the ellipse tool for a circle.")

    def cancel(self, *_: Any) -> None:
        """Stop after the frame being computed; what is done stays. Returns at once."""
        self.jobs.cancel()

    def closeEvent(self, event: Any) -> None:
        """Stop a run when the dock closes."""
        self.shut_down()
        super().closeEvent(event)

    def event(self, event: Any) -> bool:
        """Notice that napari took the widget out of its dock, for which it sends no close event."""
        if event.type() == QEvent.Type.ParentChange and self.parent() is None:
            self.shut_down()
        return bool(super().event(event))

    def shut_down(self) -> None:
        """Stop a run quietly and leave the viewer's events and keys as they were."""
        if self._closed:
            return
        self._closed = True
        self.pages.close_pages()
        links = self._image_link, self._history_keys, self._keys, self._link
        docked = self.finding, self.prompts, self.movies, self.objects, self.first_use, self._short_turns
        for part in (self._gui, self.files, self.jobs, self.model_download, *docked, *links):
            part.close()

    def _edit(self, edit: Callable[[], None]) -> None:
        """Change the session by hand, after the marks of the layers went there."""
        with self._reporting():
            self.take_marks()
            edit()

    def _reporting(self) -> Reporting:
        return Reporting(self._refuse)

    def _refuse(self, error: Exception) -> None:
        """Say what is wrong with what was asked; that line is always in sight, so once is enough."""
        self.controls.say(refusal(error, 0)[1], error=True)

    def _fail(self, error: Exception, kept: int = 0) -> str:
        """Show an error in the widget and as a notification; returns what the widget says."""
        from napari.utils.notifications import show_error

        text, said = refusal(error, kept)
        self.controls.say(said, error=True)
        show_error(text)
        return said

    def _max_label(self) -> int:
        result = None if self.session is None else self.session.result
        with suppress(SourceError):
            shown = largest_id(self.viewer, self.source, self.frame)
            return max((shown, *(() if result is None else result.object_ids)))
        return 0

    def _prompts_changed(self) -> None:
        controls = self.controls
        with QSignalBlocker(controls.object_id):
            controls.object_id.setValue(self.prompts.object_id)
        self.objects.in_hand()
        controls.summary.setText(prompt_summary(self.prompts.ids(), self.prompts.counts()))
        controls.clear.setEnabled(bool(self.prompts.ids()))
        if not self.jobs.shows_result(controls.image.layer):
            self._hint()
        QTimer.singleShot(0, self.take_marks)  # what one gesture changes is one entry of the history

    def take_marks(self) -> None:
        """Let the session have the marks of the layers; what it would refuse, a run says."""
        if self._closed or self.session is None or not self.prompts.changed:
            return
        with suppress(ValueError):
            source = self.source
            if self.session is self.jobs.sessions.find(source):
                self.prompts.changed = False
                self.jobs.take_marks(self.prompts.prompts(source))

    def _show_marks(self) -> None:
        """Show the marks of the session, which somebody else changed: undo, the console, a stroke."""
        session = self.session
        if session is not None:
            with suppress(SourceError):
                if not self.prompts.apply(self.source, session.prompts, self._show_marks):
                    return
        self._prompts_changed()
        self.files.show_result()
        self.jobs.live.update()

    def _result_changed(self) -> None:
        """Say what was painted, and what can be undone."""
        if self.jobs.missed and not self.jobs.busy:
            self._follow_result()
        painted = self.jobs.painted
        self.controls.show_painted(painted_summary(sum(painted.values()), len(painted)))
        self.files.show_result()
        self.objects.update()
        self.jobs.live.update()
        self.pages.update_page()

    def _hint(self) -> None:
        """Say what to do next, unless a run says how far it is."""
        button = self.controls.propagate.text()
        now = self.controls.image.layer, self._has_movie(), len(self.prompts.ids()), button
        if not self.jobs.busy and now != self._hinted:  # else what was said last still holds
            self._hinted = now
            self.controls.say(hint(now[0] is not None, *now[1:]))

    def _has_movie(self) -> bool:
        with suppress(SourceError):
            return bool(self.source)
        return False

    def _image_chosen(self) -> None:
        image = self.controls.image.layer
        self._image_link.close()
        emitters = () if image is None else (image.events.data, image.events.axis_labels)
        self._image_link = ViewerLink(self.viewer, [(emitter, self._image_changed) for emitter in emitters])
        active = self.viewer.layers.selection.active
        tag = None if active is None else tag_of(active)
        if image is not None and tag is not None and tag.movie not in ("", movie_id(image)):
            self.viewer.layers.selection.active = image  # the tool in hand was for another movie
        self.prompts.show_movie(image)
        self._image_changed()
        self._hint()

    def _image_changed(self, *_: Any) -> None:
        image, controls = self.controls.image.layer, self.controls
        self.jobs.live.forget()
        controls.show_limits(None)
        controls.image_note.setVisible(image is not None)
        self._say_movie()
        if not self._has_movie():
            controls.set_n_frames(1)
            self.jobs.follow(None)
            return
        controls.set_n_frames(self.source.shape[0])
        self._frame_changed()
        self._diameter_changed()

    def _say_movie(self, *_: Any) -> None:
        """Say what the chosen image is, and whether it can be seen."""
        try:
            source = self.source
            text = source.describe()
        except SourceError as error:
            self.controls.image_note.setText(str(error))
            self.controls.axes.update_axes("")
            return
        self.controls.axes.update_axes(source.axes)
        self.controls.image_note.setText(". ".join(filter(None, [text, self.movies.caveat()])))

    def _frame_changed(self, *_: Any) -> None:
        image = self.controls.image.layer
        if image is None or image not in self.viewer.layers or not self._has_movie():
            return
        self.controls.preview.setText(f"Preview frame {self.frame}")
        self._say_movie()
        self._follow_result()
        self.jobs.frame_changed()
        self.pages.update_page()

    def _follow_result(self) -> None:
        source = self.source if self._has_movie() else None
        before = self.session
        self.jobs.follow(source)
        session = self.session
        if source is None or session is None or session is before:
            return
        if session.prompts and not self.prompts.prompts(source):
            self.jobs.later(self._show_marks)  # of a session that was here before the dock
        else:
            self.prompts.changed = True
            self.take_marks()

    def _diameter_changed(self, *_: Any) -> None:
        self.controls.show_note(micrometres(self.controls.image.layer, self.controls.diameter.value()))

    def _layers_changed(self, event: Any = None) -> None:
        self.controls.seed_labels.set_layers(labels_layers(self.viewer))
        self.controls.seed.setEnabled(self.controls.seed_labels.layer is not None)
        if event is None or event.type != "inserted" or not is_output(event.value):
            self.movies.refresh()
            self.prompts.adopt()
            self._follow_result()
            self._say_movie()
            self._prompts_changed()
        self._sync_tools()

    def _layer_removed(self, event: Any) -> None:
        self.jobs.forget(event.value)
        if tag_of(event.value) is None:
            self.first_use.calm.thaw()
        self._layers_changed()

    def _sync_tools(self, *_: Any) -> None:
        """Show as pressed the tool which the next click on the canvas uses."""
        for ours in filter(tag_of, self.viewer.layers):
            self._history_keys.bind(ours)
        self.tools.sync()

    def use(self, tool: Callable[[MovieSource], None], *_: Any) -> None:
        """Take a tool for marks in hand."""
        with self._reporting():
            self.tools.check_flat()
            tool(self.source)
        self._sync_tools()

    def _connect_viewer(self) -> None:
        layers, dims = self.viewer.layers, self.viewer.dims
        slots = [
            *((moved, self.prompts.moved) for moved in (layers.events.inserted, layers.events.removed)),
            (layers.events.inserted, self._layers_changed),
            (layers.events.removed, self._layer_removed),
            (layers.events.reordered, self._layers_changed),
            (layers.selection.events.active, self.movies.follow_active),
            (layers.selection.events.active, self._sync_tools),
            (dims.events.current_step, self._frame_changed),
            (dims.events.ndisplay, self.tools.flat),
        ]
        if hasattr(layers.events, "renamed"):
            slots.append((layers.events.renamed, self._layers_changed))
        self._link = ViewerLink(self.viewer, slots)
        self.tools.flat()
        self.controls.image.layer_changed.connect(self._image_chosen)
        self.controls.diameter.valueChanged.connect(self._diameter_changed)

    def _fill_menus(self, found: Any) -> None:
        if not self._closed:
            models, devices = found
            self.model_download.set_choices(models)
            fill_menu(self.controls.device, [("Automatic", None), *((d, d) for d in devices)])
