"""The page on which a result is looked through: the worst first, or a random sample."""

from functools import partial
from typing import TYPE_CHECKING, Any

from napari_mosam.core.review.audit import NOT_SURE, RIGHT, WRONG
from napari_mosam.widgets.layers.source import SourceError
from napari_mosam.widgets.messages import refusal
from napari_mosam.widgets.objects import BACK
from napari_mosam.widgets.review.closeup import Closeup, Outlines
from napari_mosam.widgets.review.panels import ReviewPanel
from napari_mosam.widgets.review.reviewed import Reviewed
from napari_mosam.widgets.review.strip_dock import StripDock
from napari_mosam.widgets.support import Reporting

if TYPE_CHECKING:
    from napari_mosam.core.review.queue import ReviewItem
    from napari_mosam.core.session.session import Session
    from napari_mosam.core.store.result import Result
    from napari_mosam.widgets.sessions.threads import JobEnd
    from napari_mosam.widgets.widget import MosamWidget

TITLE = "Review"
"""Of its tab."""


class Walk:
    """Which of some places is looked at; the place stays where it is while others come and go.

    Attributes
    ----------
    at : int
        Its row; -1 before the first.
    seen : bool
        Whether the viewer showed it: the one after a place that is gone is next, and was not looked at yet.
    """

    def __init__(self) -> None:
        self.at, self.seen = -1, False

    def step(self, by: int, n: int) -> int:
        """Go on, or back; from the last on to the first."""
        if not self.seen and self.at >= 0 and by > 0:
            by = 0
        self.at = (self.at + by) % n if self.at >= 0 else 0 if by > 0 else n - 1
        self.seen = True
        return self.at

    def go(self, row: int) -> None:
        """Look at a row."""
        self.at, self.seen = row, True

    def keep(self, row: int | None, n: int) -> None:
        """There are n places now, and the one that was looked at is in this row; None: it is gone."""
        if row is None:
            self.at, self.seen = min(self.at, n - 1), False
        else:
            self.at = row


