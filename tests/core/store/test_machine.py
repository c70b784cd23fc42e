"""Whatever is done to a result, in any order, and killed at any moment: it is one of the states it was brought to."""

import shutil
import tempfile
from pathlib import Path
from unittest.mock import patch

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests.support.crashes import Killed, content_but_journal, dying_at
from tests.support.fake_model import FakeSegmenter, disks

from napari_mosam.core.api import track
from napari_mosam.core.api_results import rerun
from napari_mosam.core.config.engine import EngineConfig, MotionConfig
from napari_mosam.core.files import disk
from napari_mosam.core.prompts.collection import MaskPrompt
from napari_mosam.core.store.result import Result

N = 4
IMAGES, LABELS = disks([[(40, 40 + t), (40, 52 + t)] for t in range(N)], radius=7)
BASE = [MaskPrompt.from_frame(i, 0, LABELS[0] == i) for i in (1, 2)]
OBJECTS, FRAMES = st.sampled_from([1, 2]), st.integers(0, N - 1)


def shifted(object_id, t):
    """A correction that is not what was found."""
    return MaskPrompt.from_frame(object_id, t, np.roll(LABELS[t] == object_id, 3, axis=0))


class ResultMachine(RuleBasedStateMachine):
    """A result, and the states it is to go back and forth between."""

    @initialize()
    def make(self):
        self.folder = Path(tempfile.mkdtemp())
        self.out = self.folder / "out.zarr"
        self.patched = patch.object(disk, "sync")
        self.patched.start()
        track(IMAGES, BASE, out=self.out, model=FakeSegmenter(), config=EngineConfig(motion=MotionConfig.off()))
        self.done, self.undone = [content_but_journal(self.out)], []
        self.locks = [{}]

    def teardown(self):
        if hasattr(self, "folder"):
            self.patched.stop()
            shutil.rmtree(self.folder)

    @property
    def result(self):
        return Result.open(self.out)

    def note(self, locks=None):
        """Something was done."""
        if content_but_journal(self.out) != self.done[-1] or locks is not None:
            self.done.append(content_but_journal(self.out))
            self.locks.append(self.locks[-1] if locks is None else locks)
            self.undone = []

    def correct(self, object_id, t):
        kept = [p for p in self.result.prompts if (p.object_id, p.frame) != (object_id, t)]
        toggled = kept if len(kept) < len(self.result.prompts) else [*kept, shifted(object_id, t)]
        rerun(self.out, IMAGES, toggled, model=FakeSegmenter())

    @rule(object_id=OBJECTS, t=st.integers(1, N - 1))
    def correction(self, object_id, t):
        self.correct(object_id, t)
        self.note()

    @rule(object_id=OBJECTS, t=FRAMES)
    def lock(self, object_id, t):
        pixels = np.asarray(self.result.labels[t]) == object_id
        self.result.lock(object_id, t)
        self.note({**self.locks[-1], (object_id, t): pixels})

    @rule(object_id=OBJECTS, t=FRAMES)
    def unlock(self, object_id, t):
        self.result.unlock(object_id, t)
        self.note({key: pixels for key, pixels in self.locks[-1].items() if key != (object_id, t)})

    @rule(t=st.integers(1, N - 1))
    def swap(self, t):
        result = self.result.swap(1, 2, t)
        earlier = {(i, at): pixels for (i, at), pixels in self.locks[-1].items() if at < t}
        now = [(i, at) for at in range(t, N) for i in result.locked(at)]
        assert {(3 - i, at) for i, at in self.locks[-1] if at >= t} | {(1, t), (2, t)} <= {*now}
        self.note(earlier | {(i, at): np.asarray(result.labels[at]) == i for i, at in now})

    def by_hand(self, object_id, t, absent):
        """Pixels that a user gives an object: shifted, so that they are partly those of the other."""
        locked = [pixels for (i, at), pixels in self.locks[-1].items() if at == t and i != object_id]
        mask = np.roll(LABELS[t] == object_id, 5, axis=1) & ~np.any([np.zeros_like(LABELS[t], bool), *locked], axis=0)
        return np.zeros_like(mask) if absent else mask

    def noted_by_hand(self, object_id, t, mask):
        self.note({**self.locks[-1], (object_id, t): mask})

    @rule(object_id=OBJECTS, t=FRAMES, absent=st.booleans())
    def correction_by_hand(self, object_id, t, absent):
        mask = self.by_hand(object_id, t, absent)
        assert self.result.correct(object_id, t, mask if mask.any() else None).locked(t)
        self.noted_by_hand(object_id, t, mask)

    @rule(object_id=OBJECTS, t=FRAMES, absent=st.booleans(), n=st.integers(0, 60), torn=st.booleans())
    def killed_correction_by_hand(self, object_id, t, absent, n, torn):
        mask = self.by_hand(object_id, t, absent)
        killed = False
        try:
            with dying_at(n, torn=torn):
                self.result.correct(object_id, t, mask if mask.any() else None)
        except Killed:
            killed = True
        result = self.result
        if any(step.state == "unfinished" for step in result.history):
            assert not result.complete and "in the middle of a correction" in str(result.progress)
            result.undo()
        elif not killed or content_but_journal(self.out) != self.done[-1]:
            self.noted_by_hand(object_id, t, mask)

    @precondition(lambda self: len(self.done) > 1)
    @rule()
    def undo(self):
        self.result.undo()
        self.undone.append((self.done.pop(), self.locks.pop()))

    @precondition(lambda self: self.undone)
    @rule()
    def redo(self):
        self.result.redo()
        state, locks = self.undone.pop()
        self.done.append(state)
        self.locks.append(locks)

    @rule(object_id=OBJECTS, t=st.integers(1, N - 1), n=st.integers(0, 120), torn=st.booleans())
    def killed_correction(self, object_id, t, n, torn):
        try:
            with dying_at(n, torn=torn):
                self.correct(object_id, t)
        except Killed:
            pass
        if any(step.state == "unfinished" for step in self.result.history):
            assert not self.result.complete
            self.result.undo()
        self.note()

    @precondition(lambda self: len(self.done) > 1)
    @rule(n=st.integers(0, 60), torn=st.booleans())
    def killed_undo(self, n, torn):
        try:
            with dying_at(n, torn=torn):
                self.result.undo()
        except Killed:
            pass
        if self.result.history[len(self.done) - 1].state == "undone":
            self.undone.append((self.done.pop(), self.locks.pop()))

    @invariant()
    def it_is_what_it_was_brought_to(self):
        if hasattr(self, "done"):
            assert content_but_journal(self.out) == self.done[-1]
            assert self.result.complete
            assert len([step for step in self.result.history if step.state == "done"]) == len(self.done)

    @invariant()
    def locked_pixels_stay(self):
        if hasattr(self, "done"):
            result = self.result
            for (object_id, t), pixels in self.locks[-1].items():
                assert np.array_equal(np.asarray(result.labels[t]) == object_id, pixels)


TestResult = ResultMachine.TestCase
TestResult.settings = settings(
    max_examples=6, stateful_step_count=8, deadline=None, suppress_health_check=list(HealthCheck)
)
