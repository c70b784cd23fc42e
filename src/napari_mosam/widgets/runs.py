"""What the run button, its menu and the rows below it do."""

from typing import TYPE_CHECKING, Any

from napari_mosam.widgets.support import Reporting, go_to

if TYPE_CHECKING:
    from napari_mosam.widgets.widget import MosamWidget


class Runs:
    """Runs of one dock.

    Parameters
    ----------
    dock : MosamWidget
    reporting : Reporting
        Says what is refused.
    """

    def __init__(self, dock: "MosamWidget", reporting: Reporting) -> None:
        self._dock, self._reporting = dock, reporting
        bar, menu = dock.controls.run_bar, dock.controls.run_bar.menu
        bar.button.clicked.connect(self.toggle)
        menu.aboutToShow.connect(self.place_menu)
        menu.run_on.connect(lambda first, last: self.track((first, last + 1)))
        menu.anew.connect(lambda: self.track(anew=True))
        dock.controls.absent.clicked.connect(self.absent)
        for row in (dock.controls.doubts, dock.controls.changes):
            row.asked.connect(self.look_at)

    def track(self, frames: tuple[int, int] | None = None, *, anew: bool = False) -> None:
        """Follow what is marked, or the object in hand alone; on some frames, start to stop - 1, or as is set."""
        with self._reporting:
            dock, source = self._dock, self._dock.source
            dock.model_download.require()
            alone = dock.controls.only_current.isChecked() and not anew
            only = dock.prompts.object_id if alone else None
            dock.take_marks()
            dock.jobs.propagate(source, only, frames, anew=anew)

    def absent(self, *_: Any) -> None:
        """The object in hand is not on the frame shown; it is followed again from there."""
        with self._reporting:
            dock, source = self._dock, self._dock.source
            dock.model_download.require()
            dock.take_marks()
            dock.jobs.absent(source, dock.prompts.object_id, dock.frame)

    def toggle(self, *_: Any) -> None:
        """Track, or cancel the run that is going."""
        if self._dock.jobs.busy:
            self._dock.cancel()
        else:
            self.track()

    def place_menu(self) -> None:
        """Let the menu say what its entries mean on the frame shown."""
        with self._reporting:
            dock = self._dock
            dock.controls.run_bar.menu.show_place(dock.frame, dock.source.shape[0], dock.prompts.object_id)

    def look_at(self, object_id: int, frame: int) -> None:
        """Show an object on a frame, and take it in hand."""
        with self._reporting:
            dock = self._dock
            dock.controls.object_id.setValue(object_id)
            dock.jobs.select(object_id)
            go_to(dock.viewer, dock.source, frame)