class ReviewPage:
    """The page.

    Parameters
    ----------
    dock : MosamWidget

    Attributes
    ----------
    widget : ReviewPanel
    reviewed : Reviewed or None
        What is shown.
    """

    def __init__(self, dock: "MosamWidget") -> None:
        self._dock = dock
        self._reporting = Reporting(lambda error: dock.controls.say(refusal(error, 0)[1], error=True))
        self.widget = ReviewPanel(dock.objects.color_of)
        self.reviewed: Reviewed | None = None
        self.strip = StripDock(dock.viewer, self.go_to, lambda: self.widget.strip.setChecked(False))
        self._closeup, self._outlines = Closeup(dock.viewer), Outlines()
        self._shown: Result | None = None
        self._queue, self._sample = Walk(), Walk()
        self._go_on = self._visible = False
        self._first_step = 0  # that was asked for before there was anything to show
        self._connect()
        self._show()

    def _connect(self) -> None:
        panel, queue, sample = self.widget, self.widget.queue, self.widget.sample
        for part in (queue, sample):
            part.back.clicked.connect(lambda: self.step(-1))
            part.forth.clicked.connect(lambda: self.step(1))
            part.list.asked.connect(self._go)
        queue.accept.clicked.connect(lambda: self.accept())
        queue.fix.clicked.connect(lambda: self.fix())
        queue.absent.clicked.connect(self._dock.runs.absent)
        sample.draw.clicked.connect(lambda: self.draw())
        for button, verdict in ((sample.right, RIGHT), (sample.wrong, WRONG), (sample.unclear, NOT_SURE)):
            button.clicked.connect(partial(self._judge_clicked, verdict))
        panel.zoom.toggled.connect(self._closeup.forget)
        panel.strip.toggled.connect(self._show_strip)
        panel.outlines.toggled.connect(self._show_outlines)

    # ---- what the dock tells

    def update(self) -> None:
        """Show the result as it is now; read in the thread of edits."""
        self._visible = True
        self._dock.controls.doubts.show_places(())  # it leads here
        session = self._dock.session
        result = None if session is None else session.result
        if result is not self._shown:
            if result is None or self._shown is None or result.path != self._shown.path:
                self._queue, self._sample = Walk(), Walk()
            self._shown = result
            if result is None:
                self.reviewed = None
                self._show()
            else:
                self._dock.jobs.background(partial(Reviewed.read, result), partial(self._known, result))
        self._show_strip()
        self._show_outlines()

    def hide(self) -> None:
        """Take the strip out of sight, and show masks as they were."""
        self._visible = False
        self.strip.hide()
        self._show_outlines()

    def close(self) -> None:
        """Take the strip out of the viewer, and show masks as they were."""
        self._visible = False
        self.strip.close()
        self._show_outlines()

    # ---- what a person does

    def step(self, by: int) -> None:
        """Go to the next place, or to the one before."""
        places = self._places
        self._first_step = by if self.reviewed is None else 0
        if places:
            self._go(self._walk.step(by, len(places)))

    def accept(self) -> None:
        """The place is right: accept and lock it, and go on; of the random sample, it is right."""
        if self.widget.samples:
            self._judge(RIGHT)
            return
        item = self._current()
        if item is None:
            return
        last = item.stop - 1
        where = f"frame {item.start}" if last == item.start else f"frames {item.start} to {last}"

        def accept(session: "Session") -> str:
            session.approve(item.object_id, item.start, item.stop)
            return f"Object {item.object_id} is accepted on {where}: no run changes it there. {BACK}"

        self._then_on(accept)

    def fix(self) -> None:
        """The place is wrong: take its object in hand with the box tool; of the random sample, it is wrong."""
        if self.widget.samples:
            self._judge(WRONG)
            return
        item = self._current()
        if item is not None:
            self.look_at(item.object_id, item.frame)
            self._dock.controls.box.click()
            self._dock.controls.say(
                f"Object {item.object_id}, frame {item.frame}: drag a box around the cell, then press Track (G). If it "
                "is not there, press Not here (Q)."
            )

    def draw(self) -> None:
        """Draw masks at random."""
        n = self.widget.sample.n.value()

        def draw(session: "Session") -> str:
            audit = session.draw_audit(n, seed=len(session.history))
            return f"{len(audit.places)} of {audit.n_masks:,} masks are drawn at random. Judge each of them. {BACK}"

        self._sample = Walk()
        self._then_on(draw)

    def look_at(self, object_id: int, frame: int) -> None:
        """Show an object on a frame, in hand, and near where that is wanted."""
        dock, reviewed = self._dock, self.reviewed
        dock.runs.look_at(object_id, frame)
        where = None if reviewed is None else reviewed.where(object_id, frame)
        if where is not None and self.widget.zoom.isChecked():
            with self._reporting:
                self._closeup.show(dock.source, frame, *where)
        self._show_place()

    def go_to(self, object_id: int, frame: int) -> None:
        """As :meth:`look_at`; where it is a place of the queue, that is chosen."""
        queue = () if self.reviewed is None or self.widget.samples else self.reviewed.queue
        there = (row for row, item in enumerate(queue) if item.object_id == object_id and frame in item.frames)
        row = next(there, None)
        if row is not None:
            self._queue.go(row)
            self._show_chosen()
        self.look_at(object_id, frame)

    # ---- inside

    @property
    def _walk(self) -> Walk:
        return self._sample if self.widget.samples else self._queue

    @property
    def _places(self) -> tuple[tuple[int, int], ...]:
        """Object and frame of each row of the list in sight."""
        if self.reviewed is None:
            return ()
        if self.widget.samples:
            return () if self.reviewed.audit is None else self.reviewed.audit.places
        return tuple((item.object_id, item.frame) for item in self.reviewed.queue)

    def _current(self) -> "ReviewItem | None":
        """That of the queue which is chosen and in sight; says what to do where none is."""
        queue, at = () if self.reviewed is None else self.reviewed.queue, self._queue.at
        with self._reporting:
            if not 0 <= at < len(queue):
                raise SourceError("no place is chosen; press Next (J), or click one in the list")
            self._check_sight(queue[at].object_id, queue[at].frames, str(queue[at]))
            return queue[at]
        return None

    def _check_sight(self, object_id: int, frames: range, words: str) -> None:
        """Nobody judges what is not shown: the slider, or another object in hand, may have led away from it."""
        if self._dock.controls.object_id.value() != object_id or self._dock.frame not in frames:
            raise SourceError(f"not in sight: {words}; click it in the list to go back to it")

    def _go(self, row: int) -> None:
        places = self._places
        if 0 <= row < len(places):
            self._walk.go(row)
            self._show_chosen()
            self.look_at(*places[row])

    def _judge_clicked(self, verdict: str, *_: Any) -> None:
        self._judge(verdict)

    def _judge(self, verdict: str) -> None:
        places, at = self._places, self._sample.at
        with self._reporting:
            if not 0 <= at < len(places):
                raise SourceError("no mask is chosen; press Next (J), or click one in the list")
            object_id, frame = places[at]
            self._check_sight(object_id, range(frame, frame + 1), f"object {object_id}, frame {frame}")

            def judge(session: "Session") -> str:
                session.judge(object_id, frame, verdict)
                return f"Object {object_id} on frame {frame}: {verdict}. {BACK}"

            self._then_on(judge)

    def _then_on(self, change: Any) -> None:
        """Change the session in the thread of edits; then go on to the next place."""
        with self._reporting:
            self._dock.jobs.edit(change)
            self._go_on = True

    def _known(self, result: "Result", outcome: "JobEnd") -> None:
        if result is not self._shown:
            return
        if outcome.error is not None:
            self._dock.controls.say(refusal(outcome.error, 0)[1], error=True)
            return
        before, self.reviewed = self.reviewed, outcome.value
        self._keep_place(before)
        self._show()
        if self._go_on:
            self._go_on = False
            self._on()
        if self._first_step:
            self.step(self._first_step)

    def _keep_place(self, before: Reviewed | None) -> None:
        """Let the place in hand stay so, wherever it is in the queue now; a run may have changed its frames."""
        assert self.reviewed is not None
        queue, old = self.reviewed.queue, () if before is None else before.queue
        if 0 <= self._queue.at < len(old):
            was = old[self._queue.at]
            same = (row for row, item in enumerate(queue) if item.object_id == was.object_id and _overlap(item, was))
            self._queue.keep(next(same, None), len(queue))

    def _on(self) -> None:
        """To what is next: the place after one that was accepted, or a mask that nobody judged yet."""
        if not self.widget.samples:
            if self._queue.at >= 0 and not self._queue.seen:
                self._go(self._queue.at)
            return
        audit = None if self.reviewed is None else self.reviewed.audit
        if audit is not None and audit.left:
            later = [row for row, said in enumerate(audit.verdicts) if not said]
            self._go(next((row for row in later if row > self._sample.at), later[0]))

    def _show(self) -> None:
        self._show_lists()
        view = self.strip.view
        if view is not None:
            reviewed = self.reviewed
            view.show_heat(*((None, {}) if reviewed is None else (reviewed.heat, reviewed.names)))
        self._show_strip()

    def _show_lists(self) -> None:
        self.widget.queue.show_queue(self.reviewed, self._queue.at)
        self.widget.sample.show_sample(self.reviewed, self._sample.at)

    def _show_strip(self, *_: Any) -> None:
        """Have the strip in sight, or not; it is made when there is first something to show."""
        wanted = self._visible and self.widget.strip.isChecked() and self.reviewed is not None
        if not wanted:
            self.strip.hide()
            return
        new = self.strip.view is None
        view = self.strip.open()
        if new and self.reviewed is not None:
            view.show_heat(self.reviewed.heat, self.reviewed.names)
        self._show_place()

    def _show_chosen(self) -> None:
        """Mark the place that is looked at; nothing else is another."""
        panel, reviewed = self.widget, self.reviewed
        assert reviewed is not None
        if panel.samples:
            panel.sample.choose(self._sample.at)
        else:
            panel.queue.list.choose(self._queue.at)
            panel.queue.show_current(reviewed.queue[self._queue.at])

    def _show_outlines(self, *_: Any) -> None:
        view, wanted = self._dock.jobs.view, self._visible and self.widget.outlines.isChecked()
        self._outlines.show(view.labels if wanted and view is not None else None)

    def _show_place(self) -> None:
        view = self.strip.view
        if view is not None:
            with self._reporting:
                view.show_place(self._dock.controls.object_id.value(), self._dock.frame)


def _overlap(one: "ReviewItem", other: "ReviewItem") -> bool:
    return one.start < other.stop and other.start < one.stop
