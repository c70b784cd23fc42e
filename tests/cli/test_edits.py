"""Results that are changed, and made again, on the command line."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile
from tests.support.crashes import content, content_but_journal
from tests.support.damage import seal
from tests.support.fake_model import FakeSegmenter, disks
from tests.support.stopping import stop_at

from napari_mosam.cli import main as cli
from napari_mosam.core.files.places import alone
from napari_mosam.core.runs import run, write
from napari_mosam.core.store.result import Result

N = 6
IMAGES, LABELS = disks([[(30, 30 + t), (66, 70), (30, 44 + t)] for t in range(N)], radius=6)
OUT = "out.zarr"


def save(name, pixels):
    tifffile.imwrite(name, pixels, photometric="minisblack", metadata={"axes": "TYX" if pixels.ndim == 3 else "YX"})


def prompts(name, *places):
    """A prompts file with a click in the middle of an object on a frame, each."""
    points = [
        {"object": i, "frame": t, "point": np.argwhere(LABELS[t] == label).mean(0).tolist()} for i, t, label in places
    ]
    Path(name).write_text(json.dumps(points))
    return name


@pytest.fixture(autouse=True, scope="module")
def no_network():
    with pytest.MonkeyPatch.context() as patch:
        for module in (write, run):
            patch.setattr(module, "load", lambda config: FakeSegmenter())
        yield


@pytest.fixture(scope="module")
def made(no_network, tmp_path_factory):
    """A movie, prompts, and a result of objects 1 and 2."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("made"))
        save("movie.tif", IMAGES)
        save("first.tif", np.where(LABELS[0] == 3, 0, LABELS[0]))
        assert mosam("track", "movie.tif", "-p", "first.tif", "-o", OUT) == 0
        return Path.cwd()


