"""A session without a viewer: the bytes of a run, what a person painted, one history, and places, on a fake model."""

import shutil
import threading

import numpy as np
import pytest
from tests.support.crashes import content_but_journal
from tests.support.fake_model import FakeSegmenter, disks

from napari_mosam import (
    BoxPrompt,
    EngineConfig,
    MaskPrompt,
    MotionConfig,
    PointPrompt,
    Prompts,
    Result,
    Session,
    rerun,
    track,
)
from napari_mosam.core.session.recent import Recent
from napari_mosam.core.session.session_file import NAME

N = 6
IMAGES, LABELS = disks([[(20, 20 + t), (44, 40), (20, 34 + t)] for t in range(N)], shape=(64, 64), radius=6)
QUICK = EngineConfig(motion=MotionConfig.off())
TWO = [MaskPrompt.from_frame(i, 0, LABELS[0] == i) for i in (1, 2)]
THIRD = MaskPrompt.from_frame(3, 2, LABELS[2] == 3)


def told(path):
    """All files of a result, but what can be undone and what a session adds."""
    return {name: found for name, found in content_but_journal(path).items() if name != NAME}


def session_of(folder, movie=IMAGES, prompts=TWO, **options):
    given = {"model": FakeSegmenter(), "config": QUICK, "recent": folder / "recent"}
    return Session(movie, prompts, **given, **options)


def opened(folder, name="cells.zarr"):
    return Session.open(folder / name, IMAGES, model=FakeSegmenter(), recent=folder / "recent")


def stroke(session, frame, where, object_id):
    """Paint as a brush does: on what the frame shows."""
    labels = np.array(session.result.labels[frame])
    labels[where] = object_id
    return session.paint(frame, labels)


SQUARE = np.zeros((64, 64), bool)
SQUARE[22:42, 4:24] = True  # 400 px


# ---- runs


@pytest.mark.parametrize("direction", ["both", "forward"])
def test_a_run_gives_the_bytes_of_track(tmp_path, direction):
    prompts = [TWO[0], MaskPrompt.from_frame(2, 3, LABELS[3] == 2)]
    one = session_of(tmp_path, prompts=prompts, direction=direction)
    frames = []
    one.events.frame.connect(lambda result, done, total: frames.append((result.t, done, total)))
    one.run()
    assert frames[-1][1:] == (len(frames), len(frames))
    assert not one.saved and one.result.complete
    one.save(tmp_path / "one.zarr")
    out = tmp_path / "track" / "one.zarr"
    track(IMAGES, prompts, out=out, model=FakeSegmenter(), config=QUICK, direction=direction)
    assert told(one.path) == told(out)


def test_a_stopped_run_goes_on_to_the_same_bytes(tmp_path, made):
    session = session_of(tmp_path)
    half = session.run(progress=lambda result, done, total: session.stop() if done == 3 else None)
    assert not half.complete and half.progress.frames == (0, 1, 2)
    session.close()
    again = opened(session.path.parent, session.path.name)
    assert again.resume().complete
    assert again.save(tmp_path / "cells.zarr") and told(again.path) == told(made.path)
    with pytest.raises(ValueError, match="was not stopped, so there is nothing to resume"):
        again.resume()


def test_a_second_run_follows_what_is_new_alone(session, tmp_path, made):
    session.mark(THIRD)
    session.run()
    shutil.copytree(made.path, tmp_path / "rerun" / "cells.zarr")
    rerun(tmp_path / "rerun" / "cells.zarr", IMAGES, [*TWO, THIRD], model=FakeSegmenter())
    assert told(session.path) == told(tmp_path / "rerun" / "cells.zarr")


def test_other_settings_are_a_new_result_and_undo_gives_the_earlier_one(session):
    before, old = session.path, told(session.path)
    session.settings = type(session.settings).from_dict(session.settings.to_dict() | {"direction": "backward"})
    session.run()
    assert session.path != before and session.result.attrs["direction"] == "backward"
    session.undo()
    assert session.path == before and told(before) == old
    session.redo()
    assert session.result.attrs["direction"] == "backward"


def test_a_stopped_rerun_leaves_the_result_as_it_was(session):
    before = told(session.path)
    session.mark(THIRD)
    session.run(progress=lambda *_: session.stop())
    assert told(session.path) == before and session.result.complete
    assert session.history == ("1 mark",)


def test_half_a_mark_is_kept_and_refused_by_the_run_alone(session, tmp_path):
    """Such as a polygon beside the image, which covers no pixel."""
    half = Prompts([*TWO, MaskPrompt.from_frame(3, 2, np.zeros((64, 64), bool)), PointPrompt(4, 1, (5.0, 5.0), False)])
    session.set_prompts(half, "half a mark")
    session.close()
    again = opened(tmp_path)
    assert again.prompts == half
    with pytest.raises(ValueError, match="object 3 on frame 2"):
        again.run()


