"""The table of objects and the rest of the dock: what is chosen in one is chosen in the others."""

from typing import TYPE_CHECKING, Any

from napari_mosam.core.results.objects import summaries
from napari_mosam.widgets.layers.source import SourceError
from napari_mosam.widgets.support import Reporting, go_to

if TYPE_CHECKING:
    from napari_mosam.core.results.objects import ObjectSummary
    from napari_mosam.core.session.session import Session
    from napari_mosam.core.store.result import Result
    from napari_mosam.widgets.widget import MosamWidget


class Objects:
    """Fills the table, and does what is asked there.

    Parameters
    ----------
    dock : MosamWidget
    reporting : Reporting
        Says what is refused.
    """

    def __init__(self, dock: "MosamWidget", reporting: Reporting) -> None:
        self._dock, self._reporting = dock, reporting
        self._panel = dock.controls.objects
        self._shown: Result | None = None
        self._panel.table.chosen.connect(self._take)
        self._panel.table.asked.connect(self._go_to)
        self._panel.delete.clicked.connect(self.delete)

    def update(self) -> None:
        """Show the objects of the result as it is now."""
        session = self._dock.session
        result = None if session is None else session.result
        if result is not self._shown:
            self._shown = result
            self._panel.show_objects(() if result is None else _summaries(result))

    def delete(self, *_: Any) -> None:
        """Take the chosen object out of the result, with its marks; can be undone."""
        with self._reporting:
            object_id = self._panel.table.current
            if object_id is None:
                raise SourceError("no object is chosen; click one in the table first")

            def remove(session: "Session") -> str:
                session.remove(object_id)
                return f"Object {object_id} was deleted, with its marks. Undo brings it back."

            self._dock.jobs.edit(remove)

    def _take(self, object_id: int) -> None:
        """Let the next mark, and the next stroke, belong to it."""
        self._dock.controls.object_id.setValue(object_id)
        view = self._dock.jobs.view
        if view is not None and view.labels is not None:
            view.labels.selected_label = object_id

    def _go_to(self, object_id: int, frame: int) -> None:
        self._take(object_id)
        with self._reporting:
            go_to(self._dock.viewer, self._dock.source, frame)


def _summaries(result: "Result") -> "list[ObjectSummary]":
    """Of all objects but those that were taken out."""
    every = summaries(result.object_ids, result.state, result.area, result.predicted_iou)
    return [one for one in every if one.n_followed]
