"""Results of the dock have a place: saved, opened with all that belongs to them, recent, left by a crash, closing."""

import json
import shutil
import subprocess
from pathlib import Path
from threading import Timer

import numpy as np
import pytest
import tifffile
from qtpy.QtCore import QEvent, QObject
from tests.widgets.conftest import QUICK, box_around

from napari_mosam import BoxPrompt, Result, Session
from napari_mosam.core.files.places import ResultError
from napari_mosam.core.prompts.saving import save_prompts
from napari_mosam.core.session.recent import IN_USE
from napari_mosam.widgets.files import questions


@pytest.fixture
def answers(monkeypatch):
    """What a person answers to each question, in order; a question without an answer is an error."""
    given = {}

    def answer(name):
        def asked(parent, *words, **more):
            given.setdefault("asked", []).append((name, *words))
            return given[name].pop(0)

        return asked

    for name in ("place_to_save", "result_to_open", "movie_to_open", "may_replace", "before_closing"):
        monkeypatch.setattr(questions, name, answer(name))
    return given


@pytest.fixture
def file(movie, tmp_path):
    """The movie as a file: half a micrometre a pixel, 30 s a frame."""
    path, told = tmp_path / "movie.tif", {"axes": "TYX", "unit": "um", "finterval": 30}
    tifffile.imwrite(path, movie, imagej=True, metadata=told, resolution=(2, 2))
    return path


@pytest.fixture
def followed(open_widget, movie, hands):
    """A dock in which disks 1 and 2 were followed."""
    widget = open_widget(movie)
    hands.mark(widget, 1, 2)
    hands.run(widget)
    return widget


@pytest.fixture
def saved(file, engine, tmp_path):
    """A result of disk 1 on the file, saved by a session without napari, with a mark not yet followed and a frame."""
    session = Session(file, [BoxPrompt(1, 0, box_around(1, 0))], model=engine.model, recent=tmp_path / "recent")
    session.settings = QUICK
    session.run()
    session.mark(BoxPrompt(2, 3, box_around(2, 3)))
    session.view = {"frame": 5}
    session.save(tmp_path / "cells.zarr")
    session.close()
    return tmp_path / "cells.zarr"


def place(widget):
    return widget.controls.result.place.text()


# ---- save


def test_the_line_says_truly_where_the_result_is(open_widget, movie, hands, answers, tmp_path):
    widget = open_widget(movie)
    row = widget.controls.result
    assert place(widget) == "No result yet" and not row.save.isEnabled()
    hands.mark(widget, 1)
    hands.run(widget)
    assert place(widget) == "Not saved yet: kept under Recent" and widget.session.path.is_dir()
    answers["place_to_save"] = [None, tmp_path / "cells.zarr"]
    row.save.click()
    assert not widget.session.saved
    row.save.click()
    hands.settle(widget)
    assert place(widget) == "cells.zarr, saved" and "Saved as 'cells.zarr'" in hands.says(widget)
    assert row.place.toolTip() == str(tmp_path / "cells.zarr")
    assert np.array_equal(Result.open(tmp_path / "cells.zarr").labels[:], hands.shown(widget))
    row.save.click()
    hands.settle(widget)
    assert hands.says(widget) == "'cells.zarr' is up to date."
    assert [name for name, *_ in answers["asked"]] == ["place_to_save"] * 2


@pytest.mark.slow
def test_the_place_asked_for_is_beside_the_movie_with_its_name(open_widget, file, hands, answers, make_napari_viewer):
    viewer = make_napari_viewer()
    viewer.open(file, axis_labels=("t", "y", "x"))
    widget = open_widget(None, viewer=viewer)
    hands.mark(widget, 1)
    hands.run(widget)
    (file.parent / "movie-2.zarr").mkdir()
    (file.parent / "movie.zarr").mkdir()
    answers["place_to_save"] = [None]
    widget.controls.result.save.click()
    assert answers["asked"][-1][-1] == file.parent / "movie-3.zarr"


