"""One shift from several cues."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_mosam.core.motion.prediction import fuse
from napari_mosam.core.results.frame import Cue

DRIFT = Cue("drift", (1.0, 0.0), 1.0)


def used(cues, diameter=20):
    shift, told = fuse([DRIFT, *cues], diameter)
    return shift, [cue.name for cue in told if cue.used]


@pytest.mark.parametrize(
    ("cues", "shift", "names"),
    [
        ([], (1, 0), ["drift"]),
        ([Cue("flow", (9, 9), 0.0)], (1, 0), ["drift"]),
        ([Cue("flow", (9, 9), 5e-324)], (1, 0), ["drift"]),
        ([Cue("flow", (4, 4), 0.5)], (4, 4), ["flow"]),
        ([Cue("flow", (4, 4), 0.5), Cue("keypoints", (6, 4), 0.5)], (5, 4), ["flow", "keypoints"]),
        ([Cue("flow", (4, 4), 0.9), Cue("keypoints", (5, 4), 0.1)], (4.1, 4), ["flow", "keypoints"]),
        ([Cue("flow", (4, 4), 0.9), Cue("keypoints", (12, 4), 0.9)], (1, 0), ["drift"]),
        ([Cue("flow", (4, 4), 0.9), Cue("keypoints", (12, 4), 0.0)], (4, 4), ["flow"]),
        ([Cue("flow", (4, 4), 0.9), Cue("kalman", (-3, 2), 1.0)], (-3, 2), ["kalman"]),
        ([Cue("velocity", (7, 7), 1.0), Cue("flow", (4, 4), 0.9)], (7, 7), ["velocity"]),
    ],
)
def test_verified_cues_decide_together_or_not_at_all(cues, shift, names):
    found, told = used(cues)
    assert found == pytest.approx(shift)
    assert told == names


SHIFTS = st.tuples(st.floats(-50, 50), st.floats(-50, 50))


@given(st.lists(st.builds(Cue, st.sampled_from(["flow", "keypoints"]), SHIFTS, st.floats(0, 1)), max_size=2))
def test_the_shift_lies_between_the_cues_that_made_it(cues):
    shift, told = fuse([DRIFT, *cues], 20)
    made_it = [cue for cue in told if cue.used]
    assert made_it
    for axis in (0, 1):
        values = [cue.shift_yx[axis] for cue in made_it]
        assert min(values) - 1e-9 <= shift[axis] <= max(values) + 1e-9
