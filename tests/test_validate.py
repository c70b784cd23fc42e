"""The validation table: right J, the same prompts whatever the order, every kind the same weight, nothing guessed."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from benchmarks import validate, validation_sets
from benchmarks.runs import js_of, prompted, track_js
from benchmarks.validate import Track, Validation
from benchmarks.validation_sets import Clip, Found, Sample, find_clips
from tests.support.fake_model import FakeSegmenter, disks
from training.data.stills import SOURCES, is_test

from napari_mosam.core.simulation import CASES

STILL = disks([[(24, 24), (24, 70), (70, 46)]])
MOVIE = disks([[(24, 24 + 2 * t), (70, 40 + 2 * t)] for t in range(4)])


def clip(images: np.ndarray, truth: np.ndarray, ids: tuple[int, ...], name: str = "made/up") -> Clip:
    """Objects of a movie or still that lies in memory."""
    return Clip("nuclei", "made", name, name, lambda: Sample(images, truth, ids))


def track(kind: str, name: str, object_id: int, mask: float, box: float, click: float) -> Track:
    """A track with these J."""
    return Track(kind, name, name, name, object_id, {"mask": mask, "box": box, "click": click})


def test_the_prompt_mask_itself_has_a_j_of_one_on_a_still_and_another_mask_its_iou() -> None:
    _, truth = STILL
    found = np.where(truth == 2, 0, truth)
    found[0, :24][truth[0, :24] == 1] = 0
    rest = (found == 1).sum() / (truth == 1).sum()
    assert js_of(truth, truth, (3, 1, 2)) == {1: 1.0, 2: 1.0, 3: 1.0}
    assert js_of(found, truth, (1, 2, 3)) == {1: pytest.approx(rest), 2: 0.0, 3: 1.0}


def test_a_mask_on_a_still_comes_back_at_the_resolution_of_the_window() -> None:
    images, truth = STILL
    prompts = prompted(truth[0], (1, 2, 3), "mask", 0)
    coarse, fine = (track_js(images, truth, prompts, FakeSegmenter(image_size=side)) for side in (128, 512))
    assert all(0.9 < coarse[i] < fine[i] and fine[i] > 0.96 for i in (1, 2, 3))


def test_j_is_that_of_the_shape_which_the_model_gives() -> None:
    """The fake model finds what is bright, which here covers a disk that is half the truth, or twice it."""
    images, truth = (stack.copy() for stack in disks([[(48, 48)]], radius=12.0))
    truth[0, 48:] = 0
    half = (truth[0] == 1).sum() / (images[0] > 500).sum()
    found = track_js(images, truth, prompted(truth[0], (1,), "box", 0), FakeSegmenter(reach=0.5))
    assert found[1] == pytest.approx(half, abs=0.04)


def test_the_prompted_frame_of_a_movie_does_not_count() -> None:
    """The objects are gone after the prompted frame, while the truth says that they stay."""
    images, truth = (stack.copy() for stack in MOVIE)
    images[1:] = 100
    found = track_js(images, truth, prompted(truth[0], (1, 2), "mask", 0), FakeSegmenter())
    assert found == {1: 0.0, 2: 0.0}


def test_a_movie_that_the_model_can_follow_has_a_high_j_from_every_prompt() -> None:
    found = validate.tracks_of(clip(*MOVIE, (1, 2)), FakeSegmenter())
    assert [t.object_id for t in found] == [1, 2]
    assert all(0.75 < t.js[prompt] <= 1 for t in found for prompt in ("mask", "box"))
    assert all(set(t.js) == {"mask", "box", "click"} for t in found)


def test_the_order_of_the_objects_changes_nothing() -> None:
    one, other = (validate.tracks_of(clip(*STILL, ids), FakeSegmenter()) for ids in ((1, 2, 3), (3, 1, 2)))
    assert sorted(one, key=lambda t: t.object_id) == sorted(other, key=lambda t: t.object_id)


@pytest.mark.parametrize("kind", ["box", "click"])
def test_a_prompt_depends_on_its_object_and_the_seed_and_on_no_other_object(kind: str) -> None:
    _, truth = STILL
    alone, among = (prompted(truth[0], ids, kind, 7).items for ids in ((2,), (1, 2, 3)))
    assert alone[0] == among[1]
    assert alone[0] != prompted(truth[0], (2,), kind, 8).items[0]


def test_every_kind_counts_the_same_and_so_does_every_prompt() -> None:
    many = [track("nuclei", f"a{k}", 1, 1.0, 1.0, 0.4) for k in range(9)]
    kinds = validate.by_kind([track("yeast", "b", 1, 0.3, 0.0, 0.0), *many])
    assert list(kinds) == ["nuclei", "yeast"]
    assert validate.summary(kinds.values()).mean == pytest.approx((0.8 + 0.1) / 2)
    assert validate.summary(kinds.values(), "mask").mean == pytest.approx((1.0 + 0.3) / 2)


def test_a_comparison_is_paired_by_object_and_ignores_what_only_one_has() -> None:
    mine = [track("rods", "a", 1, 0.5, 0.5, 0.5), track("rods", "a", 2, 0.9, 0.9, 0.9), track("rods", "b", 1, 1, 1, 1)]
    theirs = [track("rods", "a", 2, 0.8, 0.7, 0.6), track("rods", "a", 1, 0.4, 0.3, 0.2)]
    found = {t.object_id: t.js for t in validate.differences(mine, theirs)}
    assert found[1] == pytest.approx({"mask": 0.1, "box": 0.2, "click": 0.3})
    assert found[2] == pytest.approx(found[1]) and len(found) == 2
    cells = validate.table(validate.differences(mine, theirs), points=True)
    assert "| rods (2) | +10.0 [+10.0, +10.0] | +20.0 [+20.0, +20.0] |" in cells


def test_the_interval_of_a_difference_spans_what_whole_clips_disagree_about() -> None:
    """Ten alike tracks in each of two clips that disagree are no more evidence than two tracks."""
    gains = [track("DIC", name, k, gain, gain, gain) for name, gain in (("a", 0.0), ("b", 0.2)) for k in range(10)]
    found = validate.summary([gains])
    assert (found.low, found.mean, found.high) == pytest.approx((0.0, 0.1, 0.2))


def test_the_number_is_that_of_the_own_size_and_says_over_what() -> None:
    sizes = {128: [track("rods", "a", 1, 0.1, 0.1, 0.1)], 256: [track("rods", "a", 1, 0.5, 0.6, 0.7)]}
    line = validate.number_line(Validation("nano", 256, sizes, ()))
    assert line.startswith("**0.6000** [0.600, 0.600]: nano at its own 256 px, 1 of 7 kinds, 1 tracks.")
    assert "Without nuclei, DIC" in line and "rods" not in line.partition("Without")[2]
    assert "No number" in validate.number_line(Validation("nano", 512, sizes, ()))


def test_what_is_missing_is_named_and_left_out(tmp_path: Path) -> None:
    found = find_clips(tmp_path)
    assert {c.kind for c in found.clips} == {"simulated"}
    names = [what.partition(":")[0] for what in found.left_out]
    assert names == [
        *(f"timelapse/{movie.name}" for movie in validation_sets.MOVIES),
        *(f"stills/{source.folder}" for source in SOURCES),
    ]
    assert all(str(tmp_path) in what for what in found.left_out)
    assert all("MOSAM_DATA" in what for what in find_clips(None).left_out)


def test_only_the_test_part_of_the_stills_is_read_and_a_folder_without_any_is_named(tmp_path: Path) -> None:
    images, truth = STILL
    for folder in ("t98g", "yeast_bf"):
        (tmp_path / "stills" / folder).mkdir(parents=True)
    for k in range(30):
        for what, frame in (("image", images[0]), ("mask", truth[0])):
            tifffile.imwrite(tmp_path / "stills" / "t98g" / f"t{k:03d}_{what}.tif", frame)
    found = find_clips(tmp_path)
    stills = [c for c in found.clips if c.source == "stills/t98g"]
    assert stills and all(is_test("t98g", c.name.rpartition("/")[2]) for c in stills)
    assert len(stills) <= validation_sets.MAX_IMAGES and stills[0].read().images.shape == (1, 96, 96)
    assert "stills/yeast_bf: none of its images is in the test part" in found.left_out


def test_movies_are_cut_short_from_each_start(tmp_path: Path) -> None:
    folder = tmp_path / "timelapse" / "sim_n2dh_01"
    folder.mkdir(parents=True)
    for name in ("images", "masks"):
        tifffile.imwrite(
            folder / f"{name}.tif", np.arange(40, dtype=np.uint16)[:, None, None] * np.ones((4, 4), np.uint16)
        )
    samples = [c.read() for c in find_clips(tmp_path).clips if c.source == "timelapse/sim_n2dh_01"]
    assert [s.images[0, 0, 0] for s in samples] == [0, 20]
    assert all(len(s.images) == len(s.truth) == validation_sets.N_FRAMES for s in samples)


def test_simulated_movies_are_held_out_whole_and_the_same_every_time() -> None:
    assert min(validation_sets.SEEDS) >= 2**31 and set(validation_sets.SIMULATED) <= set(CASES)
    clips = [c for c in find_clips(None).clips if "two_disks_cross" in c.name]
    assert len(clips) == len({c.name for c in clips}) == 2
    one, again, other = clips[0].read(), clips[0].read(), clips[1].read()
    assert one.ids == again.ids and np.array_equal(one.images, again.images)
    assert not np.array_equal(one.images, other.images)


def test_every_source_and_movie_has_a_kind() -> None:
    kinds = [*validation_sets.STILL_KINDS.values(), *(movie.kind for movie in validation_sets.MOVIES)]
    assert set(kinds) | {"simulated"} == set(validation_sets.KINDS)
    assert set(validation_sets.STILL_KINDS) == {source.folder for source in SOURCES}


def test_objects_of_the_real_movies_are_there_on_every_frame(mosam_data: Path) -> None:
    clips = [c for c in find_clips(mosam_data).clips if c.source.startswith("timelapse/")]
    assert clips
    for sample in (c.read() for c in clips):
        assert all((sample.truth == i).any((1, 2)).all() for i in sample.ids)


def test_the_command_prints_the_tables_and_writes_every_track(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The real network at two sizes, against itself; one clip cannot be read."""
    still = clip(*STILL, (1, 2), "made/still")
    broken = replace(clip(*STILL, (9,), "made/broken"), read=lambda: Sample(*STILL, (9,)))
    monkeypatch.setattr(validate, "find_clips", lambda _: Found((still, broken), ("stills/t98g: not here",)))
    monkeypatch.setattr("benchmarks.runs.one_thread", lambda: None)
    file = tmp_path / "found.json"
    words = ["nano", "--size", "64", "128", "--against", "nano", "--jobs", "1", "--json", str(file)]
    assert validate.main(words) == 1
    text, record = capsys.readouterr().out, json.loads(file.read_text())
    assert text.count("| nuclei (2) |") == 4 and text.count("+0.0 [+0.0, +0.0] | +0.0 [+0.0, +0.0]") >= 4
    assert "## nano, 64 px" in text and "No number" in text and "- left out: stills/t98g: not here" in text
    assert "- failed: made/broken with nano at 64 px" in text
    assert [m["own_size"] for m in record["models"]] == [256, 256] and record["models"][0]["number"] is None
    assert [len(tracks) for tracks in record["models"][0]["tracks"].values()] == [2, 2]
    coarse, fine = record["models"][0]["tracks"].values()
    assert all(0.6 < a["js"]["mask"] < b["js"]["mask"] for a, b in zip(coarse, fine, strict=True))
