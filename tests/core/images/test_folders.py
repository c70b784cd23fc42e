"""Which files of a folder are the frames of one movie, by their names alone."""

from pathlib import Path

import pytest

from napari_mosam.core.images.axes import MovieError
from napari_mosam.core.images.formats.folders import FrameFiles, shortened


def ordered(*names):
    """Names in the order of time, None for a frame without a file; the note; the pattern."""
    found = FrameFiles.of([Path(name) for name in reversed(names)], "the folder")
    return [path and path.name for path in found.files], found.note, found.pattern


@pytest.mark.parametrize(
    ("names", "pattern"),
    [
        (["a.tif"], "*"),
        (["t8.tif", "t9.tif", "t10.tif"], "t*.tif"),
        (["w1_t7_a.TIF", "w1_t8_a.TIF"], "w1_t*_a.TIF"),
        (["z1_t1.tif", "z2_t2.tif", "z3_t3.tif"], "z*_t*.tif"),
        (["img_1690000012_001.tif", "img_1690000313_002.tif", "img_1690000611_003.tif"], "img_*_*.tif"),
    ],
)
def test_one_number_counts_the_frames(names, pattern):
    assert ordered(*names) == (names, "", pattern)


@pytest.mark.parametrize(
    ("numbers", "lost", "note"),
    [
        ([1, 2, 4, 5], {2}, "number 3"),
        ([1, 2, 3, 7, 8, 9, 11], {3, 4, 5, 9}, "number 4 to 6, 10"),
        ([0, 10, 20, 40], {3}, "number 30; the numbers in the names of the folder go up by 10: each is taken for the"),
    ],
)
def test_a_number_that_is_left_out_is_a_frame_without_a_file(numbers, lost, note):
    files, said, _ = ordered(*(f"t{n:03d}.tif" for n in numbers))
    assert {i for i, name in enumerate(files) if name is None} == lost
    assert [name for name in files if name] == [f"t{n:03d}.tif" for n in numbers]
    assert said.startswith(f"the folder has no file with {note}")


def test_numbers_that_go_up_in_steps_are_told():
    files, note, _ = ordered("t000.tif", "t010.tif", "t020.tif")
    assert None not in files and note.endswith("go up by 10: each is taken for the next frame")


@pytest.mark.parametrize(
    "names",
    [
        ["20230115_235000.tif", "20230115_235500.tif", "20230116_000500.tif"],
        ["t1690000012.tif", "t1690000313.tif", "t1690000611.tif"],
        ["t1.tif", "t2.tif", f"t{'9' * 60}.tif"],
    ],
    ids=["over midnight", "seconds", "endless"],
)
def test_numbers_that_do_not_count_only_order(names):
    files, note, _ = ordered(*names)
    assert files == names and note.startswith("the numbers in the names of the folder do not count the frames")


def test_names_without_numbers_are_taken_in_their_order():
    assert ordered("b.tif", "a.tif")[:2] == (
        ["a.tif", "b.tif"],
        "no number in the names of the folder counts the frames: they are taken in the order of their names",
    )


@pytest.mark.parametrize(
    ("names", "patterns"),
    [
        ([f"t{t}_c{c}.tif" for t in range(3) for c in range(2)], ["'t*_c0.tif' (3)", "'t*_c1.tif' (3)"]),
        ([f"{t:03d}_ch{c}.tif" for t in range(2) for c in range(3)], ["'*_ch0.tif' (2)", "'*_ch2.tif' (2)"]),
        ([f"w{w}_{t}.tif" for t in range(3) for w in ("1Red", "2Phase")], ["'w1Red_*.tif' (3)", "'w2Phase_*.tif' (3)"]),
        (["img_1.tif", "img_2.tif", "thumb.tif"], ["'img_*.tif' (2)", "'thumb.tif' (1)"]),
        ([f"time{t}_z{z}.tif" for t in range(2) for z in range(9)], ["'time*_z0.tif' (2)", "and 3 more"]),
    ],
)
def test_several_series_are_refused_with_the_patterns_to_choose_from(names, patterns):
    with pytest.raises(MovieError, match="give one of these patterns in quotes, such as ") as refused:
        ordered(*names)
    assert all(pattern in str(refused.value) for pattern in patterns)


def test_two_files_of_one_number_are_refused():
    with pytest.raises(MovieError, match=r"t0?1\.tif and t0?1\.tif have the same number, 1"):
        ordered("t01.tif", "t1.tif", "t2.tif")


def test_runs_of_numbers_are_shortened():
    assert shortened([1, 2, 3, 5, 9, 10]) == "1 to 3, 5, 9 to 10"
    assert shortened(range(0, 40, 4)) == "0, 4, 8, 12, 16, 20 and 4 more"
    assert shortened([10, 20, 40], 10) == "10 to 20, 40"