@pytest.mark.slow
def test_without_a_file_the_home_folder_is_proposed(followed, answers):
    answers["place_to_save"] = [None]
    followed.controls.result.save.click()
    assert answers["asked"][-1][-1] == Path.home() / "movie.zarr"


@pytest.mark.slow
def test_a_copy_is_gone_on_with_and_what_is_there_is_replaced_only_when_asked(followed, hands, answers, tmp_path):
    first, second = tmp_path / "a.zarr", tmp_path / "b.zarr"
    answers["place_to_save"], answers["may_replace"] = [first, second, first, first], [False, True]
    row = followed.controls.result
    for button in (row.save, row.save_as):
        button.click()
        hands.settle(followed)
    before = hands.shown(followed)
    assert followed.session.path == second and np.array_equal(Result.open(first).labels[:], before)
    row.save_as.click()
    hands.settle(followed)
    assert followed.session.path == second
    row.save_as.click()
    hands.settle(followed)
    assert followed.session.path == first and place(followed) == "a.zarr, saved"


def test_sample_data_never_asks(open_widget, hands, answers, make_napari_viewer, movie):
    from napari.layers._source import layer_source

    viewer = make_napari_viewer()
    with layer_source(sample=("napari-mosam", "simulated_cells")):
        viewer.add_image(movie, name="movie")
    widget = open_widget(None, viewer=viewer)
    hands.mark(widget, 1)
    hands.run(widget)
    widget.controls.result.save.click()
    assert "stay under Recent" in hands.says(widget) and widget.jobs.sessions.unsaved() == []


# ---- open


def opened(widget, path, hands, answers):
    answers["result_to_open"] = [path]
    widget.controls.result.open.click()
    hands.settle(widget)
    return widget


def check_whole(widget, hands, saved):
    assert widget.session.path == saved and place(widget) == "cells.zarr, saved"
    assert np.array_equal(hands.shown(widget), Result.open(saved).labels[:])
    assert sorted(prompt.object_id for prompt in widget.session.prompts) == [1, 2]
    assert widget.prompts.counts()["box"] == 2 and widget.prompts.prompts(widget.source) == widget.session.prompts
    assert widget.frame == 5 and widget.session.view["frame"] == 5
    assert not widget.controls.motion.isChecked()
    assert hands.says(widget) == "Opened 'cells.zarr': 1 object, 8 frames."
    assert f"Seen from {widget.session.movie.limits[0]:.6g} to" in widget.controls.limits_note.text()


def test_a_result_brings_its_movie_marks_settings_and_frame(open_widget, saved, movie, hands, answers):
    widget = opened(open_widget(None), saved, hands, answers)
    check_whole(widget, hands, saved)
    image = widget.controls.image.layer
    assert image.scale.tolist() == [30, 0.5, 0.5] and str(image.units[-1]) == "micrometer"
    assert image.name == "movie" and np.array_equal(np.asarray(image.data), movie)
    hands.run(widget)
    assert list(Result.open(saved).object_ids) == [1, 2]


@pytest.mark.slow
def test_the_image_that_is_there_is_taken(open_widget, saved, movie, hands, answers):
    widget = open_widget(movie)
    widget.viewer.add_image(movie[:, ::-1], name="another")
    assert widget.controls.image.layer.name == "another"
    opened(widget, saved, hands, answers)
    check_whole(widget, hands, saved)
    assert widget.controls.image.layer.name == "movie"
    assert [type(layer).__name__ for layer in widget.viewer.layers].count("Image") == 2


