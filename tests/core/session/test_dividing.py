"""Divisions in a session: proposed, accepted in one entry of the history, denied, linked; kin outlives later runs."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
from tests.core.session.test_session import QUICK, told
from tests.support.fake_model import FakeSegmenter, disks

from napari_mosam import MaskPrompt, Prompts, Session, replay
from napari_mosam.core.results.frame import ObjectState

N, BORN = 12, 5


def frame_of(t):
    """One disk that divides, and one that does not."""
    apart = 7 + min(t - BORN, 4)
    places = [(32, 32), (12, 52)] if t < BORN else [(32 - apart, 32), (32 + apart, 32), (12, 52)]
    return disks([places], shape=(64, 64), radius=8 if t < BORN else 6)


FRAMES = [frame_of(t) for t in range(N)]
IMAGES, LABELS = (np.stack([frame[k][0] for frame in FRAMES]) for k in (0, 1))
MARKS = [MaskPrompt.from_frame(i, 0, LABELS[0] == i) for i in (1, 2)]
DAUGHTERS = [LABELS[BORN] == 1, LABELS[BORN] == 2]


def labels(session):
    return np.asarray(session.result.labels[:])


@pytest.fixture(scope="module")
def followed(tmp_path_factory):
    """A result in which the disks were followed, and nobody divided."""
    folder = tmp_path_factory.mktemp("dividing")
    session = Session(IMAGES, MARKS, model=FakeSegmenter(), config=QUICK, recent=folder / "recent")
    session.run()
    session.save(folder / "cells.zarr")
    session.close()
    return folder / "cells.zarr"


@pytest.fixture
def session(followed, tmp_path):
    shutil.copytree(followed, tmp_path / "cells.zarr")
    return opened(tmp_path)


def opened(folder, name="cells.zarr"):
    return Session.open(folder / name, IMAGES, model=FakeSegmenter(), recent=folder / "recent")


def is_a_division(session, mother, one, other):
    """The mother ends before the division, each daughter covers a true one from there on, and nobody is seen else."""
    found = labels(session)
    assert (found[:BORN] == mother).any((1, 2)).all()
    assert not (found[BORN:] == mother).any()
    assert not np.isin(found[:BORN], [one, other]).any()
    for t in range(BORN, N):
        true = [LABELS[t] == k for k in (1, 2)]
        shares = [[((found[t] == i) & cell).sum() / cell.sum() for cell in true] for i in (one, other)]
        assert sorted(np.argmax(shares, 1)) == [0, 1]
        assert np.max(shares, 1).min() > 0.8
    assert session.result.parents == {one: mother, other: mother}


def test_a_division_is_proposed_and_nothing_changes(session):
    before, steps = labels(session), session.history
    (proposal,) = session.propose_divisions()
    assert (proposal.mother, proposal.frame, proposal.known) == (1, BORN, (None, None))
    assert "two cells are seen in its place from frame 5 on" in proposal.why
    np.testing.assert_array_equal(labels(session), before)
    assert session.history == steps


def test_accepting_is_one_entry_and_follows_the_daughters_alone(session):
    before, tables = labels(session), [session.result.frame_table(t).get(2) for t in range(N)]
    (proposal,) = session.propose_divisions()
    one, other = session.accept_division(proposal)
    assert (one, other) == (3, 4)
    is_a_division(session, 1, one, other)
    assert session.history[-1] == "the division of object 1 on frame 5"
    np.testing.assert_array_equal(labels(session) == 2, before == 2)
    for t, old in enumerate(tables):
        np.testing.assert_array_equal(session.result.frame_table(t).get(2).logits, old.logits)
    assert session.propose_divisions() == ()
    session.undo()
    np.testing.assert_array_equal(labels(session), before)
    assert session.result.parents == {} and session.prompts.object_ids == (1, 2)
    session.redo()
    is_a_division(session, 1, one, other)
    assert session.prompts.object_ids == (1, 2, 3, 4)


@pytest.mark.parametrize("given", [DAUGHTERS, [(25.0, 32.0), (39.0, 32.0)], [(39.0, 32.0)]])
def test_by_hand_with_pixels_or_places_or_the_other_one_alone(session, given):
    is_a_division(session, 1, *session.divide(1, BORN, given))


def test_daughters_that_are_there_already_are_only_linked(session):
    session.mark(*(MaskPrompt.from_frame(i, BORN, mask) for i, mask in zip((7, 8), DAUGHTERS, strict=True)))
    session = forward(session)
    before = labels(session)
    assert session.divide(1, BORN, [7, 8]) == (7, 8)
    np.testing.assert_array_equal(labels(session)[labels(session) > 0], before[labels(session) > 0])
    assert session.result.parents == {7: 1, 8: 1}
    assert not (labels(session)[BORN:] == 1).any()


def test_what_was_not_followed_is_followed_by_the_next_run(session):
    one, other = session.divide(1, BORN, DAUGHTERS, follow=False)
    assert not (labels(session)[-1] == other).any()
    session.run()
    is_a_division(session, 1, one, other)


def test_marks_and_corrections_behind_the_division_go_to_the_daughter_that_has_the_most_of_it(session):
    held = labels(session)[BORN + 3] == 1
    session.correct(1, BORN + 3, held, follow=False)
    one, other = session.divide(1, BORN, DAUGHTERS)
    heir = one if (held & (LABELS[BORN + 3] == 1)).any() else other
    assert session.result.locked(BORN + 3) == (1, heir)
    np.testing.assert_array_equal(labels(session)[BORN + 3] == heir, held)
    is_a_division(session, 1, one, other)


def test_what_was_rejected_is_not_proposed_again_unless_that_is_undone(session, tmp_path):
    (proposal,) = session.propose_divisions()
    session.reject_division(proposal.mother, proposal.frame)
    assert session.propose_divisions() == ()
    session.close()
    session = opened(tmp_path)
    assert session.propose_divisions() == ()
    session.undo()
    assert len(session.propose_divisions()) == 1


def test_kin_outlives_runs_new_results_and_reopening(session, tmp_path):
    one, other = session.divide(1, BORN, DAUGHTERS)
    kin = {one: 1, other: 1}
    session.correct(1, 2, LABELS[2] == 1)
    assert session.result.parents == kin
    assert not (labels(session)[BORN:] == 1).any()
    session.run(frames=(0, N), anew=True)
    assert session.result.parents == kin
    session.settings = replace(session.settings, diameter=14.0)
    session.run()
    assert session.path != tmp_path / "cells.zarr" and session.result.parents == kin
    is_a_division(session, 1, one, other)
    session.save_as(tmp_path / "other.zarr")
    session.close()
    session = opened(tmp_path, "other.zarr")
    is_a_division(session, 1, one, other)
    frame = session.result.to_dataframe()
    assert set(frame.loc[frame.object == one, "parent"]) == {1}
    assert frame.loc[frame.object == 1, "parent"].isna().all()


def test_replay_gives_the_same_bytes(session, tmp_path):
    one, other = session.divide(1, BORN, DAUGHTERS)
    session.unlink(one)
    session.link(one, 2)
    session.reject_division(2, 7)
    session.close()
    made = replay(tmp_path / "cells.zarr", tmp_path / "again.zarr", movie=IMAGES, model=FakeSegmenter())
    assert made.parents == {one: 2, other: 1}
    assert told(tmp_path / "cells.zarr") == told(tmp_path / "again.zarr")
    final = replay(
        tmp_path / "cells.zarr", tmp_path / "final.zarr", movie=IMAGES, model=FakeSegmenter(), all_at_once=True
    )
    assert final.parents == made.parents
    np.testing.assert_array_equal(final.labels[:] > 0, made.labels[:] > 0)
    assert not (np.asarray(final.labels[:])[BORN:] == 1).any()


def test_links_are_made_and_broken(session):
    one, other = session.divide(1, BORN, DAUGHTERS)
    session.unlink(other)
    assert session.result.parents == {one: 1}
    session.link(other, 2)
    assert session.result.parents == {one: 1, other: 2}
    session.undo()
    session.undo()
    assert session.result.parents == {one: 1, other: 1}
    assert session.history[-1] == "the division of object 1 on frame 5"


def test_swapped_ids_keep_their_kin(session):
    one, other = session.divide(1, BORN, DAUGHTERS)
    session.swap(1, 2, 2)
    assert session.result.parents == {one: 2, other: 2}


def test_tracks_of_the_challenge_end_and_begin_at_the_division(session, tmp_path):
    one, other = session.divide(1, BORN, DAUGHTERS)
    session.export(tmp_path / "ctc")
    rows = (tmp_path / "ctc" / "res_track.txt").read_text().splitlines()
    assert rows == [f"1 0 {BORN - 1} 0", f"2 0 {N - 1} 0", f"{one} {BORN} {N - 1} 1", f"{other} {BORN} {N - 1} 1"]


def test_what_cannot_be_is_refused_and_leaves_all_as_it_was(session):
    before, steps = labels(session), session.history
    one = DAUGHTERS[0]
    for mother, frame, daughters, said in (
        (9, BORN, DAUGHTERS, "there is no object 9"),
        (1, 0, DAUGHTERS, "give one of 1 to 11"),
        (1, N, DAUGHTERS, "give one of 1 to 11"),
        (1, BORN, [2, one], "is there before"),
        (1, BORN, [1, one], "is the mother"),
        (1, BORN, [one, one], "the same pixels"),
        (1, BORN, [], "0 daughters are given"),
        (1, BORN, [one, np.zeros((64, 64), bool)], "no pixel"),
        (1, BORN, [one, np.ones((3, 3), bool)], r"give \(Y, X\) = \(64, 64\)"),
    ):
        with pytest.raises(ValueError, match=said):
            session.divide(mother, frame, daughters)
    for daughter, mother, said in ((1, 1, "its own mother"), (1, 2, "a mother is there before"), (9, 1, "no object 9")):
        with pytest.raises(ValueError, match=said):
            session.link(daughter, mother)
    with pytest.raises(ValueError, match="nothing to break"):
        session.unlink(2)
    np.testing.assert_array_equal(labels(session), before)
    assert session.history == steps and session.result.parents == {}
    session.divide(1, BORN, DAUGHTERS)
    with pytest.raises(ValueError, match="has daughters already: 3 and 4"):
        session.divide(1, 3, DAUGHTERS)
    with pytest.raises(ValueError, match="descends from object 1"):
        session.link(1, 3)


def test_a_daughter_is_not_followed_before_she_begins(session):
    frames = []
    session.events.frame.connect(lambda result, done, total: frames.append(result.t))
    session.divide(1, BORN, DAUGHTERS)
    assert frames == list(range(BORN, N))
    assert session.result.state[BORN:, 0].tolist() == [""] * (N - BORN)
    assert session.result.state[: BORN - 1, 0].tolist() == [str(ObjectState.PRESENT)] * (BORN - 1)


def forward(session):
    """A session with the same marks, which are followed forward alone."""
    made = Session(
        IMAGES,
        Prompts(session.prompts),
        model=FakeSegmenter(),
        config=QUICK,
        direction="forward",
        recent=session.path.parent / "forward",
    )
    made.run()
    return made
