"""When an object is present, lost and ended."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_mosam.core.config.engine import LifecycleConfig
from napari_mosam.core.results.frame import ObjectState
from napari_mosam.core.tracking.lifecycle import Detection, Encounter, Lifecycle

CONFIG = LifecycleConfig(confirm=2, end_at_border=3)
GOOD = Detection(True, True, True, 0.6)
SURE = Detection(True, True, False, 0.95)
NOTHING = Detection(False, False, False, 0.1)
LEAP = Detection(True, False, False, 0.9)
ELSEWHERE = Detection(True, False, False, 0.95)
UNSURE = Detection(True, True, False, 0.3)


def after(sightings, config=CONFIG, leaving=False, life=None):
    """The states of an object that is seen like this, frame by frame."""
    life, states = life or Lifecycle(), []
    for seen in sightings:
        life = life.found() if life.confirms(seen, config) else life.lost(seen, leaving, config)
        states.append(life.state.value[0])
    return "".join(states)


@pytest.mark.parametrize(
    ("sightings", "states"),
    [
        ([GOOD, GOOD], "pp"),
        ([NOTHING, GOOD], "lp"),
        ([NOTHING] * 3 + [GOOD, GOOD, GOOD], "llllpp"),
        ([NOTHING] * 3 + [SURE], "lllp"),
        ([NOTHING] * 3 + [GOOD, NOTHING, GOOD, GOOD], "llllllp"),
        ([NOTHING] * 3 + [ELSEWHERE] * 4, "lllllll"),
        ([NOTHING] * 3 + [UNSURE] * 4, "lllllll"),
        ([NOTHING, ELSEWHERE], "ll"),
        ([LEAP], "l"),
    ],
)
def test_a_lost_object_returns_only_through_the_gates(sightings, states):
    assert after(sightings) == states


def test_how_sure_the_model_must_be_of_a_return_is_a_setting():
    doubted, gone = [NOTHING] * 3 + [UNSURE] * 4, [NOTHING] * 3
    assert after(doubted, replace(CONFIG, return_iou=(0.3, 0.7))) == "llllppp"
    assert after(doubted, replace(CONFIG, return_iou=(0.3, 0.3))) == "lllpppp"
    assert after([*gone, SURE, SURE], replace(CONFIG, return_iou=(0.5, 0.99))) == "llllp"


@pytest.mark.parametrize("longest", [0, 1, 5])
def test_objects_that_lie_in_one_another_are_told_apart_by_their_motion_for_a_time(longest):
    config, encounter, told = LifecycleConfig(max_hidden=longest), Encounter(), []
    for _ in range(8):
        encounter = encounter.longer(config)
        told.append(encounter.ambiguous)
    assert told == [True] * longest + [False] * (8 - longest)
    assert not Encounter().ambiguous


def test_without_gates_the_object_score_alone_decides():
    assert after([NOTHING] * 3 + [LEAP, NOTHING, UNSURE], LifecycleConfig.off()) == "lllplp"


def test_an_object_that_left_through_the_border_has_ended_for_good():
    assert after([NOTHING] * 3 + [SURE] * 2, leaving=True) == "lleee"
    assert after([NOTHING] * 9, leaving=False) == "l" * 9
    assert after([NOTHING] * 9, LifecycleConfig(end_at_border=0), leaving=True) == "l" * 9


SIGHTINGS = st.builds(Detection, st.booleans(), st.booleans(), st.booleans(), st.floats(0, 1))


@given(st.lists(SIGHTINGS, max_size=20), st.integers(0, 4), st.booleans())
def test_no_object_is_present_without_being_seen_and_none_comes_back_from_the_end(sightings, confirm, leaving):
    life = Lifecycle()
    for seen in sightings:
        ended = life.state is ObjectState.ENDED
        config = LifecycleConfig(confirm=confirm, end_at_border=4)
        life = life.found() if life.confirms(seen, config) else life.lost(seen, leaving, config)
        assert not (ended and life.state is not ObjectState.ENDED)
        assert seen.visible or life.state is not ObjectState.PRESENT
        assert (life.missing == 0) == (life.state is ObjectState.PRESENT)