@pytest.mark.slow
def test_the_channel_of_a_result_is_found_in_the_image_that_is_there(open_widget, movie, hands, engine, tmp_path):
    both = np.stack([movie[:, ::-1], movie], 1)
    made_with = {"axes": "TCYX", "channel": 1, "model": engine.model, "recent": engine.folder}
    session = Session(both, [BoxPrompt(1, 0, box_around(1, 0))], **made_with)
    session.settings = QUICK
    session.run()
    session.save(tmp_path / "cells.zarr")
    session.close()
    widget = open_widget(both, axis_labels=("t", "c", "y", "x"))
    widget.viewer.dims.set_point(1, 0)
    widget.viewer.open(tmp_path / "cells.zarr", plugin="napari-mosam")
    hands.settle(widget)
    assert widget.source.plane == (0, 1) and widget.session.path == tmp_path / "cells.zarr"
    assert np.array_equal(hands.shown(widget)[:, 0], Result.open(tmp_path / "cells.zarr").labels[:])


def test_marks_that_no_result_knows_are_not_replaced_unasked(open_widget, saved, movie, hands, answers):
    widget = open_widget(movie)
    hands.mark(widget, 3)
    hands.settle(widget)
    marks, answers["may_replace"] = widget.session.prompts, [False, True]
    opened(widget, saved, hands, answers)
    assert widget.session.prompts == marks and widget.session.path is None
    opened(widget, saved, hands, answers)
    check_whole(widget, hands, saved)


def test_marks_that_are_dropped_are_added_and_can_be_undone(open_widget, movie, hands, tmp_path):
    save_prompts([BoxPrompt(7, 2, box_around(2, 2))], tmp_path / "marks.json", (64, 64))
    widget = open_widget(movie)
    hands.mark(widget, 1)
    hands.settle(widget)
    widget.viewer.open(tmp_path / "marks.json", plugin="napari-mosam")
    hands.settle(widget)
    assert widget.prompts.ids() == {1, 7} and hands.says(widget) == "1 mark of 1 object from 'marks.json'."
    hands.undo(widget)
    assert widget.prompts.ids() == {1}


def test_while_a_run_is_going_results_stay_where_they_are(open_widget, movie, hands, held, answers, saved):
    widget = open_widget(movie)
    hands.mark(widget, 1)
    hands.start(widget, held)
    row = widget.controls.result
    for press, what in ((row.save.click, "save"), (row.save_as.click, "save"), (row.start_over.click, "start over")):
        press()
        assert hands.says(widget) == f"A run is going; press Cancel, or wait for its end, before you {what}"
    widget.files.open(saved)
    assert hands.says(widget).endswith("before you open a result") and "asked" not in answers
    held.let_go()
    hands.finish(widget)


def test_the_result_that_was_there_stays_under_recent(followed, saved, hands, answers):
    before, labels = followed.session.path, hands.shown(followed)
    opened(followed, saved, hands, answers)
    assert np.array_equal(Result.open(before).labels[:], labels)
    assert [layer.name for layer in followed.viewer.layers].count("MoSAM labels") == 1
    followed.controls.result.recent.click()
    hands.settle(followed)
    actions = {action.toolTip(): action for action in followed.files.recents.menu.actions()}
    assert "not saved" in actions[str(before)].text() and actions[str(saved)].text().endswith("saved, open here")
    actions[str(before)].trigger()
    hands.settle(followed)
    assert followed.session.path == before and np.array_equal(hands.shown(followed), labels)
    followed.files.recents.menu.hide()


def test_a_movie_that_is_not_there_is_asked_for(open_widget, saved, file, movie, hands, answers, tmp_path):
    moved, other = tmp_path / "moved.tif", tmp_path / "other.tif"
    file.rename(moved)
    tifffile.imwrite(other, movie[:, ::-1], imagej=True, metadata={"axes": "TYX"})
    answers["movie_to_open"] = [other, moved]
    widget = opened(open_widget(None), saved, hands, answers)
    titles = [words[0] for name, *words in answers["asked"] if name == "movie_to_open"]
    assert "no longer at" in titles[0] and "shows other frames" in titles[1]
    assert all("--" not in title for title in titles)
    check_whole(widget, hands, saved)