def test_marks_made_during_a_run_are_followed_by_the_next(tmp_path):
    session = session_of(tmp_path)
    session.run(progress=lambda result, done, total: session.mark(THIRD) if done == 2 else None)
    assert session.result.object_ids == (1, 2) and session.history == ("1 mark", "the run")
    assert session.run().object_ids == (1, 2, 3)


def test_one_thing_at_a_time_whatever_thread_asks(session):
    refused = []

    def other():
        try:
            session.lock(1, 0)
        except ValueError as error:
            refused.append(str(error))

    def from_a_thread(*_):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()

    session.mark(THIRD)
    session.run(progress=from_a_thread)
    assert refused[0] == "a run is going; wait for its end, or stop it, then try again"
    session.lock(1, 0)


# ---- what a person painted


def test_painted_pixels_survive_runs_claims_save_and_reopening(session, tmp_path):
    assert stroke(session, 2, SQUARE, 1) == (1,)
    session.mark(THIRD)
    claim = np.roll(SQUARE, (-4, 6), (0, 1))  # a neighbour that wants some of the pixels
    session.mark(MaskPrompt.from_frame(2, 2, claim))

    def kept():
        return int((session.result.labels[2][SQUARE] == 1).sum())

    session.run()
    assert kept() == 400
    session.run(anew=True)
    assert kept() == 400 and session.result.locked(2) == (1,)
    session.save_as(tmp_path / "other.zarr")
    assert kept() == 400
    session.close()
    assert (Result.open(tmp_path / "other.zarr").labels[2][SQUARE] == 1).all()


def test_a_painted_mask_is_a_prompt_of_the_next_run(session):
    stroke(session, 2, session.result.labels[2] == 1, 0)
    stroke(session, 2, LABELS[2] == 3, 1)  # object 1 is said to be the other disk
    session.run()
    assert ((session.result.labels[4] == 1) & (LABELS[4] == 3)).sum() > 0.8 * (LABELS[4] == 3).sum()


def test_erasing_the_last_pixel_says_absent_and_stays_so(session):
    assert stroke(session, 3, session.result.labels[3] == 2, 0) == (2,)
    session.run(anew=True)
    assert not (session.result.labels[3] == 2).any() and (session.result.labels[4] == 2).any()


def test_a_new_id_that_is_painted_is_an_object_that_is_followed(session):
    assert stroke(session, 1, LABELS[1] == 3, 7) == (7,)
    assert session.result.object_ids == (1, 2, 7)
    assert not (session.result.labels[3] == 7).any()
    session.run()
    assert ((session.result.labels[3] == 7) & (LABELS[3] == 3)).any()
    session.undo(), session.undo()
    assert session.result.object_ids == (1, 2) and session.prompts == Prompts(TWO)


def test_what_is_painted_before_and_during_a_run_is_written_at_its_end(tmp_path):
    session = session_of(tmp_path, prompts=[TWO[1]])
    first = np.where(LABELS[0] == 1, 1, 0)
    session.paint(0, first)

    def paint(result, done, total):
        if done == 2:
            session.paint(4, np.where(SQUARE, 2, np.asarray(session.result.labels[4]) if session.result else 0))

    session.run(progress=paint)
    labels = session.result.labels
    assert np.array_equal(labels[0] == 1, first == 1) and (labels[4][SQUARE] == 2).all()
    assert session.result.locked(0) == (1,) and session.result.locked(4) == (2,)
    assert session.history == ("painting on frame 0", "the run", "painting on frame 0", "painting on frame 4")


def test_what_was_painted_before_a_run_and_undone_is_not_written(tmp_path):
    session = session_of(tmp_path)
    session.paint(3, np.where(SQUARE, 1, 0))
    session.undo()
    session.run()
    assert session.result.locked(3) == () and session.history == ("the run",)


def test_painting_over_a_locked_object_is_what_the_person_says(session):
    session.lock(2, 1)
    taken = (session.result.labels[1] == 2) & (np.indices((64, 64))[1] < 40)
    n = int((session.result.labels[1] == 2).sum())
    assert stroke(session, 1, taken, 1) == (2, 1)
    labels = session.result.labels[1]
    assert (labels[taken] == 1).all() and (labels == 2).sum() == n - taken.sum()
    assert len(session.history) == 2


def test_a_correction_follows_its_object_alone_and_no_locked_frame(session):
    session.lock(1, 5)
    before = [np.array(session.result.labels[t]) for t in range(N)]
    session.correct(1, 2, LABELS[2] == 3)
    after = [np.array(session.result.labels[t]) for t in range(N)]
    assert all(np.array_equal(a == 2, b == 2) for a, b in zip(after, before, strict=True))
    assert np.array_equal(after[5] == 1, before[5] == 1)
    assert ((after[3] == 1) & (LABELS[3] == 3)).any()
    session.undo()
    assert all(np.array_equal(session.result.labels[t], before[t]) for t in range(N))
    session.correct(1, 2, LABELS[2] == 3, follow=False)
    assert np.array_equal(session.result.labels[3], before[3])


