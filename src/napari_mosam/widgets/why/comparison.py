"""One object with SAM 2's memory and with MoSAM's: followed in the thread of runs, shown as two outlines."""

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QTimer

from napari_mosam.widgets.layers.mapping import label_frame
from napari_mosam.widgets.layers.source import SourceError
from napari_mosam.widgets.support import Reporting, go_to
from napari_mosam.widgets.why.layers import BOTH, WhyLayers
from napari_mosam.widgets.why.words import comparison_sentence, truth_sentence

if TYPE_CHECKING:
    from napari_mosam.core.inspection.findings import MemoryComparison
    from napari_mosam.core.session.session import Session
    from napari_mosam.widgets.layers.source import MovieSource
    from napari_mosam.widgets.sessions.threads import JobEnd
    from napari_mosam.widgets.why.panel import WhyPanel
    from napari_mosam.widgets.widget import MosamWidget


@dataclass(frozen=True, slots=True, eq=False)
class Compared:
    """What a comparison gave, in words too."""

    source: "MovieSource"
    found: "MemoryComparison"
    words: str
    worst: int | None


class Comparing:
    """The last part of the page.

    Parameters
    ----------
    dock : MosamWidget
    panel : WhyPanel
    layers : WhyLayers
    reporting : Reporting
        Says what is refused.
    """

    def __init__(self, dock: "MosamWidget", panel: "WhyPanel", layers: WhyLayers, reporting: Reporting) -> None:
        self._dock, self._panel, self._layers, self._reporting = dock, panel, layers, reporting
        self._compared: Compared | None = None
        panel.compare.clicked.connect(self.compare)
        panel.go.clicked.connect(self._go)
        panel.outlines.toggled.connect(self.update)

    def compare(self, *_: Any) -> None:
        """Follow the object in hand with both memories."""
        with self._reporting:
            dock, panel = self._dock, self._panel
            source, object_id = dock.source, dock.controls.object_id.value()
            dock.model_download.require()
            dock.take_marks()
            if dock.session is not None and object_id not in dock.session.prompts.object_ids:
                raise SourceError(f"object {object_id} has no mark to follow it from; mark it first")
            truth = panel.truth.layer if panel.with_truth.isChecked() else None
            question = partial(_compared, dock, source, object_id, truth)
            dock.jobs.ask(source, "a comparison", question, self._ended)
            dock.controls.say(f"Following object {object_id} with both memories…")

    def update(self, *_: Any) -> None:
        """Show both outlines, or not."""
        compared, image = self._compared, self._dock.controls.image.layer
        if compared is None or compared.source.image is not image:
            self._panel.show_comparison("", None)
            self._layers.put_out(*BOTH.values())
            return
        self._panel.show_comparison(compared.words, compared.worst)
        if self._panel.outlines.isChecked() and compared.found.frames:
            self._layers.show_comparison(compared.source, compared.found)
        else:
            self._layers.put_out(*BOTH.values())

    def _ended(self, outcome: "JobEnd") -> None:
        if outcome.error is not None:
            return
        if outcome.value is None:
            self._dock.controls.say("Cancelled before a frame was compared.")
            return
        self._compared = outcome.value
        self._dock.controls.say("Compared. The result is as it was before.")
        if self._panel.isVisible():
            self.update()
            QTimer.singleShot(0, self._panel.show_end)

    def _go(self, *_: Any) -> None:
        if self._compared is not None and self._compared.worst is not None:
            with self._reporting:
                go_to(self._dock.viewer, self._dock.source, self._compared.worst)


def _compared(dock: "MosamWidget", source: "MovieSource", object_id: int, truth: Any, session: "Session") -> Compared:
    """In the thread of runs."""
    steps = [0, 0]

    def told(done: int, total: int) -> None:
        steps[:] = done, total
        dock.jobs.asked_so_far(done, total, "frames")

    found = session.compare(object_id, progress=told)
    words, worst = comparison_sentence(found, complete=steps[0] == steps[1])
    if truth is not None and found.frames:
        words = f"{words} {_against(source, truth, found)}"
    return Compared(source, found, words, worst)


def _against(source: "MovieSource", truth: Any, found: "MemoryComparison") -> str:
    """How well both masks fit the true cell that they lie on most."""
    frames = {t: label_frame(source, truth, t) for t in found.frames}
    masks = found.masks("mosam") | found.masks("sam2")
    under = np.concatenate([frames[t][mask] for t, mask in zip(found.frames, masks, strict=True)])
    if not under.any():
        return f"No cell of '{truth.name}' lies there."
    true_id = int(np.bincount(under[under > 0]).argmax())
    labels = np.zeros((max(found.frames) + 1, *found.shape_yx), np.int64)
    for t, frame in frames.items():
        labels[t] = frame
    j = found.j(labels, true_id)
    return truth_sentence(truth.name, true_id, float(j["sam2"].mean()), float(j["mosam"].mean()))
