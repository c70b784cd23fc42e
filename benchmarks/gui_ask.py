"""A person's way through the other pages of the dock: find cells, review, why, divisions; true mouse and key events.

    xvfb-run -a -s "-screen 0 1600x1000x24" python -m benchmarks.gui_ask --shots shots
    MOSAM_DATA=... xvfb-run -a -s "-screen 0 1600x1000x24" python -m benchmarks.gui_ask --movie dic_hela_01

On a simulated movie in which cells divide, or a real one: cells are found and accepted (or, on a real one, boxes drawn
by the truth), and followed; then the review (next, accept, a random sample of five), the page 'Why' (where the
network looked, a remembered frame, motion, SAM 2's memory beside MoSAM's), and divisions (find, accept, the layer of
tracks). Gestures and times as in :mod:`benchmarks.gui_user`, whose hand this is; what is clicked is first
scrolled into sight, which is not counted.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

import napari
import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QCheckBox, QScrollArea, QWidget

from benchmarks.gui_user import LEFT, NO_KEY, Hand, OwnRecent, box_of, print_steps, scene
from benchmarks.tasks import lasting_ids
from napari_mosam.core.simulation import division_movie
from napari_mosam.widgets import MosamWidget

SHIFT = Qt.KeyboardModifier.ShiftModifier
SEED = 3
N_SAMPLE = 5


class Visitor:
    """Goes through the pages of a dock.

    Parameters
    ----------
    hand : Hand
    dock : MosamWidget
    shots : Path or None
        Where pictures go.
    """

    def __init__(self, hand: Hand, dock: MosamWidget, shots: Path | None) -> None:
        self._hand, self._dock, self._shots = hand, dock, shots

    def idle(self) -> bool:
        """Whether nothing goes on."""
        jobs = self._dock.jobs
        return not jobs.busy and not jobs.waits and not (jobs.session is not None and jobs.session.busy)

    def look(self, name: str) -> None:
        """Take a picture of the window."""
        if self._shots is not None:
            self._hand.pump(0.4)
            path = self._shots / f"{len(self._hand.steps):02d}_{name}.png"
            self._hand.viewer.screenshot(str(path), canvas_only=False, flash=False)

    def press(self, button: QWidget) -> None:
        """Click a button that may have to be scrolled to."""
        area = button.parentWidget()
        while area is not None and not isinstance(area, QScrollArea):
            area = area.parentWidget()
        if area is not None:
            area.ensureWidgetVisible(button)
            self._hand.pump(0.05)
        if isinstance(button, QCheckBox):  # on its box: the rest of its row may be empty
            self._hand.steps[-1].gestures.append(f"switch {button.text()}")
            QTest.mouseClick(button, LEFT, NO_KEY, QPoint(8, button.height() // 2))
            self._hand.pump(0.05)
        else:
            self._hand.press(button, f"button {getattr(button, 'text', str)().splitlines()[0]}")

    def turn_to(self, title: str) -> Any:
        """Click a tab; its page."""
        bar = self._dock.pages.tabBar()
        row = next(i for i in range(bar.count()) if bar.tabText(i) == title)
        self._hand.steps[-1].gestures.append(f"tab {title}")
        QTest.mouseClick(bar, LEFT, NO_KEY, bar.tabRect(row).center())
        self._hand.pump(0.1)
        return self._dock.pages.page(title) if row else None

    # ---- the pages

    def find(self) -> None:
        """Find cells on the first frame, drop one, accept the others."""
        row = self._dock.controls.finding
        with self._hand.step("find cells"):
            self.press(row.find)
            self._hand.until(self.idle)
        self.look("found")
        with self._hand.step("accept them"):
            self.press(row.accept)
            self._hand.until(lambda: self.idle() and bool(self._dock.session and self._dock.session.prompts))
        self.look("accepted")

    def mark(self, truth: NDArray[np.integer]) -> None:
        """Draw boxes by the truth."""
        ids = lasting_ids(truth, 0, len(truth))[:5]
        with self._hand.step("five boxes"):
            self.press(self._dock.controls.box)
            for i in ids:
                self._hand.drag(*box_of(truth[0] == i), words=f"box {i}")

    def run(self) -> None:
        """Follow them."""
        with self._hand.step("run"):
            self.press(self._dock.controls.propagate)
            self._hand.until(self.idle)
        self.look("run")

    def review(self) -> None:
        """Look at places, accept one, and judge a random sample."""
        with self._hand.step("open the review"):
            page = self.turn_to("Review")
            self._hand.until(lambda: page.reviewed is not None and self.idle())
        self.look("review")
        if page.reviewed.queue:
            with self._hand.step("next"):
                self._hand.key(Qt.Key.Key_J)
                self._hand.until(self.idle)
            self.look("next")
            left = len(page.reviewed.queue)
            with self._hand.step("accept"):
                self._hand.key(Qt.Key.Key_J, SHIFT)
                self._hand.until(lambda: self.idle() and len(page.reviewed.queue) < left)
            self.look("accept")
        sample = page.widget.sample
        with self._hand.step("draw a random sample"):
            parts = page.widget.parts
            self._hand.steps[-1].gestures += ["tab Random sample", "number"]
            QTest.mouseClick(parts.tabBar(), LEFT, NO_KEY, parts.tabBar().tabRect(1).center())
            sample.n.setValue(N_SAMPLE)
            self.press(sample.draw)
            self._hand.until(lambda: self.idle() and self._dock.session is not None and bool(self._dock.session.audit))
        with self._hand.step("judge five masks"):
            while not self._has_judged(N_SAMPLE) and len(self._hand.steps[-1].gestures) < 4 * N_SAMPLE:
                self._hand.pump(0.5)  # a look at the mask; a key before it is in sight judges nothing
                self._hand.key(Qt.Key.Key_J, SHIFT)
                self._hand.until(self.idle)
        self.look("judged")

    def _has_judged(self, n: int) -> bool:
        audit = None if self._dock.session is None else self._dock.session.audit
        return self.idle() and audit is not None and audit.n_judged == n

    def _parents(self) -> bool:
        result = None if self._dock.session is None else self._dock.session.result
        return self.idle() and result is not None and bool(result.parents)

    def why(self) -> None:
        """Where it looked, what it remembered, how all moved, and both memories."""
        frame = self._dock.source.shape[0] // 2
        with self._hand.step("open 'Why'"):
            panel = self.turn_to("Why").panel
            self._hand.frame(frame)
            self._hand.until(lambda: self.idle() and bool(panel.pictures.buttons))
        with self._hand.step("where it looked"):
            self.press(panel.place)
            self._hand.until(lambda: bool(panel.legend.text()))
        self.look("where")
        with self._hand.step("how sure a remembered frame was"):
            self.press(panel.confidence)
            self._hand.until(self.idle)
            self.press(panel.pictures.buttons[0])
            self._hand.until(self.idle)
        self.look("memory")
        with self._hand.step("back"):
            self.press(panel.back)
            self.press(panel.confidence)
            self.press(panel.place)
            self._hand.until(self.idle)
        with self._hand.step("motion"):
            self.press(panel.flow)
            self._hand.until(lambda: bool(panel.flow_note.text()))
        self.look("motion")
        with self._hand.step("compare both memories"):
            self.press(panel.flow)
            self.press(panel.compare)
            self._hand.until(self.idle)
        self.look("compared")

    def divide(self) -> None:
        """Find divisions, accept the first, and show tracks."""
        with self._hand.step("open the lineage"):
            page = self.turn_to("Lineage")
            self._hand.until(self.idle)
        with self._hand.step("find divisions"):
            self.press(page.find)
            self._hand.until(self.idle)
        self.look("divisions")
        if page.cards.cards:
            with self._hand.step("accept a division"):
                self.press(page.cards.cards[0].accept)
                self._hand.until(self._parents)
            self.look("divided")
        with self._hand.step("layer of tracks"):
            self.press(page.tracks.box)
            self._hand.until(lambda: self.idle() and any("tracks" in layer.name for layer in self._hand.viewer.layers))
        self.look("tracks")


def main() -> None:
    """Walk, print and write a CSV."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--movie", default="simulated", help="'simulated', or a movie of MOSAM_DATA")
    parser.add_argument("--shots", type=Path, help="folder for pictures of the steps")
    parser.add_argument("--out", type=Path, default=Path("gui_ask.csv"))
    given = parser.parse_args()
    if given.shots is not None:
        given.shots.mkdir(parents=True, exist_ok=True)
    simulated = given.movie == "simulated"
    movie = division_movie(SEED) if simulated else None
    images, truth = scene(given.movie, 0, 0) if movie is None else (movie.images, movie.labels)
    with tempfile.TemporaryDirectory() as folder:
        viewer = napari.Viewer(show=True)
        viewer.window.resize(1280, 720)
        viewer.add_image(images, name=given.movie)
        viewer.dims.set_point(0, 0)
        hand = Hand(viewer)
        hand.pump(1.0)
        with hand.step("open the dock"):
            dock = MosamWidget(viewer, OwnRecent(Path(folder) / "recent"))
            viewer.window.add_dock_widget(dock, name="MoSAM")
            hand.until(lambda: dock.controls.device.count() > 1)
        hand.pump(5.0)
        visitor = Visitor(hand, dock, given.shots)
        if simulated:
            visitor.find()
        else:
            visitor.mark(truth)
        visitor.run()
        visitor.review()
        visitor.why()
        visitor.divide()
        print_steps(hand.steps, given.out)
        viewer.close()


if __name__ == "__main__":
    main()
