"""Thirty actions of all kinds, undone one by one and done again one by one: the same bytes at every station."""

from dataclasses import replace

import numpy as np
import pytest
from tests.core.session.test_session import LABELS, SQUARE, THIRD, TWO, N, session_of, stroke, told

from napari_mosam import BoxPrompt, MaskPrompt, PointPrompt


def set_to(session, **settings):
    session.settings = replace(session.settings, **settings)


def painting(session, frame, where, object_id):
    """What paints during a run, once."""

    def paint(result, done, total):
        if done == 2 and not session.waiting:
            stroke(session, frame, where, object_id)

    return paint


def marking(session, mark):
    return lambda result, done, total: session.mark(mark) if done == 1 else None


def script(session, folder):
    """The actions; those that only prepare one are part of it."""
    small = np.zeros_like(SQUARE)
    small[50:56, 50:58] = True

    def acted(*calls):
        return lambda: [call() for call in calls]

    return [
        lambda: session.paint(1, np.where(LABELS[1] == 1, 1, 0)),
        lambda: setattr(session, "prompts", TWO),
        acted(lambda: set_to(session, frames=(0, 4)), session.run),
        lambda: stroke(session, 2, SQUARE, 1),
        lambda: session.mark(BoxPrompt(2, 3, (38, 34, 50, 46))),
        session.run,
        lambda: session.lock(2, 1, 2),
        lambda: session.correct(1, 3, LABELS[3] == 3),
        lambda: session.save(folder / "cells.zarr"),
        lambda: session.release(1, 2),
        acted(lambda: set_to(session, frames=(4, N)), session.run),
        lambda: session.mark(THIRD),
        acted(lambda: set_to(session, frames=(0, N)), lambda: session.run(progress=painting(session, 5, small, 9))),
        lambda: stroke(session, 4, LABELS[4] == 2, 0),
        lambda: session.correct(2, 0, None, follow=False),
        lambda: session.remove(3),
        lambda: session.mark(PointPrompt(1, 5, (20.0, 25.0)), PointPrompt(1, 5, (44.0, 40.0), positive=False)),
        lambda: session.run([1]),
        lambda: session.lock(1, *range(N)),
        lambda: setattr(session, "prompts", [p for p in session.prompts if p.object_id != 9]),
        lambda: session.mark(MaskPrompt.from_frame(70_000, 3, LABELS[3] == 3)),
        acted(lambda: set_to(session, frames=(2, 5)), session.run),
        lambda: session.run(anew=True),
        lambda: session.release(1, 0, 1, 3),
        acted(lambda: set_to(session, frames=None, direction="forward"), session.run),
        lambda: session.run(anew=True),
        lambda: stroke(session, 0, small, 70_000),
        lambda: session.mark(BoxPrompt(2, 4, (36, 32, 52, 48))),
        lambda: session.run(progress=marking(session, BoxPrompt(1, 2, (14, 16, 26, 28)))),
        acted(
            lambda: session.lock(2, 3),
            lambda: session.swap(1, 2, 3),
            lambda: session.rename(2, "mother"),
            lambda: session.split(2, 4),
            lambda: session.merge(1, 70_000, 2),
        ),
    ]


def state(session):
    """All that a person sees: marks, where the result lies, and every byte of it, locks among them."""
    files = {} if session.path is None else told(session.path)
    place = None if session.path is None else session.path.parent.name
    return session.prompts, place, files


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_thirty_actions_are_undone_and_done_again_to_the_byte(tmp_path):
    session = session_of(tmp_path, prompts=[])
    (tmp_path / "saved").mkdir()
    actions = script(session, tmp_path / "saved")
    assert len(actions) == 30
    stations, recent = [state(session)], None
    for act in actions:
        entries = len(session.history)
        act()
        new = len(session.history) - entries
        assert new or session.saved, "the action is in no history"
        stations += [*[None] * (new - 1), state(session)] if new else []  # None: between two entries of one action
        recent = recent or (session.path and session.path.parent.name)
    stations = [s and (s[0], "saved" if s[1] == recent else s[1], s[2]) for s in stations]
    assert len(stations) == len(session.history) + 1 > 30
    for station in stations[-2::-1]:
        session.undo()
        assert station in (None, state(session))
    assert session.history == () and session.result is None
    for station in stations[1:]:
        session.redo()
        assert station in (None, state(session))
    assert session.undone == ()
