"""When a run stops to ask: counted by hand on frames without an engine."""

from types import SimpleNamespace

import pytest

from napari_mosam.core.results.doubts import Pause, UnsureWatch
from napari_mosam.core.results.frame import ObjectState


def told(t, ious, direction="forward", **more):
    """A frame on which objects 1, 2, ... have these predicted IoUs."""
    objects = [
        SimpleNamespace(
            object_id=k,
            predicted_iou=iou,
            area=9 * (iou > 0),
            state=ObjectState.PRESENT if iou else ObjectState.LOST,
            prompted=False,
        )
        for k, iou in enumerate(ious, 1)
    ]
    return SimpleNamespace(t=t, direction=direction, objects=objects, skipped="", **more)


def pauses(patience, frames, **options):
    watch = UnsureWatch(patience)
    found = [watch.seen(told(t, ious, **options)) for t, ious in enumerate(frames)]
    return [pause for pause in found if pause]


def test_it_asks_once_for_each_stretch_of_frames_in_a_row():
    ious = [(0.9,), (0.6,), (0,), (0.6,), (0.6,), (0.9,), (0.5,), (0.5,)]
    assert pauses(3, ious) == [Pause(3, (1,), 3)]
    assert pauses(2, ious) == [Pause(2, (1,), 2), Pause(7, (1,), 2)]
    assert pauses(5, ious) == pauses(None, ious) == []


def test_objects_and_directions_are_counted_apart():
    assert pauses(2, [(0.6, 0.9), (0.9, 0.6), (0.6, 0.9)]) == []
    assert pauses(2, [(0.6, 0.6), (0.6, 0.6)]) == [Pause(1, (1, 2), 2)]
    watch = UnsureWatch(2)
    assert watch.seen(told(1, [0.6])) is watch.seen(told(1, [0.6], "backward")) is None


def test_what_left_or_was_marked_by_a_person_asks_nothing():
    watch = UnsureWatch(1)
    frame = told(0, [0.1, 0.1])
    frame.objects[0].prompted, frame.objects[1].state = True, ObjectState.ENDED
    assert watch.seen(frame) is None
    frame.objects[1].state, frame.skipped = ObjectState.LOST, "cannot be read"
    assert watch.seen(frame) is None


@pytest.mark.parametrize(
    ("pause", "words"),
    [
        (Pause(12, (3,), 5), "object 3 was unsure for 5 frames at frame 12"),
        (Pause(4, (3, 7), 1), "2 objects were unsure for 1 frame at frame 4: 3, 7"),
    ],
)
def test_a_pause_says_who_where_and_how_long(pause, words):
    assert str(pause) == words and Pause.from_json(pause.to_json()) == pause
