"""The row under the model menu: weights that are not here yet are downloaded with it, in a thread."""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from qtpy.QtCore import QCoreApplication, QTimer
from qtpy.QtWidgets import QProgressBar, QPushButton, QStackedLayout, QWidget

from napari_mosam.widgets.controls.builders import fill_menu, make_boxed, make_row
from napari_mosam.widgets.layers.source import SourceError
from napari_mosam.widgets.sessions.threads import do_once

if TYPE_CHECKING:
    from napari_mosam.widgets.controls.controls import Controls
    from napari_mosam.widgets.engine import Engine, ModelChoice
    from napari_mosam.widgets.sessions.threads import GuiThread

logger = logging.getLogger(__name__)

REFRESH_MS = 100
"""Between two looks at a download for its progress bar; faster ones nobody sees."""


@dataclass(eq=False)
class Transfer:
    """One download: the worker writes how far it is, the viewer's thread reads it and may stop it."""

    choice: "ModelChoice"
    done: int = 0
    total: int | None = None
    error: Exception | None = None
    over: bool = False
    _stop: threading.Event = field(default_factory=threading.Event)

    def stop(self) -> None:
        """End the download at its next chunk; what came is kept."""
        self._stop.set()

    def stopped(self) -> bool:
        """Whether the download is to end."""
        return self._stop.is_set()

    def advance(self, done: int, total: int | None) -> None:
        """Note how many bytes are there."""
        self.done, self.total = done, total

    def run(self, engine: "Engine") -> None:
        """Download; an error is kept for the viewer's thread."""
        try:
            engine.download(self.choice.name, self.advance, self.stopped)
        except Exception as error:
            logger.info("download ended", exc_info=True)
            self.error = error
        finally:
            self.over = True


class DownloadRow(QWidget):
    """A Download button; while a download goes on, a progress bar and Cancel in its place."""

    def __init__(self) -> None:
        super().__init__()
        self.download = QPushButton("Download")
        self.download.setToolTip("Get the weights of this model from the internet, once. You can go on marking cells.")
        self.bar = QProgressBar()
        self.bar.setToolTip("How much of the weights is here.")
        self.cancel = QPushButton("Cancel")
        self.cancel.setToolTip("Stop the download. What came is kept and will be continued.")
        self.bar.setMinimumHeight(self.cancel.sizeHint().height())
        self._stack = QStackedLayout(self)
        self._stack.addWidget(self.download)
        self._stack.addWidget(make_boxed(make_row((self.bar, 1), self.cancel)))

    def offer(self, choice: "ModelChoice | None") -> None:
        """Offer the download of a model; None where nothing is to be downloaded."""
        self.setVisible(choice is not None)
        self._stack.setCurrentIndex(0)
        if choice is not None:
            self.download.setText(choice.offer)

    def show_progress(self, transfer: Transfer) -> None:
        """How far a download is; where the total is not known, that something goes on."""
        self.setVisible(True)
        self._stack.setCurrentIndex(1)
        self.cancel.setEnabled(not transfer.stopped())
        self.bar.setRange(0, 1000 if transfer.total else 0)
        self.bar.setValue(int(1000 * transfer.done / transfer.total) if transfer.total else 0)
        name, done, total = transfer.choice.name, transfer.done / 1e6, (transfer.total or 0) / 1e6
        self.bar.setFormat(f"{name}: {done:.0f} of {total:.0f} MB" if transfer.done else f"{name}: connecting…")


class ModelDownload:
    """Offers, starts and stops the download of the model chosen, one at a time.

    Parameters
    ----------
    controls : Controls
        Have the menu and the row, and show messages.
    engine : Engine
        What downloads.
    gui : GuiThread
        Is told of the end.
    fail : callable
        Shows an error.
    """

    def __init__(
        self, controls: "Controls", engine: "Engine", gui: "GuiThread", fail: Callable[[Exception], object]
    ) -> None:
        self._menu, self._row, self._say = controls.model, controls.model_download, controls.say
        self._engine, self._gui, self._fail = engine, gui, fail
        self._choices: dict[str, ModelChoice] = {}
        self._transfer: Transfer | None = None
        self._closed = False
        self._clock = QTimer(self._row)
        self._clock.setInterval(REFRESH_MS)
        self._clock.timeout.connect(self._tick)
        self._menu.currentIndexChanged.connect(lambda _: self.update())
        self._row.download.clicked.connect(lambda: self.start())
        self._row.cancel.clicked.connect(lambda: self.cancel())
        self._row.offer(None)

    @property
    def busy(self) -> bool:
        """Whether a download goes on."""
        going = self._transfer
        return going is not None and not (self._closed and going.over)  # an open row is told of the end

    def set_choices(self, choices: "list[ModelChoice]") -> None:
        """Fill the menu with the models as they are now."""
        self._choices = {choice.name: choice for choice in choices}
        fill_menu(self._menu, [(choice.label, choice.name) for choice in choices])
        self.update()

    def missing(self) -> "ModelChoice | None":
        """The model chosen, if its weights are not here."""
        choice = self._choices.get(self._menu.currentData())
        return choice if choice is not None and choice.missing else None

    def require(self) -> None:
        """Refuse a run with a model that is not here.

        Raises
        ------
        SourceError
            Says what to press.
        """
        missing, going = self.missing(), self._transfer
        if missing is None:
            return
        if going is not None and going.choice.name == missing.name:
            raise SourceError(f"the model {missing.name} is still being downloaded; wait, or choose nano (built in)")
        raise SourceError(
            f"the model {missing.name} is not on this computer yet; press '{missing.offer}' under the menu, or choose "
            "nano (built in)"
        )

    def update(self) -> None:
        """Show what fits the model chosen; a download that goes on stays in view."""
        if self._transfer is None:
            self._row.offer(self.missing())
        else:
            self._row.show_progress(self._transfer)

    def start(self) -> None:
        """Download the model chosen, in a thread."""
        choice = self.missing()
        if choice is None or self.busy:
            return
        transfer = self._transfer = Transfer(choice, total=choice.size)
        QCoreApplication.instance().aboutToQuit.connect(transfer.stop)  # Python waits for threads before it ends
        do_once("MoSAM download", self._gui, lambda: transfer.run(self._engine), lambda _: self._ended(transfer))
        self._clock.start()
        self.update()
        self._say(f"Downloading {choice.name}. You can go on marking cells.")

    def cancel(self) -> None:
        """Stop the download; what came is kept. Returns at once."""
        if self._transfer is not None:
            self._transfer.stop()
            self.update()

    def close(self) -> None:
        """Stop quietly; the row is going away."""
        self._closed = True
        self._clock.stop()
        if self._transfer is not None:
            self._transfer.stop()

    def _tick(self) -> None:
        if self._transfer is not None:
            self._row.show_progress(self._transfer)

    def _ended(self, transfer: Transfer) -> None:
        self._transfer = None
        if self._closed:
            return
        self._clock.stop()
        self.set_choices(self._engine.models())
        if transfer.error is None:
            self._say(f"{transfer.choice.name} is ready.")
        elif transfer.stopped():
            kept = self._choices[transfer.choice.name].there
            self._say(f"Download cancelled. {kept / 1e6:.0f} MB are kept and will be continued.")
        else:
            self._fail(transfer.error)