@pytest.mark.slow
def test_without_its_movie_the_labels_are_shown(open_widget, saved, file, hands, answers):
    file.unlink()
    answers["movie_to_open"] = [None]
    widget = opened(open_widget(None), saved, hands, answers)
    assert [layer.name for layer in widget.viewer.layers] == ["cells", "cells confidence", "cells centres"]
    assert "only its labels are shown" in hands.says(widget)


def test_a_damaged_result_shows_what_is_left(open_widget, saved, hands, answers):
    shutil.rmtree(saved / "prompts")
    widget = opened(open_widget(None), saved, hands, answers)
    assert widget.viewer.layers[0].name.startswith("cells") and widget.session is None


@pytest.mark.parametrize("there", [False, True])
def test_what_is_no_result_is_said_to_be_none_once_and_no_movie_is_asked_for(
    open_widget, hands, answers, tmp_path, there, monkeypatch
):
    said, place = [], tmp_path / "plain.zarr"
    monkeypatch.setattr("napari.utils.notifications.show_error", said.append)
    if there:
        place.mkdir()
    widget = opened(open_widget(None), place, hands, answers)
    assert [name for name, *_ in answers["asked"]] == ["result_to_open"] and not widget.viewer.layers
    assert len(said) == 1 and hands.says(widget) == said[0]
    assert said[0].startswith("'plain.zarr' is no result of MoSAM; choose" if there else f"There is no '{place}'")


def test_a_result_of_which_nothing_can_be_read_is_not_said_to_be_shown(
    open_widget, saved, file, hands, answers, monkeypatch
):
    def cannot(path):
        raise ResultError("its labels cannot be read")

    said = []
    monkeypatch.setattr("napari.utils.notifications.show_error", said.append)
    monkeypatch.setattr("napari_mosam.widgets.files.files.as_layers", cannot)
    file.unlink()
    answers["movie_to_open"] = [None]
    widget = opened(open_widget(None), saved, hands, answers)
    assert len(said) == 1 and "no longer at" in said[0] and "shown" not in hands.says(widget)


def test_a_result_dropped_onto_the_dock_goes_on_in_it(open_widget, saved, hands):
    widget = open_widget(None)
    widget.viewer.open(saved, plugin="napari-mosam")
    hands.settle(widget)
    check_whole(widget, hands, saved)
    widget.viewer.open(saved, plugin="napari-mosam")
    hands.settle(widget)
    assert hands.says(widget) == "'cells.zarr' is open already."


def test_a_dock_that_opens_later_goes_on_with_what_was_dropped(open_widget, saved, hands, make_napari_viewer):
    viewer = make_napari_viewer()
    viewer.open(saved, plugin="napari-mosam")
    assert [layer.name for layer in viewer.layers] == ["cells", "cells confidence", "cells centres"]
    widget = open_widget(None, viewer=viewer)
    hands.settle(widget)
    assert widget.session.path == saved and widget.frame == 5
    assert [layer.name for layer in viewer.layers if "cells" in layer.name] == []


def test_half_a_result_is_gone_on_with(open_widget, file, hands, engine, tmp_path):
    whole, half = (Session(file, model=engine.model, recent=engine.folder) for _ in range(2))
    for session in (whole, half):
        session.settings = QUICK
        session.mark(BoxPrompt(1, 0, box_around(1, 0)))
    wanted = whole.run().labels[:]
    half.run(progress=lambda result, done, total: half.stop() if done == 3 else None)
    assert not half.result.complete
    half.close()
    widget = open_widget(None)
    widget.files.open(half.path)
    hands.settle(widget)
    assert hands.says(widget).endswith("Half a result: stopped at frame 3 of 8; Continue goes on there.")
    assert np.array_equal(hands.run(widget), wanted) and widget.session.path == half.path


