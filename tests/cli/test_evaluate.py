import csv
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tifffile
import zarr

from napari_mosam.cli import main as cli
from napari_mosam.core.config.whole_files import whole_file
from napari_mosam.core.export.ctc import export_ctc
from napari_mosam.core.images.label_images.label_files import open_labels
from napari_mosam.core.prompts.collection import PointPrompt
from napari_mosam.core.simulation import disk_divides, two_disks_cross
from napari_mosam.core.store.layout import write_prompts
from napari_mosam.core.store.tracks import open_tracks


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Two crossing disks: the truth as TIFF, and a result as zarr whose ids are swapped from the middle on."""
    monkeypatch.chdir(tmp_path)
    truth = two_disks_cross().labels
    tifffile.imwrite("truth.tif", truth, metadata={"axes": "TYX"}, photometric="minisblack")
    labels, half = truth.copy(), len(truth) // 2
    labels[half:] = np.choose(truth[half:], (0, 2, 1))
    write_result(tmp_path / "out.zarr", labels)
    return SimpleNamespace(folder=tmp_path, truth=truth, labels=labels, half=half)


def write_result(path: Path, labels: np.ndarray, ids: tuple[int, ...] = (1, 2), **attrs: object) -> None:
    """A group as ``mosam track`` writes it."""
    group = zarr.open_group(path, mode="w", attributes=attrs)
    for name in ("labels", "confidence"):
        group.create_array(name, data=labels, chunks=(1, *labels.shape[1:]))
    group.create_group("table").create_array("object_ids", data=np.array(ids, np.uint32))


def write_truth_folder(folder: Path, stem: str, frames: dict[int, np.ndarray], table: str | None = None) -> Path:
    folder.mkdir(parents=True)
    for t, frame in frames.items():
        tifffile.imwrite(folder / f"{stem}{t:03d}.tif", frame)
    if table is not None:
        (folder / "man_track.txt").write_text(table)
    return folder


def run(line: str, capsys: pytest.CaptureFixture[str]) -> list[list[str]]:
    """Words of the printed lines of a run that succeeds."""
    code = cli.main(["evaluate", *line.split()])
    printed = capsys.readouterr()
    assert code == 0, printed.err
    return [text.split() for text in printed.out.splitlines()]


def refused(line: str, capsys: pytest.CaptureFixture[str]) -> str:
    """The one line that a run which cannot be leaves on stderr."""
    try:
        code = cli.main(["evaluate", *line.split()])
    except SystemExit as stop:
        code = stop.code
    printed = capsys.readouterr()
    assert (code, printed.out, printed.err.count("\n")) == (2, "", 1), printed
    return printed.err


# --- the table -------------------------------------------------------------------------------------------------------


def test_a_table_of_objects_and_means_is_printed(job, capsys):
    head, one, two, together = run("out.zarr truth.tif", capsys)
    assert head == ["object", "frames", "J", "F", "J&F", "to", "loss", "matched", "switches", "lost"]
    n = len(job.truth)
    assert (one[0], one[1], one[-2], one[-1]) == ("1", str(n), "1", "yes")
    assert (two[0], two[-2]) == ("2", "1")
    assert together[:2] == ["all", str(2 * n)]
    assert together[-4:] == ["2", "2", "of", "2"]


def test_columns_are_aligned(job, capsys):
    cli.main(["evaluate", "out.zarr", "truth.tif"])
    assert len({len(line) for line in capsys.readouterr().out.splitlines()}) == 1


def test_frames_and_ids_are_chosen(job, capsys):
    rows = run(f"out.zarr truth.tif --frames 1:{job.half} --ids 2,2", capsys)
    assert [row[:3] for row in rows[1:]] == [["2", str(job.half - 1), "1.000"], ["all", str(job.half - 1), "1.000"]]


def test_a_tolerance_of_the_boundary_is_used(job, capsys):
    tifffile.imwrite("moved.tif", np.roll(job.truth, 1, axis=2), metadata={"axes": "TYX"}, photometric="minisblack")
    wide, strict = (run(f"moved.tif truth.tif --tolerance {px}", capsys)[1][3] for px in (2, 0))
    assert wide == "1.000" and float(strict) < 0.9


def test_prompted_frames_are_not_scored(job, capsys):
    Path("p.json").write_text(json.dumps([{"object": 1, "frame": 0, "point": [5, 5]}]))
    n = len(job.truth)
    rows = run("out.zarr truth.tif --prompts p.json", capsys)
    assert [row[1] for row in rows[1:3]] == [str(n - 1), str(n)]


def test_a_result_that_knows_its_prompts_and_frames_needs_no_options(job, capsys):
    write_result(job.folder / "out.zarr", job.labels, frames=[0, 4])
    prompts = [PointPrompt(1, 0, (5, 5)), PointPrompt(2, 0, (5, 5)), PointPrompt(2, 1, (5, 5))]
    write_prompts(zarr.open_group(job.folder / "out.zarr", mode="r+"), prompts)
    assert [row[1] for row in run("out.zarr truth.tif", capsys)[1:3]] == ["3", "2"]


def test_an_object_that_was_never_found_counts(job, capsys):
    write_result(job.folder / "out.zarr", np.where(job.truth == 1, 1, 0), ids=(1, 2))
    rows = run("out.zarr truth.tif", capsys)
    assert rows[2][2] == "0.000" and rows[3][2] == "0.500"


def test_other_ids_are_matched_on_a_frame(job, capsys):
    write_result(job.folder / "out.zarr", job.truth.astype(np.uint32) * 1000, ids=(1000, 2000))
    assert "add --match FRAME" in refused("out.zarr truth.tif", capsys)
    said, _, one, two, _ = run("out.zarr truth.tif --match 0", capsys)
    assert " ".join(said) == "ids matched (result -> truth): 1000 -> 1, 2000 -> 2"
    assert one[2] == two[2] == "1.000"


def test_objects_that_take_no_part_are_told(job, capsys):
    write_result(job.folder / "out.zarr", np.choose(job.truth, (0, 1, 7)), ids=(1, 7))
    said, _, one, together = run("out.zarr truth.tif --json r.json", capsys)
    assert " ".join(said) == (
        "not scored, since the other side has no such id: 1 of 2 objects of out.zarr (7) and 1 of 2 objects of "
        "truth.tif (2)"
    )
    assert (one[0], together[-1]) == ("1", "1")
    assert json.loads(Path("r.json").read_text())["unscored"] == {"result": [7], "truth": [2]}
    assert len(run("out.zarr truth.tif --ids 1", capsys)) == 3


@pytest.mark.parametrize("kind", ["result", "labels"])
def test_objects_that_find_no_partner_are_told(job, capsys, kind):
    labels = np.choose(job.truth, (0, 10, 20)).astype(np.uint16)
    labels[:, :2, :2] = 30  # where the truth has nothing
    write_result(job.folder / "out.zarr", labels, ids=(10, 20, 30))
    tifffile.imwrite("out.tif", labels)
    name = {"result": "out.zarr", "labels": "out.tif"}[kind]
    said = [" ".join(line) for line in run(f"{name} truth.tif --match 0 --json r.json", capsys)]
    assert said[1] == f"not scored, since matched with none on frame 0: 1 of 3 objects of {name} (30)"
    assert json.loads(Path("r.json").read_text())["unscored"] == {"result": [30], "truth": []}


# --- CTC -------------------------------------------------------------------------------------------------------------


def test_ctc_measures_are_printed_below_and_ignore_ids(job, capsys):
    assert run("truth.tif truth.tif --ctc", capsys)[-1] == ["TRA", "1.000", "DET", "1.000", "SEG", "1.000"]
    swapped = run("out.zarr truth.tif --ctc", capsys)[-1]
    assert float(swapped[1]) < 1 and swapped[2:] == ["DET", "1.000", "SEG", "1.000"]


def test_parents_are_read_from_the_challenges_files(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    movie = disk_divides()
    export_ctc(movie.labels, "01_RES", parents=movie.parents)
    table = Path("01_RES/res_track.txt").read_text()
    write_truth_folder(Path("TRA"), "man_track", dict(enumerate(movie.labels)), table)
    assert run("01_RES TRA --ctc", capsys)[-1][:2] == ["TRA", "1.000"]
    alone = "".join(" ".join([*line.split()[:3], "0"]) + "\n" for line in table.splitlines())
    Path("01_RES/res_track.txt").write_text(alone)
    assert float(run("01_RES TRA --ctc", capsys)[-1][1]) < 1


def test_segmentation_truth_on_some_frames_gives_seg_only(job, capsys):
    write_truth_folder(Path("SEG"), "man_seg", {1: job.truth[1] * 7, 4: job.truth[4] * 9})
    assert run("out.zarr SEG --ctc --json r.json", capsys) == [["TRA", "-", "DET", "-", "SEG", "1.000"]]
    assert json.loads(Path("r.json").read_text())["ctc"] == {"tra": None, "det": None, "seg": 1.0}
    write_result(job.folder / "out.zarr", np.where(np.arange(len(job.truth))[:, None, None] == 1, job.truth, 0))
    assert run("out.zarr SEG --ctc", capsys)[-1][-1] == "0.500"
    assert run("out.zarr SEG --ctc --frames :2", capsys)[-1][-1] == "1.000"
    assert "add --ctc" in refused("out.zarr SEG", capsys)
    assert "leaves no frame of SEG; it has 1, 4" in refused("out.zarr SEG --ctc --frames 2:4", capsys)


def test_without_the_libraries_the_extra_is_named(job, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "traccuracy", None)
    assert "pip install 'napari-mosam[evaluate]'" in refused("out.zarr truth.tif --ctc", capsys)


# --- reports ---------------------------------------------------------------------------------------------------------


def test_reports_hold_what_is_printed(job, capsys):
    rows = run("out.zarr truth.tif --ctc --csv r.csv --json r.json", capsys)
    with open("r.csv", newline="") as file:
        table = list(csv.DictReader(file))
    report = json.loads(Path("r.json").read_text())
    assert [f"{float(row['j']):.3f}" for row in table] == [row[2] for row in rows[1:3]]
    assert [f"{o['j']:.3f}" for o in report["objects"]] == [row[2] for row in rows[1:3]]
    assert (report["all"]["switches"], report["all"]["lost"], report["all"]["n_objects"]) == (2, 2, 2)
    assert report["ctc"]["det"] == 1


def test_an_existing_report_is_replaced_only_with_overwrite(job, capsys):
    Path("r.csv").write_text("mine")
    assert "r.csv already exists" in refused("out.zarr truth.tif --csv r.csv", capsys)
    assert Path("r.csv").read_text() == "mine"
    run("out.zarr truth.tif --csv r.csv --overwrite", capsys)
    assert Path("r.csv").read_text().startswith("object_id,n_frames,j,f,jf,")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--csv truth.tif --overwrite", "truth.tif overlaps truth.tif, which is read; inputs are never outputs"),
        ("--json out.zarr/zarr.json --overwrite", "out.zarr/zarr.json overlaps out.zarr"),
        ("--csv nowhere/r.csv", "give a file in a folder that exists"),
        ("--csv r --json r", "give two files"),
        ("--csv p.json --overwrite", "cannot write p.json: allowed are .csv files"),
        ("--json p.csv --overwrite", "cannot write p.csv: allowed are .json files"),
        ("--ids 1,9", "truth.tif has no object 9 on these frames; it has 1, 2"),
        ("--ids 1;2", "'1;2' are no object ids"),
        ("--ids 0", "'0' are no object ids"),
        ("--frames 0:999", "--frames 0:999 is not all there; allowed: within 0:"),
        ("--match 999", "--match 999 is not there"),
        ("--match x", "'x' is no frame"),
        ("--tolerance -1", "'-1' is no distance; give 0 or more px"),
        ("--tolerance nan", "'nan' is no distance"),
        ("--prompts none.json", "none.json"),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_line(job, options, message, capsys):
    assert message in refused(f"out.zarr truth.tif {options}", capsys)
    assert sorted(path.name for path in job.folder.iterdir()) == ["out.zarr", "truth.tif"]


def test_another_movies_truth_is_refused_with_both_shapes(job, capsys):
    tifffile.imwrite("other.tif", np.zeros((3, 20, 30), np.uint16), metadata={"axes": "TYX"}, photometric="minisblack")
    line = refused("out.zarr other.tif", capsys)
    assert str(job.truth.shape) in line and "(3, 20, 30)" in line


def test_truth_of_the_first_frames_is_compared_on_them(job, capsys):
    n = job.half + 2
    tifffile.imwrite("short.tif", job.truth[:n], metadata={"axes": "TYX"}, photometric="minisblack")
    whole, both = f"short.tif has the shape ({n}, ", f"add --frames 0:{n}"
    for frames in ("", " --frames 0:", f" --frames 0:{n + 1}"):
        line = refused("out.zarr short.tif" + frames, capsys)
        assert whole in line and both in line
    expected = run(f"out.zarr truth.tif --frames 0:{n}", capsys)
    assert run(f"out.zarr short.tif --frames 0:{n}", capsys) == expected
    assert run(f"short.tif truth.tif --frames 0:{job.half}", capsys)[-1][2] == "1.000"


def test_a_missing_truth_is_bad_input(job, capsys):
    assert "none.tif does not exist" in refused("out.zarr none.tif", capsys)


@pytest.mark.parametrize(
    ("result", "truth", "report"),
    [
        ("out.zarr", "truth.tif", "--csv truth.csv"),
        ("out.zarr", "truth.tif", "--json hard.json"),
        ("out.zarr", "truth.tif", "--json ./TRA/../truth.tif"),
        ("out.zarr", "truth.tif", "--json p.json --prompts p.json"),
        ("out.zarr", "truth.tif", "--json cell.png --prompts p.json"),
        ("out.zarr", "TRA", "--csv TRA/man_track.txt"),
        ("out.zarr", "TRA", "--csv TRA/report.csv"),
        ("out.zarr", "TRA", "--csv tra/report.csv"),
        ("TRA", "truth.tif", "--csv TRA/report.csv"),
    ],
)
def test_a_report_never_touches_what_is_read(job, capsys, result, truth, report):
    write_truth_folder(Path("TRA"), "man_track", dict(enumerate(job.truth)), "1 0 9 0\n")
    Path("p.json").write_text(json.dumps([{"object": 1, "frame": 0, "mask": "cell.png"}]))
    Path("cell.png").write_text("a mask")
    Path("truth.csv").symlink_to("truth.tif")
    Path("tra").symlink_to("TRA")
    Path("hard.json").hardlink_to("truth.tif")
    before = {path: path.read_bytes() for path in sorted(job.folder.rglob("*")) if path.is_file()}
    assert "inputs are never outputs" in refused(f"{result} {truth} {report} --overwrite", capsys)
    assert {path: path.read_bytes() for path in sorted(job.folder.rglob("*")) if path.is_file()} == before


def test_a_report_that_cannot_be_written_leaves_the_earlier_one(job, monkeypatch):
    Path("r.json").write_text("mine")
    with pytest.raises(KeyError, match="the score"), whole_file(Path("r.json")) as part:
        part.write_text("half of")
        raise KeyError("the score")
    assert Path("r.json").read_text() == "mine"
    assert sorted(path.name for path in job.folder.iterdir()) == ["out.zarr", "r.json", "truth.tif"]


# --- half results ----------------------------------------------------------------------------------------------------


@pytest.fixture
def half(job) -> SimpleNamespace:
    """The result as it is after a stop: the swapped ids are not there yet."""
    n = len(job.truth)
    write_result(job.folder / "out.zarr", np.where(np.arange(n)[:, None, None] < job.half, job.truth, 0))
    group = zarr.open_group("out.zarr", mode="r+")
    group.attrs.update({"napari_mosam": "0", "complete": False, "frames": [0, n], "direction": "both"})
    write_prompts(group, [PointPrompt(1, 0, (5, 5)), PointPrompt(2, 0, (5, 5))])
    state = np.repeat(np.arange(n)[:, None] < job.half, 2, axis=1).astype(np.float32)
    group["table"].create_array("state", data=state)
    job.said = f"out.zarr is half a result (stopped at frame {job.half} of {n})"
    return job


def test_a_half_result_is_scored_only_when_asked_for(half, capsys):
    assert cli.main(["evaluate", "out.zarr", "truth.tif", "--json", "r.json"]) == 3
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.startswith(f"mosam: error: {half.said}; add --partial")
    assert not Path("r.json").exists()
    said, _, one, *_ = run("out.zarr truth.tif --partial --json r.json", capsys)
    assert " ".join(said) == f"{half.said}: only the frames that were followed are scored"
    assert one[:3] == ["1", str(half.half - 1), "1.000"]
    assert json.loads(Path("r.json").read_text())["partial"].startswith(half.said)


@pytest.mark.parametrize("lost", ["table", "table/object_ids"])
def test_a_half_result_that_lost_its_table_is_not_scored_as_whole(half, capsys, lost):
    del zarr.open_group("out.zarr", mode="r+")[lost]
    assert "out.zarr has lost its table of objects" in refused("out.zarr truth.tif", capsys)


def test_frames_that_were_not_followed_have_no_score(half, capsys):
    assert "there is nothing to score" in refused(f"out.zarr truth.tif --partial --frames {half.half + 1}:", capsys)


def test_objects_that_were_followed_further_than_others_have_scores_there(half, capsys):
    table = zarr.open_group("out.zarr", mode="r+")["table"]
    state = table["state"][:]
    state[1:, 1] = 0
    table["state"][:] = state
    assert "there is nothing to score" in refused("out.zarr truth.tif --partial --frames 1:", capsys)
    for words in ("--ids 1", "--ids 1 --match 1"):
        assert ["1", str(half.half - 1), "1.000"] in [
            row[:3] for row in run(f"out.zarr truth.tif --partial {words}", capsys)
        ]
    assert "there is nothing to score" in refused("out.zarr truth.tif --partial --ids 1,2 --frames 1:", capsys)


def test_a_half_truth_is_said_too(half, capsys):
    assert cli.main(["evaluate", "truth.tif", "out.zarr"]) == 3
    assert half.said in capsys.readouterr().err


def test_damaged_labels_are_told_in_plain_words(job, capsys):
    for chunk in Path("out.zarr/labels/c").rglob("*"):
        if chunk.is_file():
            chunk.write_bytes(b"garbage" * 9)
    assert "frame 0 of out.zarr cannot be read: " in refused("out.zarr truth.tif", capsys)
    Path("out.zarr/zarr.json").write_text('{"zarr_form')
    assert "out.zarr cannot be read: " in refused("out.zarr truth.tif", capsys)


# --- what is opened --------------------------------------------------------------------------------------------------


def test_labels_are_opened_whatever_holds_them(job):
    zarr.create_array("array.zarr", data=job.truth, chunks=(1, *job.truth.shape[1:]))
    write_truth_folder(Path("frames"), "t", dict(enumerate(job.truth)))
    for path in ("truth.tif", "array.zarr", "frames"):
        stack = open_labels(path)
        assert stack.shape == job.truth.shape
        np.testing.assert_array_equal(stack[3], job.truth[3])
    assert open_tracks("out.zarr").object_ids == (1, 2)


def test_pictures_are_no_labels(job):
    grey = np.full((3, 20, 30), 0.5, np.float32)
    tifffile.imwrite("grey.tif", grey, metadata={"axes": "TYX"}, photometric="minisblack")
    tifffile.imwrite("rgb.tif", np.zeros((20, 30, 3), np.uint8), photometric="rgb")
    with pytest.raises(ValueError, match=r"frame 0 of grey\.tif holds fractions"):
        open_labels("grey.tif")[0]
    with pytest.raises(ValueError, match=r"rgb\.tif holds colours"):
        open_labels("rgb.tif")


def test_a_folder_of_the_challenge_is_checked(job):
    frames = dict(enumerate(job.truth))
    good = write_truth_folder(Path("GT/TRA"), "man_track", frames, "1 0 4 0\n2 5 9 1\n\n")
    assert open_labels(good).parents == {2: 1}
    with pytest.raises(ValueError, match=r"give one of them: GT/TRA or GT/SEG"):
        open_labels("GT")
    (good / "man_track.txt").write_text("1 0 4\n")
    with pytest.raises(ValueError, match=r"man_track\.txt, line 1: '1 0 4' is not 'id first last parent'"):
        open_labels(good)
    (good / "man_track003.tif").unlink()
    with pytest.raises(ValueError, match=r"lacks man_track003\.tif"):
        open_labels(good)
    slices = write_truth_folder(Path("SEG3"), "man_seg_001_", {0: job.truth[0]})
    with pytest.raises(ValueError, match="3-D truth"):
        open_labels(slices)


# --- the real thing --------------------------------------------------------------------------------------------------


def test_a_tracked_result_is_evaluated_from_end_to_end(job):
    """Followed by the embedded model, and compared with the truth in a process of its own."""
    tifffile.imwrite("movie.tif", two_disks_cross().images, metadata={"axes": "TYX"}, photometric="minisblack")
    tifffile.imwrite("prompts.tif", job.truth[0])
    assert cli.main("track movie.tif -p prompts.tif -o tracked.zarr --device cpu --frames :4".split()) == 0
    evaluate = "evaluate tracked.zarr truth.tif --prompts prompts.tif --frames :4 --ctc".split()
    mosam = [sys.executable, "-m", "napari_mosam"]
    done = subprocess.run([*mosam, *evaluate], capture_output=True, text=True, timeout=200)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    rows = [line.split() for line in done.stdout.splitlines()]
    assert [row[:2] for row in rows[1:4]] == [["1", "3"], ["2", "3"], ["all", "6"]]
    assert float(rows[3][2]) > 0.7