# ---- one history


def test_marks_and_steps_are_undone_in_the_order_in_which_they_happened(session):
    def now():
        return told(session.path), session.prompts, session.result.object_ids

    states, marks = [now()], []
    session.events.marks.connect(lambda: marks.append(len(session.prompts)))
    for act in (
        lambda: session.mark(THIRD),
        lambda: session.lock(1, 1),
        lambda: session.run(),
        lambda: stroke(session, 2, SQUARE, 1),
        lambda: session.mark(BoxPrompt(2, 4, (38, 34, 50, 46))),
        lambda: session.correct(2, 5, LABELS[5] == 2),
        lambda: setattr(session, "prompts", TWO),
        lambda: stroke(session, 0, np.roll(SQUARE, 20, 1), 9),
        lambda: session.release(1, 1),
        lambda: session.remove(3),
    ):
        act()
        states.append(now())
    for state in states[-2::-1]:
        session.undo()
        assert now() == state
    with pytest.raises(ValueError, match="there is nothing to undo"):
        session.undo()
    for state in states[1:]:
        session.redo()
        assert now() == state
    session.undo()
    session.mark(THIRD)
    assert session.undone == () and session.busy == ""
    assert marks


def test_a_change_by_another_program_is_not_undone_in_its_place(session):
    session.lock(1, 1)
    Result.open(session.path).lock(2, 2)
    with pytest.raises(ValueError, match="changed by another program since"):
        session.undo()


# ---- places


def test_results_wait_among_the_recent_ones_until_they_are_saved(tmp_path):
    recent = Recent(tmp_path / "recent")
    session = session_of(tmp_path)
    with pytest.raises(ValueError, match="no result yet"):
        session.save(tmp_path / "a.zarr")
    session.run()
    first = session.path
    assert [(r.path, r.saved, r.left_open) for r in recent.results()] == [(first, False, False)]
    with pytest.raises(ValueError, match="has no place yet; say where"):
        session.save()
    session.save(tmp_path / "a.zarr")
    assert not first.exists() and session.saved and session.save() == tmp_path / "a.zarr"
    session.undo()
    assert session.result is None
    session.redo()
    assert session.path == tmp_path / "a.zarr"
    (tmp_path / "file.zarr").write_text("")
    with pytest.raises(FileExistsError, match="not a result of napari-mosam|exists"):
        session.save_as(tmp_path / "file.zarr", overwrite=True)
    assert [(r.path, r.saved) for r in recent.results()] == [(tmp_path / "a.zarr", True)]


def test_a_result_whose_place_is_taken_goes_to_the_recent_ones(session, tmp_path):
    old = told(session.path)
    session.settings = type(session.settings).from_dict(session.settings.to_dict() | {"direction": "backward"})
    session.run()
    with pytest.raises(FileExistsError):
        session.save(tmp_path / "cells.zarr")
    session.save(tmp_path / "cells.zarr", overwrite=True)
    assert session.result.attrs["direction"] == "backward"
    session.undo()
    assert session.path != tmp_path / "cells.zarr" and told(session.path) == old


def test_a_session_of_a_program_that_died_is_offered(tmp_path, made, monkeypatch):
    recent = Recent(tmp_path / "recent")
    place = recent.new_place("a movie: 1.tif")
    shutil.copytree(made.path, place)
    monkeypatch.setattr("os.getpid", lambda: 2**22 + 1)  # no process has that
    recent.take(place)
    assert [r.left_open for r in recent.results()] == [True] and place.name == "a_movie_1.zarr"
    recent.leave(place)
    assert [r.left_open for r in recent.results()] == [False]


def test_marks_settings_and_view_come_back_and_yield_to_another_program(session, tmp_path):
    session.mark(THIRD)
    session.view["frame"] = 3
    session.settings = type(session.settings).from_dict(session.settings.to_dict() | {"diameter": 12.0})
    session.close()
    again = opened(tmp_path)
    assert again.prompts == session.prompts and again.view == {"frame": 3} and again.settings.diameter == 12.0
    again.close()
    rerun(again.path, IMAGES, [TWO[0], THIRD], model=FakeSegmenter())
    assert opened(tmp_path).prompts == Result.open(again.path).prompts


def test_a_movie_is_found_after_a_result_was_moved(tmp_path):
    import tifffile

    tifffile.imwrite(tmp_path / "movie.tif", IMAGES, photometric="minisblack", metadata={"axes": "TYX"})
    session = session_of(tmp_path, movie=tmp_path / "movie.tif")
    session.run()
    session.save(tmp_path / "deep" / "er" / "cells.zarr")
    assert session.result.attrs["provenance"]["movie"]["path"] == "../../../movie.tif"
    (session.path / NAME).unlink()
    again = Session.open(session.path, model=FakeSegmenter(), recent=tmp_path / "recent")
    assert again.movie.path == tmp_path / "movie.tif"
    out = again.export(tmp_path / "ctc")
    assert (out / "res_track.txt").is_file()
