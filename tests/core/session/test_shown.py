"""What an array shows that was taken from a session during a run: the frames that were told of, as they are on disk."""

import threading

import numpy as np
import pytest
from tests.core.session.test_session import LABELS, SQUARE, THIRD, session_of

from napari_mosam import MaskPrompt, Result


def watched(session, *, from_another_thread=False):
    """Run, and on every frame that is told of compare all of those with a result that is opened anew."""
    arrays, told, seen = [], [], []

    def compare(result, *_):
        arrays[:] = arrays or [session.result.labels, session.result.confidence]
        told.append(result.t)
        fresh = Result.open(session.path)
        for mine, new in zip(arrays, (fresh.labels, fresh.confidence), strict=True):
            seen.extend(np.array_equal(mine[t], new[t]) for t in told)

    def in_a_thread(*given):
        thread = threading.Thread(target=compare, args=given)
        thread.start()
        thread.join()

    session.events.frame.connect(in_a_thread if from_another_thread else compare)
    session.run()
    return seen, [np.asarray(array[:]) for array in arrays]


@pytest.mark.parametrize("thread", [False, True])
def test_arrays_of_the_first_frame_show_each_frame_of_a_run(tmp_path, thread):
    session = session_of(tmp_path)
    seen, (labels, confidence) = watched(session, from_another_thread=thread)
    assert seen and all(seen)
    assert np.array_equal(labels, session.result.labels[:]) and labels.any()
    assert np.array_equal(confidence, session.result.confidence[:])


@pytest.mark.parametrize("object_id", [3, 70_000])
def test_arrays_of_the_first_frame_show_each_frame_of_a_rerun(session, object_id):
    session.mark(MaskPrompt.from_frame(object_id, 2, LABELS[2] == 3))
    seen, (labels, _) = watched(session)
    assert seen and all(seen) and object_id in labels
    assert np.array_equal(labels, session.result.labels[:])


def test_a_reader_beside_the_writer_never_sees_damage(session):
    end, wrong = threading.Event(), []

    def read():
        while not end.is_set():
            try:
                np.asarray(session.result.labels[:]), np.asarray(session.result.confidence[:])
            except Exception as error:
                wrong.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    session.mark(THIRD)
    session.run(), session.undo(), session.redo()
    session.run(anew=True), session.undo()
    end.set(), reader.join()
    assert wrong == []


def test_what_waits_is_told(tmp_path):
    session = session_of(tmp_path)
    session.paint(4, np.where(SQUARE, 1, 0)), session.paint(2, np.where(SQUARE, 1, 0))
    assert session.waiting == (2, 4)
    session.run()
    assert session.waiting == ()


def test_a_run_that_fails_leaves_the_result_as_it_was(session):
    def fails(*_):
        raise OSError("no room")

    before, labels = session.path, np.asarray(session.result.labels[:])
    session.mark(THIRD)
    with pytest.raises(OSError, match="no room"):
        session.run(progress=fails)
    assert session.path == before and session.result.complete and np.array_equal(session.result.labels[:], labels)
    session.lock(1, 1)