@pytest.fixture(autouse=True)
def job(made, tmp_path, monkeypatch, capsys):
    """The same in the current folder."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()
    return tmp_path


def mosam(*arguments):
    return cli.main([str(argument) for argument in arguments])


def refused(capsys, *arguments):
    """What is said of arguments that cannot be; nothing is changed."""
    before = content(Path(OUT))
    capsys.readouterr()
    try:
        code = mosam(*arguments)
    except SystemExit as end:
        code = end.code
    assert code == 2
    assert content(Path(OUT)) == before
    (line,) = capsys.readouterr().err.strip().split("\n")[-1:]
    return line


def mask_file(name, pixels, value=1):
    save(name, np.where(pixels, value, 0).astype(np.uint8))
    return name


def lock(object_id=1, frames="1:3"):
    return "lock", OUT, "--object", object_id, "--frames", frames


def correct(mask, object_id=1, t=2):
    return "correct", OUT, "--object", object_id, "--frame", t, "--mask", mask


SHIFTED = np.roll(LABELS[2] == 1, -6, axis=0)


def verbs():
    """Each command that changes a result."""
    mask_file("mask.tif", SHIFTED)
    return {
        "rerun": ("rerun", OUT, "-p", prompts("more.json", (2, 3, 2), (3, 1, 3))),
        "lock": lock(),
        "unlock": ("unlock", OUT, "--object", 2, "--frames", "4"),
        "correct": correct("mask.tif"),
        "absent": ("correct", OUT, "--object", 2, "--frame", 3, "--absent"),
        "swap": ("swap", OUT, "--objects", "1,2", "--frame", 3),
        "split": ("split", OUT, "--object", 2, "--frame", 3, "--daughter"),
        "merge": ("merge", OUT, "--objects", "1,2"),
        "rename": ("rename", OUT, "--object", 2, "--name", "a b"),
    }


@pytest.mark.parametrize(
    ("verb", "words"),
    [
        ("rerun", "done: the re-run of objects 2, 3"),
        ("lock", "object 1 is locked on 2 frames"),
        ("unlock", "object 2 is no longer locked on 1 frame"),
        ("correct", "done: the correction of object 1 on frame 2"),
        ("absent", "done: the correction of object 2 on frame 3"),
        ("swap", "done: the swap of objects 1, 2 from frame 3 on"),
        ("split", "done: the split of objects 2, 3 from frame 3 on"),
        ("merge", "done: the merge of objects 1, 2"),
        ("rename", "done: the renaming of object 2"),
    ],
)
def test_each_is_one_step_that_undo_takes_back_to_the_byte(job, capsys, verb, words):
    mosam("lock", OUT, "--object", 2, "--frames", "4")
    before = content_but_journal(job / OUT)
    capsys.readouterr()
    assert mosam(*verbs()[verb]) == 0
    assert capsys.readouterr().out == f"{words}\n"
    after = content_but_journal(job / OUT)
    assert after != before
    assert mosam("undo", OUT) == 0
    assert content_but_journal(job / OUT) == before
    assert mosam("redo", OUT) == 0
    assert content_but_journal(job / OUT) == after


@pytest.mark.parametrize("verb", ["rerun", "lock", "unlock", "correct", "absent"])
def test_one_writes_at_a_time(job, capsys, verb):
    arguments = verbs()[verb]
    before = content_but_journal(job / OUT)
    with alone(OUT):
        assert mosam(*arguments) == 2
    assert "out.zarr' is being written by another run (process" in capsys.readouterr().err
    assert content_but_journal(job / OUT) == before


@pytest.mark.parametrize("verb", ["rerun", "lock", "unlock", "correct", "absent"])
def test_unknown_objects_and_frames_are_refused(capsys, verb):
    given = [str(word) for word in verbs()[verb]]
    if verb == "rerun":
        assert "object 9 has no prompt; there are 1, 2" in refused(capsys, "rerun", OUT, "--objects", 9)
        assert "frames 3:9 are not all there; allowed: within 0:6" in refused(capsys, "rerun", OUT, "--frames", "3:9")
        return
    other = [*given[:3], "9", *given[4:]]
    assert "there is no object 9 in 'out.zarr'; it holds 1, 2" in refused(capsys, *other)
    late = [*given[:5], "6", *given[6:]]
    said = "there is no frame 6 in" if "lock" in verb else "frames 6:7 are not all there; allowed: within 0:6"
    assert said in refused(capsys, *late)


@pytest.mark.parametrize("verb", ["rerun", "lock", "unlock", "correct", "absent", "replay"])
def test_what_is_no_result_is_refused(capsys, verb):
    given = (verbs() | {"replay": ("replay", OUT)})[verb]
    assert "there is no result 'none.zarr'" in refused(capsys, given[0], "none.zarr", *given[2:])
    assert "movie.tif" in refused(capsys, given[0], "movie.tif", *given[2:])


# ---- locks


def test_locked_masks_are_the_same_after_a_rerun(job, capsys):
    mosam(*lock(1, "3:5"))
    before = Result.open(OUT).labels[:]
    mosam("rerun", OUT, "-p", prompts("other.json", (1, 1, 3)))
    after = Result.open(OUT)
    for t in range(N):
        same = np.array_equal(after.labels[t] == 1, before[t] == 1)
        assert same == (t in (3, 4))
        assert after.locked(t) == ((1,) if t in (3, 4) else ())
    mosam("unlock", OUT, "--object", "1", "--frames", "3:5")
    mosam("rerun", OUT, "--objects", "1", "--frames", "1:")
    assert not (Result.open(OUT).labels[3] == 1)[before[3] == 1].any()


# ---- corrections


def test_a_correction_has_just_its_pixels_and_is_locked(job):
    mask = SHIFTED.copy()
    mask[60:63, 5:9] = True  # a second piece: nobody is asked whether that can be
    before = Result.open(OUT).labels[:]
    assert mosam(*correct(mask_file("mask.tif", mask))) == 0
    result, row = Result.open(OUT), Result.open(OUT).to_dataframe().query("frame == 2 and object == 1").iloc[0]
    assert np.array_equal(result.labels[2] == 1, mask)
    assert (result.confidence[2][mask] == 255).all()
    assert (row["accepted"], row["locked"], row["area"]) == (1, 1, mask.sum())
    record = result.record(1, 2)
    assert record.painted and record.present and record.area == mask.sum()
    assert np.array_equal(result.labels[3:], before[3:])


def test_the_pixels_of_others_are_taken_and_what_is_left_is_one_piece(job):
    bar = np.zeros(LABELS[2].shape, bool)
    bar[58:76, 69:71] = True  # across object 2, so that it is cut in two
    before = Result.open(OUT).labels[2] == 2
    assert mosam(*correct(mask_file("mask.tif", bar))) == 0
    result = Result.open(OUT)
    left = result.labels[2] == 2
    assert np.array_equal(result.labels[2] == 1, bar)
    assert 0 < left.sum() < (before & ~bar).sum() and not (left & ~before).any()
    assert result.area[2].tolist() == [bar.sum(), left.sum()]


def test_locked_pixels_of_others_are_refused(job, capsys):
    mosam(*lock(2, "2"))
    mask = mask_file("mask.tif", LABELS[2] == 2)
    line = refused(capsys, *correct(mask))
    n = int(((LABELS[2] == 2) & (Result.open(OUT).labels[2] == 2)).sum())
    assert f"the mask of object 1 on frame 2 covers {n} px of object 2, locked there; unlock it first" in line


def test_a_correction_can_be_corrected(job):
    mosam(*correct(mask_file("mask.tif", SHIFTED)))
    mosam("correct", OUT, "--object", 1, "--frame", 2, "--absent")
    result = Result.open(OUT)
    assert not (result.labels[2] == 1).any()
    assert result.state[2, 0] == "lost" and result.locked(2) == (1,)
    mosam("rerun", OUT, "--objects", 1, "--frames", "1:5")
    assert not (Result.open(OUT).labels[2] == 1).any()


def test_a_correction_is_a_prompt_of_the_next_rerun(job):
    before = Result.open(OUT).labels[3:]
    mosam(*correct(mask_file("mask.tif", LABELS[2] == 3)))
    assert np.array_equal(Result.open(OUT).labels[3:], before)
    assert mosam("rerun", OUT) == 0
    result = Result.open(OUT)
    for t in (2, 3, 4, 5):
        assert ((result.labels[t] == 1) & (LABELS[t] == 3)).sum() > 0.9 * (LABELS[t] == 3).sum()
    assert [p.frame for p in result.prompts if p.object_id == 1] == [0, 2]
    again = content_but_journal(job / OUT)
    mosam("rerun", OUT, "-p", "first.tif")  # the correction stays, though the file does not name it
    assert content_but_journal(job / OUT) == again


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        (np.zeros((96, 96), np.uint8), "the mask is empty; paint at least one pixel"),
        (np.ones((5, 5), np.uint8), "the mask has the shape (5, 5); give one of the frame's (Y, X) = (96, 96)"),
        (np.where(LABELS[0], LABELS[0] + 3, 0).astype(np.uint8), "holds 3 ids, none of which is 1"),
        (LABELS, "has 6 frames; give one image (Y, X)"),
    ],
)
def test_masks_that_cannot_be_are_refused(capsys, labels, told):
    save("mask.tif", labels)
    assert told in refused(capsys, *correct("mask.tif"))


def test_a_mask_or_absent_is_said(capsys):
    assert "one of the arguments --mask --absent is required" in refused(capsys, *correct("x.tif")[:-2])
    assert "not allowed with argument" in refused(capsys, *correct("x.tif"), "--absent")


def test_the_object_is_found_among_others_in_a_label_image():
    save("all.tif", np.roll(LABELS[2], 2, axis=0))
    assert mosam(*correct("all.tif")) == 0
    assert np.array_equal(Result.open(OUT).labels[2] == 1, np.roll(LABELS[2] == 1, 2, axis=0))


# ---- half results


@pytest.fixture
def half(monkeypatch):
    """The same result, stopped after three frames."""
    shutil.rmtree(OUT)
    stop_at(monkeypatch, 3)
    assert mosam("track", "movie.tif", "-p", "first.tif", "-o", OUT) == 130


@pytest.mark.parametrize("verb", ["rerun", "correct", "lock"])
def test_half_a_result_stays_half_and_says_so(half, capsys, verb):
    arguments = verbs()[verb]
    capsys.readouterr()
    assert mosam(*arguments) == 0
    printed = capsys.readouterr().out
    assert "\nout.zarr is half a result: stopped" in printed
    assert "; its run cannot go on (--resume) unless this is undone (mosam undo)" in printed
    assert not Result.open(OUT).complete
    assert mosam("undo", OUT) == 0
    assert not Result.open(OUT).complete
    assert mosam("track", "movie.tif", "-p", "first.tif", "-o", OUT, "--resume") == 0
    assert Result.open(OUT).complete


def test_half_a_result_that_was_changed_goes_on_from_its_last_frame(half, capsys):
    mosam("lock", OUT, "--object", "1", "--frames", "1")
    capsys.readouterr()
    assert mosam("rerun", OUT, "--frames", "0:") == 0
    assert capsys.readouterr().out == "done: the re-run of objects 1, 2 on frames 0 to 5\n"
    assert Result.open(OUT).complete and Result.open(OUT).n_object_frames == 2 * N


def test_more_frames_extend_a_result(capsys):
    assert mosam("track", "movie.tif", "-p", "first.tif", "-o", "part.zarr", "--frames", "0:2") == 0
    capsys.readouterr()
    assert mosam("rerun", "part.zarr", "--frames", "4:6") == 0
    assert capsys.readouterr().out == "done: the re-run of objects 1, 2 on frames 2 to 5\n"
    assert Result.open("part.zarr").n_object_frames == 2 * N


def test_a_rerun_that_is_stopped_is_taken_back_or_done_anew(job, monkeypatch, capsys):
    before = content_but_journal(job / OUT)
    arguments = verbs()["rerun"]
    stop_at(monkeypatch, 2)
    assert mosam(*arguments) == 130
    assert "'mosam undo out.zarr' takes back what was begun, the same command does it anew" in capsys.readouterr().err
    assert "a re-run of 'out.zarr' was stopped; do it again" in refused(capsys, "replay", OUT)
    assert mosam(*lock()) == 2
    assert "the re-run of objects 2, 3 in 'out.zarr' was stopped; do it again, or undo it" in capsys.readouterr().err
    assert mosam("undo", OUT) == 0
    assert content_but_journal(job / OUT) == before


# ---- made again


def changed(job):
    """A result to which everything was done."""
    mosam(*lock(1, "3:5"))
    mosam(*correct(mask_file("mask.tif", LABELS[2] == 3)))
    mosam("rerun", OUT)
    mosam("rerun", OUT, "-p", prompts("more.json", (2, 3, 2), (3, 4, 2)), "--neighbours")
    mosam("unlock", OUT, "--object", 1, "--frames", "3")
    mosam("correct", OUT, "--object", 2, "--frame", 5, "--absent")
    mosam("rerun", OUT, "--objects", "1", "--frames", "1:4")
    mosam(*lock(2, "0"))
    mosam("undo", OUT)


def told_of(out):
    """All that a result holds but its journal, and what it is called."""
    files = content_but_journal(out)
    root = json.loads(files.pop("zarr.json"))
    name = root["attributes"]["ome"]["multiscales"][0].pop("name")
    return files, root, name


def test_a_replay_ends_in_the_same_bytes(job, capsys):
    changed(job)
    before = content(job / OUT)
    capsys.readouterr()
    assert mosam("replay", OUT) == 0
    assert capsys.readouterr().out == "the same labels as out.zarr, bit for bit: out-replay.zarr\n"
    assert told_of(job / "out-replay.zarr") == told_of(job / OUT)
    assert content(job / OUT) == before
    kept, made = Result.open(OUT).history, Result.open("out-replay.zarr").history
    assert [step.words for step in made] == [step.words for step in kept if step.state == "done"]


def test_a_replay_is_of_more_steps_than_can_be_undone(job, monkeypatch):
    from napari_mosam.core.files import journal

    monkeypatch.setattr(journal, "MOST_KEPT", 2)
    changed(job)
    assert len(Result.open(OUT).history) <= 3
    mosam("replay", OUT, "-o", "new.zarr")
    assert told_of(job / "new.zarr")[0] == told_of(job / OUT)[0]


@pytest.mark.parametrize("edited", [False, True])
def test_half_a_result_is_replayed_to_where_it_was_stopped(job, half, edited):
    if edited:
        mosam(*lock())
        mosam("undo", OUT)
    mosam("replay", OUT, "-o", "new.zarr")
    new, old = told_of(job / "new.zarr"), told_of(job / OUT)
    assert Result.open("new.zarr").progress.frames == Result.open(OUT).progress.frames == (0, 1, 2)
    if not edited:
        assert new == old
        assert mosam("track", "movie.tif", "-p", "first.tif", "-o", "new.zarr", "--resume") == 0
    assert np.array_equal(Result.open("new.zarr").labels[:3], Result.open(OUT).labels[:3])


def test_all_at_once_ignores_the_order(job, capsys):
    changed(job)
    mosam(*lock(2, "3"))
    capsys.readouterr()
    assert mosam("replay", OUT, "--all-at-once", "-o", "new.zarr") == 0
    assert "labels" in capsys.readouterr().out
    old, new = Result.open(OUT), Result.open("new.zarr")
    assert [new.locked(t) for t in range(N)] == [old.locked(t) for t in range(N)]
    assert np.array_equal(new.labels[2] == 1, old.labels[2] == 1)
    assert not (new.labels[5] == 2).any()
    assert new.history[0].words == "the run that followed objects 1, 2, 3"


def test_another_movie_is_refused_unless_it_is_allowed(job, capsys):
    save("other.tif", np.roll(IMAGES, 4, axis=1))
    save("short.tif", IMAGES[:3])
    for verb in ("replay", "rerun"):
        line = refused(capsys, verb, OUT, "--movie", "other.tif")
        assert "shows other frames than the movie of 'out.zarr'; give that one (--movie), or allow another" in line
        assert "give the movie it was made from" in refused(capsys, verb, OUT, "--movie", "short.tif", "--other-movie")
    Path("movie.tif").rename("moved.tif")
    assert "is no longer at" in refused(capsys, "replay", OUT)
    assert mosam("replay", OUT, "--movie", "moved.tif") == 0
    capsys.readouterr()
    assert mosam("replay", OUT, "--movie", "other.tif", "--other-movie", "--overwrite") == 0
    out = capsys.readouterr().out
    assert out.startswith("the labels differ from out.zarr on") and "made with other values of: movie" in out


def test_a_replay_never_replaces_what_it_reads(job, capsys):
    assert "overlaps" in refused(capsys, "replay", OUT, "-o", OUT, "--overwrite")
    assert "overlaps" in refused(capsys, "replay", OUT, "-o", f"{OUT}/inside.zarr")
    save("kept.tif", IMAGES)
    assert "exists" in refused(capsys, "replay", OUT, "-o", "kept.tif")


def test_a_result_that_does_not_say_its_order_is_replayed_all_at_once(job, capsys):
    import zarr

    del zarr.open_group(OUT)["prompts"].attrs["edits"]
    seal(job / OUT)
    assert "does not say in which order it was changed" in refused(capsys, "replay", OUT)
    assert mosam("replay", OUT, "--all-at-once") == 0
    assert np.array_equal(Result.open("out-replay.zarr").labels[:], Result.open(OUT).labels[:])


def test_a_channel_is_read_again_as_it_was(job):
    both = np.stack([IMAGES[:, ::-1], IMAGES], axis=1)
    tifffile.imwrite("two.tif", both, photometric="minisblack", metadata={"axes": "TCYX"})
    assert mosam("track", "two.tif", "--channel", 1, "-p", "first.tif", "-o", OUT, "--overwrite") == 0
    assert mosam("rerun", OUT, "--frames", "2") == 0
    assert mosam("replay", OUT) == 0
    assert told_of(job / "out-replay.zarr")[0] == told_of(job / OUT)[0]


def test_a_movie_of_many_files_is_found_again(job):
    Path("frames").mkdir()
    for t in range(N):
        save(f"frames/img_{t:03d}.tif", IMAGES[t])
    assert mosam("track", "frames/img_*.tif", "-p", "first.tif", "-o", OUT, "--overwrite") == 0
    assert mosam("replay", OUT) == 0


@pytest.mark.parametrize(
    "edits",
    [
        [{"kind": "lock"}],
        [{"kind": "run", "prompts": 3, "results": None}],
        [{"kind": "run", "prompts": [], "results": "x"}],
        ["run"],
        [{"object": 1, "frame": 2, "mask": {"origin": [0, 0], "shape": [9, 9], "runs": [4]}, "kind": "correction"}],
        [{"kind": "lock", "object": 1, "frames": ["x"]}],
        [{"kind": "rerun", "changes": {"one": [1]}, "prompts": [], "neighbours": False}],
        [{"kind": "dance", "object": 1, "frames": [1]}],
    ],
)
def test_a_list_of_edits_that_is_damaged_is_refused(job, capsys, edits):
    import zarr

    attrs = zarr.open_group(OUT)["prompts"].attrs
    run = {"kind": "run", "prompts": attrs["records"], "results": None}
    whole = isinstance(edits[0], dict) and edits[0].get("kind") in ("run", "lock") and "object" not in edits[0]
    attrs["edits"] = edits if whole or edits == ["run"] else [run, *edits]
    seal(job / OUT)
    assert "error: " in refused(capsys, "replay", OUT)
    assert not Path("out-replay.zarr").exists()


@pytest.mark.parametrize("lost", ["frames", "config", "limits", "provenance"])
def test_attributes_that_are_damaged_are_refused(job, capsys, lost):
    import zarr

    zarr.open_group(OUT).attrs[lost] = 7
    if lost == "limits":
        del zarr.open_group(OUT).attrs["grey_limits"]
    seal(job / OUT)
    assert "out.zarr" in refused(capsys, "replay", OUT)
    assert "out.zarr" in refused(capsys, "rerun", OUT, "--objects", "1", "--frames", "1")


# ---- for other programs


def test_a_corrected_result_is_exported_as_it_is_now(capsys):
    save("mask.tif", np.where(LABELS[3] == 3, 1, 0).astype(np.uint8))
    assert mosam("correct", OUT, "--object", 1, "--frame", 3, "--mask", "mask.tif") == 0
    assert mosam("export", OUT, "--ctc", "ctc", "--overlay", "film.gif") == 0
    assert "written: ctc and film.gif" in " ".join(capsys.readouterr().out.split()).replace(str(Path.cwd()) + "/", "")
    masks = np.stack([tifffile.imread(f"ctc/mask{t:03d}.tif") for t in range(N)])
    np.testing.assert_array_equal(masks, np.asarray(Result.open(OUT).labels))
    assert ((masks[3] == 1) == (LABELS[3] == 3)).all() and Path("film.gif").stat().st_size
    assert "choose another" in refused(capsys, "export", OUT, "--ctc", "ctc")
    assert "already exists" in refused(capsys, "export", OUT, "--overlay", "film.gif")
    assert mosam("export", OUT, "--ctc", "ctc", "--overlay", "film.gif", "--overwrite") == 0


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ((), "give --ctc FOLDER, --overlay FILE, or both"),
        (("--ctc", OUT), "overlaps"),
        (("--overlay", "movie.tif"), "inputs are never outputs"),
        (("--overlay", "film.txt"), "allowed are .gif and .png"),
    ],
)
def test_exports_that_cannot_be_are_refused(capsys, given, words):
    assert words in refused(capsys, "export", OUT, *given)


def test_frames_outside_the_range_of_a_run_are_said_to_be_no_background(capsys, caplog):
    assert mosam("track", "movie.tif", "-p", "first.tif", "-o", "some.zarr", "--frames", "0:3") == 0
    caplog.clear()
    assert mosam("export", "some.zarr", "--ctc", "some") == 0
    (said,) = [m for m in caplog.messages if "CTC export" in m]
    assert f"was followed on 3 of {N} frames; the masks of the others, such as frame 3, are empty" in said