def test_marks_without_a_result_are_recent_too(open_widget, file, movie, hands, engine):
    session = Session(file, [BoxPrompt(4, 2, box_around(2, 2))], model=engine.model, recent=engine.folder)
    session.mark(BoxPrompt(5, 0, box_around(1, 0)))
    session.close()
    widget = open_widget(movie[:, ::-1])
    widget.controls.result.recent.click()
    hands.settle(widget)
    (action,) = widget.files.recents.menu.actions()
    assert action.text().startswith("movie,") and action.text().endswith("2 marks only")
    action.trigger()
    hands.settle(widget)
    assert hands.says(widget) == "2 marks opened; Track follows them."
    assert widget.session.prompts == session.prompts and widget.prompts.ids() == {4, 5}
    assert np.array_equal(np.asarray(widget.controls.image.layer.data), movie), "not any image of that size"
    widget.files.recents.menu.hide()


# ---- start over


@pytest.mark.slow
def test_starting_over_keeps_the_marks_and_the_earlier_result(followed, hands):
    before, marks, labels = followed.session.path, followed.session.prompts, hands.shown(followed)
    followed.controls.result.start_over.click()
    hands.settle(followed)
    assert followed.session.result is None and followed.session.prompts == marks and hands.labels(followed) is None
    assert place(followed) == "No result yet" and "under Recent" in hands.says(followed)
    assert np.array_equal(hands.run(followed), labels) and followed.session.path != before
    assert np.array_equal(Result.open(before).labels[:], labels)


# ---- after a crash


def leave(result, recent, process, host=None):
    """What a process leaves that works on a result."""
    import platform

    (folder,) = [f for f in recent.iterdir() if (f / "place.json").exists()]
    (folder / IN_USE).write_text(json.dumps({"host": host or platform.node(), "process": process}))


@pytest.fixture
def dead():
    """The number of a process that has ended."""
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


def test_what_a_crash_left_open_is_offered(open_widget, saved, hands, engine, dead):
    leave(saved, engine.folder, dead)
    widget = open_widget(None)
    hands.settle(widget)
    assert not widget.controls.recover.isHidden() and "'cells'" in widget.controls.recover.words.text()
    widget.controls.recover.go_on.click()
    hands.settle(widget)
    check_whole(widget, hands, saved)
    assert widget.controls.recover.isHidden()


def test_what_was_dismissed_is_not_offered_again(open_widget, saved, hands, engine, dead):
    leave(saved, engine.folder, dead)
    widget = open_widget(None)
    hands.settle(widget)
    widget.controls.recover.dismiss.click()
    hands.settle(widget)
    assert widget.controls.recover.isHidden() and saved.is_dir()
    again = open_widget(None)
    hands.settle(again)
    assert again.controls.recover.isHidden()


@pytest.mark.parametrize("host", [None, "another"])
def test_what_others_work_on_is_not_offered(open_widget, saved, hands, engine, dead, host):
    import os

    leave(saved, engine.folder, dead if host else os.getpid(), host)
    widget = open_widget(None)
    hands.settle(widget)
    assert widget.controls.recover.isHidden()


# ---- closing


class Gate(QObject):
    """Counts how often the window of a viewer would have closed, and keeps it open for the end of the test."""

    def __init__(self, viewer):
        super().__init__()
        self.viewer, self.passed = viewer, 0
        viewer.window._qt_window.installEventFilter(self)

    def close_window(self):
        self.viewer.window._qt_window.close()

    def eventFilter(self, window, event):
        if event.type() != QEvent.Type.Close:
            return False
        self.passed += 1
        event.ignore()
        return True


@pytest.fixture
def gate(make_napari_viewer):
    """A viewer that is seen, with a gate that is asked after the dock."""
    gate = Gate(make_napari_viewer(show=True))
    yield gate
    gate.viewer.window._qt_window.removeEventFilter(gate)


@pytest.fixture
def in_window(gate, open_widget, movie, hands):
    """A dock in which disk 1 was followed."""
    widget = open_widget(movie, viewer=gate.viewer)
    hands.mark(widget, 1)
    hands.run(widget)
    return widget


def test_closing_napari_asks_about_results_without_a_place(in_window, gate, answers, hands, tmp_path):
    answers["before_closing"] = ["cancel", "save", "save", "keep"]
    answers["place_to_save"] = [None, tmp_path / "cells.zarr"]
    for _ in range(3):
        gate.close_window()
        assert not gate.passed
    hands.qtbot.waitUntil(lambda: gate.passed == 1, timeout=10_000)
    assert in_window.session.saved and in_window.session.path == tmp_path / "cells.zarr"
    assert "The result has no place of its own yet" in answers["asked"][0][1]
    gate.close_window()
    assert gate.passed == 2 and answers["before_closing"] == ["keep"], "what is saved is not asked about"


@pytest.mark.slow
def test_closing_napari_keeps_results_under_recent(in_window, gate, answers):
    answers["before_closing"] = ["keep"]
    gate.close_window()
    assert gate.passed == 1 and in_window.session.path.is_dir()


@pytest.mark.slow
def test_a_program_that_closes_napari_is_asked_nothing(in_window, gate, answers):
    gate.viewer.window._qt_viewer.hide()  # so begins viewer.close()
    gate.close_window()
    assert gate.passed == 1 and "asked" not in answers


@pytest.mark.slow
def test_closing_napari_with_a_run_saves_what_is_done(gate, open_widget, movie, hands, held, answers, tmp_path):
    widget = open_widget(movie, viewer=gate.viewer)
    gate.close_window()
    assert gate.passed == 1, "nothing was done, so nothing is asked"
    hands.mark(widget, 1)
    hands.start(widget, held)
    answers["before_closing"], answers["place_to_save"] = ["save"], [tmp_path / "half.zarr"]
    gate.close_window()
    assert gate.passed == 1 and answers["asked"][0][1].startswith("A run is going")
    held.let_go()
    hands.qtbot.waitUntil(lambda: gate.passed == 2, timeout=10_000)
    half = Result.open(tmp_path / "half.zarr")
    assert not half.complete and (half.labels[0] == 1).any()


@pytest.mark.slow
def test_nobody_works_on_a_result_after_its_viewer_has_closed(open_widget, movie, hands):
    widget = open_widget(movie, show=True)
    hands.mark(widget, 1)
    hands.run(widget)
    used = widget.session.path.parent / IN_USE
    assert used.is_file()
    window = widget.viewer.window._qt_window
    window.destroyed.emit(window)  # as Qt does; the fixture of napari wants to close the viewer itself
    assert not used.exists() and list(widget.jobs.sessions.all()) == []


def test_a_session_that_cannot_write_any_more_is_left_all_the_same(movie, engine, monkeypatch):
    session = Session(movie, [BoxPrompt(1, 0, box_around(1, 0))], model=engine.model, recent=engine.folder)
    session.settings = QUICK
    used = session.run(progress=lambda result, done, total: session.stop()).path.parent / IN_USE
    assert used.is_file()
    monkeypatch.setattr(session, "_keep", lambda: (session.path / "nothing").read_text())
    with pytest.raises(FileNotFoundError):
        session.close()
    assert not used.exists()


@pytest.mark.slow
def test_closing_the_dock_says_what_was_kept(open_widget, movie, hands, held):
    from napari.utils.notifications import notification_manager

    widget = open_widget(movie)
    hands.mark(widget, 1)
    hands.start(widget, held)
    session = widget.session
    notification_manager.records.clear()
    Timer(0.3, held.let_go).start()  # the run tells of a frame, and waits in that
    widget.viewer.window.remove_dock_widget(widget)
    hands.qtbot.waitUntil(lambda: not session.busy and bool(notification_manager.records), timeout=10_000)
    (record,) = notification_manager.records
    assert record.message.startswith("MoSAM was closed and its run stopped. Half a result (")
    assert record.message.endswith("is kept under Recent.")
    again = open_widget(None, viewer=widget.viewer)
    hands.settle(again)
    assert again.controls.propagate.text() == "Continue"
    assert hands.says(again) == "Mark more cells, preview, or press Continue."
