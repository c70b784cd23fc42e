"""One reader of labels: whatever holds them gives the same frames, and what holds none is refused in plain words."""

import logging
import re
from pathlib import Path
from types import SimpleNamespace

import dask.array as da
import numpy as np
import pytest
import tifffile
import zarr
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from napari_mosam.cli import main as cli
from napari_mosam.core.evaluation.evaluate import evaluate
from napari_mosam.core.images.label_images.label_files import open_labels
from napari_mosam.core.images.label_images.labels import LARGEST_ID, LabelError, as_ids
from napari_mosam.core.images.movie import Movie
from napari_mosam.core.prompts.collection import PromptError
from napari_mosam.core.prompts.files import load_prompts
from napari_mosam.core.store.tracks import open_tracks

SHAPE = (4, 20, 30)
FRAME = SHAPE[1:]


def label_stack() -> np.ndarray:
    """Objects 4 and 250, the second on the last frames only."""
    stack = np.zeros(SHAPE, np.uint8)
    for t in range(4):
        stack[t, 2 + t : 8 + t, 3:9] = 4
    stack[2:, 10:15, 20:28] = 250
    return stack


STACK = label_stack()


def write_ome(path: Path, labels: dict[str, np.ndarray], version: int, levels: tuple[str, ...] = ("0", "1")) -> Path:
    """An OME-Zarr image of (T, C, Z, Y, X) with label images in it, as other programs write them."""
    root = zarr.open_group(path, mode="w", zarr_format=version)
    _write_scales(root, np.full(SHAPE, 7, np.uint8), ("0",), version)
    group = root.create_group("labels")
    _say(group, {"labels": list(labels)}, version)
    for name, stack in labels.items():
        _write_scales(group.create_group(name), stack, levels, version)
    return path


def _write_scales(group: zarr.Group, stack: np.ndarray, levels: tuple[str, ...], version: int) -> None:
    for k, level in enumerate(levels):
        group.create_array(level, data=stack[:, None, None, :: 2**k, :: 2**k])
    axes = [{"name": n, "type": kind} for n, kind in zip("tczyx", ("time", "channel", *["space"] * 3), strict=True)]
    _say(group, {"multiscales": [{"axes": axes, "datasets": [{"path": level} for level in levels]}]}, version)


def _say(group: zarr.Group, what: dict, version: int) -> None:
    group.attrs.update(what if version == 2 else {"ome": {"version": "0.5", **what}})


def tif(path: Path, stack: np.ndarray = STACK, **options: object) -> Path:
    tifffile.imwrite(path, stack, **{"photometric": "minisblack", **options})
    return path


def appended(path: Path) -> Path:
    for frame in STACK:
        tifffile.imwrite(path, frame, append=path.exists())
    return path


def frames(folder: Path, names: str = "t{:02d}.tif", first: int = 0) -> Path:
    folder.mkdir()
    for t, frame in enumerate(STACK, first):
        path = folder / names.format(t)
        Image.fromarray(frame).save(path) if path.suffix == ".png" else tifffile.imwrite(path, frame)
    return folder


def beside(folder: Path) -> Path:
    for t in range(4):
        tifffile.imwrite(folder / f"im{t}.tif", np.full(FRAME, 900, np.uint16))
    return folder


def palette(folder: Path) -> Path:
    folder.mkdir()
    for t, frame in enumerate(STACK):
        picture = Image.fromarray(frame, "P")
        picture.putpalette([(k * c) % 256 for k in range(256) for c in (67, 151, 29)])
        picture.save(folder / f"{t}.png")
    return folder


def several_files(folder: Path) -> Path:
    """An OME-TIFF of one file per frame."""
    folder.mkdir()
    xml = tifffile.OmeXml()
    xml.addimage("uint8", SHAPE, (4, 1, 1, *FRAME, 1), axes="TYX")
    names = [f"a_{t}.ome.tif" for t in range(4)]
    text = xml.tostring()
    parts = [
        f'<TiffData IFD="0" FirstT="{t}" PlaneCount="1"><UUID FileName="{n}">urn:uuid:{n}</UUID></TiffData>'
        for t, n in enumerate(names)
    ]
    start, end = text.index("<TiffData"), text.index("</Pixels>")
    text = text[:start] + "".join(parts) + text[end:]
    for t, name in enumerate(names):
        said = re.sub(r' UUID="[^"]*"', f' UUID="urn:uuid:{name}"', text, count=1)
        tifffile.imwrite(folder / name, STACK[t], description=said, metadata=None, ome=False)
    return folder / names[0]


def ctc(folder: Path, stem: str, numbers: range | tuple[int, ...], table: str | None = None) -> Path:
    folder.mkdir()
    for t in numbers:
        tifffile.imwrite(folder / f"{stem}{t:03d}.tif", STACK[t].astype(np.uint16))
    if table:
        (folder / table).write_text("4 0 3 0\n250 2 3 4\n")
    return folder


def result(path: Path) -> Path:
    group = zarr.open_group(path, mode="w")
    group.create_array("labels", data=STACK, chunks=(1, *FRAME))
    group.create_array("confidence", data=STACK, chunks=(1, *FRAME))
    return path


def archive(path: Path) -> Path:
    np.savez_compressed(path, STACK)
    return path


def numpy_file(path: Path, stack: np.ndarray = STACK) -> Path:
    np.save(path, stack)
    return path


def array_of_zarr(path: Path) -> Path:
    zarr.save_array(path, STACK)
    return path


KINDS = {
    "tiff": lambda f: tif(f / "a.tif", metadata={"axes": "TYX"}),
    "tiff without axes": lambda f: tif(f / "a.tif"),
    "tiff, frames appended": lambda f: appended(f / "a.tif"),
    "tiff, frames called colours": lambda f: tif(f / "a.tif", photometric="rgb", planarconfig="separate"),
    "tiff of float32": lambda f: tif(f / "a.tif", STACK.astype(np.float32), imagej=True, metadata={"axes": "TYX"}),
    "imagej, frames called planes": lambda f: tif(f / "a.tif", STACK, imagej=True, metadata={"axes": "ZYX"}),
    "big-endian bigtiff": lambda f: tif(f / "a.btf", STACK.astype(">u2"), byteorder=">", bigtiff=True),
    "ome-tiff pages": lambda f: tif(f / "a.ome.tif", STACK, metadata={"axes": "TYX"}, compression="lzw"),
    "ome-tiff of several files": lambda f: several_files(f / "several"),
    "folder of tiff": lambda f: frames(f / "a"),
    "folder of png": lambda f: frames(f / "a", "cell2_t{}.png", first=8),
    "pattern": lambda f: frames(f / "a", "w1_{:03d}.tif") / "w1_*.tif",
    "palette png": lambda f: palette(f / "a"),
    "masks of cellpose beside their frames": lambda f: beside(frames(f / "a", "im{}_cp_masks.png")) / "*_cp_masks.png",
    "npy": lambda f: numpy_file(f / "a.npy"),
    "npy with axes of length one": lambda f: numpy_file(f / "a.npy", STACK[:, None, None]),
    "npz": lambda f: archive(f / "a.npz"),
    "zarr array": lambda f: array_of_zarr(f / "a.zarr"),
    "zarr of any name": lambda f: array_of_zarr(f / "cells"),
    "result": lambda f: result(f / "a.zarr"),
    "array in a result": lambda f: result(f / "a.zarr") / "labels",
    "ome-zarr 0.4": lambda f: write_ome(f / "a.ome.zarr", {"cells": STACK}, 2) / "labels" / "cells",
    "ome-zarr 0.5": lambda f: write_ome(f / "a.ome.zarr", {"cells": STACK}, 3) / "labels" / "cells",
    "ome-zarr, odd levels": lambda f: write_ome(f / "a", {"cells.zarr": STACK}, 2, ("s0", "s1")) / "labels/cells.zarr",
    "ome-zarr, its only labels": lambda f: write_ome(f / "a.ome.zarr", {"cells": STACK}, 3),
    "ome-zarr, its group of labels": lambda f: write_ome(f / "a.ome.zarr", {"cells": STACK}, 2) / "labels",
    "challenge, tracking truth": lambda f: ctc(f / "TRA", "man_track", range(4), "man_track.txt"),
    "challenge, result": lambda f: ctc(f / "RES", "mask", range(4), "res_track.txt"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_whatever_holds_labels_gives_the_same_frames(tmp_path, kind):
    """As labels, as prompts and as truth."""
    path = KINDS[kind](tmp_path)
    stack = open_labels(path)
    assert (stack.shape, list(stack.frames), stack.linked) == (SHAPE, [0, 1, 2, 3], True)
    for t in range(4):
        assert stack[t].dtype.kind in "ui"
        np.testing.assert_array_equal(stack[t], STACK[t])
    prompts = load_prompts(path, SHAPE)
    assert {(p.object_id, p.frame) for p in prompts} == {(4, 0), (4, 1), (4, 2), (4, 3), (250, 2), (250, 3)}
    np.testing.assert_array_equal(prompts.at(3)[250][0].to_frame(FRAME), STACK[3] == 250)
    found = evaluate(STACK, open_tracks(path).labels)
    assert {s.object_id: (s.j, s.n_frames) for s in found.scores} == {4: (1, 4), 250: (1, 2)}


@pytest.mark.parametrize("as_given", [np.asarray, zarr.array, da.from_array, list])
def test_arrays_are_labels_too(as_given):
    np.testing.assert_array_equal(open_labels(as_given(STACK))[3], STACK[3])


def test_a_label_image_that_python_opened_is_read(tmp_path):
    path = write_ome(tmp_path / "a.zarr", {"cells": STACK}, 3)
    np.testing.assert_array_equal(open_labels(zarr.open_group(path, mode="r"))[1], STACK[1])


def test_labels_are_opened_once():
    stack = open_labels(STACK)
    assert open_labels(stack) is stack


def test_movie_and_labels_that_were_saved_in_one_way_are_read_in_one_way(tmp_path):
    """Frames appended one by one are pages of their own; prompts saw the first of them only."""
    movie, labels = appended(tmp_path / "movie.tif"), appended(tmp_path / "labels.tif")
    assert Movie.open(movie).shape == open_labels(labels).shape == SHAPE
    assert {p.object_id for p in load_prompts(labels, SHAPE)} == {4, 250}


# --- stills and frames that are not there ----------------------------------------------------------------------------


STILLS = {
    "tiff": lambda f: tif(f / "a.tif", STACK[2]),
    "npy": lambda f: numpy_file(f / "a.npy", STACK[2]),
    "palette": lambda f: palette(f / "a") / "2.png",
    "file of a folder": lambda f: frames(f / "a") / "t02.tif",
    "one file in a folder": lambda f: tif(ctc(f / "a", "none", ()) / "t02.tif", STACK[2]).parent,
}


@pytest.mark.parametrize("kind", STILLS)
def test_a_still_is_one_frame(tmp_path, kind):
    path = STILLS[kind](tmp_path)
    assert open_labels(path).shape == (1, *FRAME)
    np.testing.assert_array_equal(open_labels(path)[0], STACK[2])
    assert {(p.object_id, p.frame) for p in load_prompts(path, SHAPE)} == {(4, 0), (250, 0)}


@pytest.mark.parametrize("numbers", [(1, 3), (0, 1, 2, 3), (2,)])
def test_segmentation_truth_has_the_frames_that_its_names_say(tmp_path, numbers):
    stack = open_labels(ctc(tmp_path / "SEG", "man_seg", numbers))
    assert (tuple(stack.frames), stack.shape, stack.linked) == (numbers, (numbers[-1] + 1, *FRAME), False)
    for t in numbers:
        np.testing.assert_array_equal(stack[t], STACK[t])
    for t in {*range(5)} - {*numbers}:
        with pytest.raises(LabelError, match=rf"frame {t} is not in .*SEG, which has frames {numbers[0]}"):
            stack[t]


def test_segmentation_truth_is_no_prompt_on_more_than_one_frame(tmp_path):
    with pytest.raises(PromptError, match="SEG: segmentation truth numbers the objects of every frame anew"):
        load_prompts(ctc(tmp_path / "SEG", "man_seg", (1, 3)), SHAPE)
    prompts = load_prompts(ctc(tmp_path / "SEG2", "man_seg", (2,)), SHAPE)
    assert prompts.frames == (2,)
    assert load_prompts(tmp_path / "SEG", SHAPE, frames=3).frames == (3,)
    with pytest.raises(PromptError, match="segmentation truth, whose ids do not last: name one frame, not 2"):
        load_prompts(tmp_path / "SEG", SHAPE, frames=(1, 3))


def test_parents_of_a_challenges_folder_are_known(tmp_path):
    assert open_labels(ctc(tmp_path / "TRA", "man_track", range(4), "man_track.txt")).parents == {250: 4}


def test_a_file_that_is_missing_is_named_and_no_frame_moves_up(tmp_path):
    folder = frames(tmp_path / "a", "img_{:03d}.tif", first=1)
    (folder / "img_002.tif").unlink()
    with pytest.raises(LabelError, match=r"a lacks the files with number 2 between img_001\.tif and img_004\.tif"):
        open_labels(folder)
    with pytest.raises(PromptError, match="number 2 between"):
        load_prompts(folder, SHAPE)


def test_numbers_that_are_times_cost_nothing(tmp_path):
    folder = frames(tmp_path / "a", "img_2024010112{:04d}.tif")
    (folder / "img_20240101120001.tif").rename(folder / "img_20250101120001.tif")
    with pytest.raises(LabelError, match=r"20240101120001, 20240101120004 to 20250101120000 between"):
        open_labels(folder)


@pytest.mark.parametrize(("stem", "table"), [("man_track", "man_track.txt"), ("mask", "res_track.txt")])
def test_a_track_needs_every_frame(tmp_path, stem, table):
    with pytest.raises(LabelError, match=rf"lacks {stem}002\.tif; a track needs every frame"):
        open_labels(ctc(tmp_path / "hole", stem, (0, 1, 3), table))
    np.testing.assert_array_equal(open_labels(ctc(tmp_path / "late", stem, (1, 2, 3), table))[0], STACK[1])


def test_two_series_in_one_folder_are_told_apart(tmp_path):
    folder = frames(tmp_path / "a", "exp_w1Red_t{}.tif")
    for path in list(folder.iterdir()):
        path.with_name(path.name.replace("w1Red", "w2Phase")).write_bytes(path.read_bytes())
    with pytest.raises(LabelError, match=r"2 kinds of files; .*'exp_w1Red_t\*\.tif', 'exp_w2Phase_t\*\.tif'"):
        open_labels(folder)
    np.testing.assert_array_equal(open_labels(folder / "exp_w1Red_t*.tif")[3], STACK[3])
    two = frames(tmp_path / "b", "w1_t{}.tif")
    for path in list(two.iterdir()):
        path.with_name(path.name.replace("w1", "w2")).write_bytes(path.read_bytes())
    with pytest.raises(LabelError, match="have 2 numbers that differ"):
        open_labels(two)


# --- values ----------------------------------------------------------------------------------------------------------


@given(ids=hnp.arrays(np.int64, (3, 4), elements=st.integers(0, LARGEST_ID)))
def test_whole_numbers_are_ids_in_every_type_that_holds_them(ids):
    for dtype in (np.uint32, np.uint64, np.float64):
        found = as_ids(ids.astype(dtype), "it")
        assert found.dtype.kind == "u"
        np.testing.assert_array_equal(found, ids)


@given(painted=hnp.arrays(bool, (3, 4)))
def test_nan_is_background_and_a_bool_is_object_1(painted):
    np.testing.assert_array_equal(as_ids(np.where(painted, 7.0, np.nan), "it"), painted * 7)
    np.testing.assert_array_equal(as_ids(painted, "it"), painted.astype(int))


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        (np.full((2, 2), 0.5), "it holds fractions; ids are whole numbers, 0 = background"),
        (np.full((2, 2), np.inf), "it holds fractions"),
        (np.full((2, 2), -1, np.int16), "it holds -1; ids are 1 or more, .* set pixels outside of objects to 0"),
        (np.full((2, 2), -3.0), "it holds -3; ids are 1 or more"),
        (np.full((2, 2), 2**32), "it holds the id 4294967296; allowed: up to 4294967295: number the objects anew"),
        (np.full((2, 2), 1e12), "it holds the id 1000000000000; allowed"),
        (np.full((2, 2), 1j), "it holds complex128; allowed: whole numbers"),
    ],
)
def test_what_is_no_id_is_refused(pixels, message):
    with pytest.raises(LabelError, match=message):
        as_ids(pixels, "it")


REFUSED = {
    "colours": (
        lambda f: tif(f / "a.tif", np.zeros((*FRAME, 3), np.uint8), photometric="rgb"),
        r"a\.tif holds colours \(3 values per pixel\), which are no ids; give the label image",
    ),
    "array of colours": (lambda f: numpy_file(f / "a.npy", np.zeros((*FRAME, 4), np.uint8)), "holds colours"),
    "jpeg": (
        lambda f: jpeg(f / "a.jpg"),
        r"'\.jpg' is no kind of prompts file|a\.jpg is JPEG, which changes ids",
    ),
    "planes": (
        lambda f: numpy_file(f / "a.npy", np.zeros((2, 4, *FRAME), np.uint8)),
        r"a\.npy has the shape \(2, 4, 20, 30\), more than \(T, Y, X\)",
    ),
    "another size": (
        lambda f: numpy_file(f / "a.npy", np.zeros((4, 9, 9), np.uint8)),
        r"a\.npy has the shape \(4, 9, 9\) and the movie has \(4, 20, 30\) \(T, Y, X\)",
    ),
    "more frames": (
        lambda f: numpy_file(f / "a.npy", np.zeros((5, *FRAME), np.uint8)),
        r"\(5, 20, 30\) and the movie has \(4, 20, 30\)",
    ),
    "dictionary": (
        lambda f: numpy_file(f / "a_seg.npy", {"masks": STACK[0]}),
        r"a_seg\.npy holds Python objects, .* _seg\.npy files of Cellpose .* save the masks as PNG or TIFF",
    ),
    "several label images": (
        lambda f: write_ome(f / "a.zarr", {"cells": STACK, "nuclei": STACK}, 3),
        r"a\.zarr/labels holds 2 label images \(cells, nuclei\); give the path of one",
    ),
    "no label image": (lambda f: write_ome(f / "a.zarr", {}, 2), r"holds 0 label images \(none\)"),
    "negative": (lambda f: numpy_file(f / "a.npy", STACK - np.int16(1)), r"frame 0 of a\.npy holds -1"),
    "damaged": (lambda f: _damaged(tif(f / "a.tif")), r"a\.tif cannot be opened: the file ends early"),
    "cut off in a folder": (
        lambda f: _damaged(frames(f / "a") / "t02.tif").parent,
        r"frame 2 of .*a cannot be read: .*\(is the file complete\?",
    ),
    "of another size in a folder": (
        lambda f: tif(frames(f / "a") / "t02.tif", STACK[0, :9]).parent,
        r"t02\.tif has shape \(9, 30\) .*, but t00\.tif has \(20, 30\)",
    ),
    "frames in the files of a folder": (
        lambda f: tif(frames(f / "a") / "t00.tif").parent,
        r"t00\.tif holds 4 frames; of one file per frame each holds one",
    ),
    "nothing": (lambda f: ctc(f / "a", "none", ()), "a holds no label image; allowed: a TIFF, PNG"),
}


def jpeg(path: Path) -> Path:
    Image.fromarray(STACK[0]).save(path)
    return path


def _damaged(path: Path) -> Path:
    path.write_bytes(path.read_bytes()[:500])
    return path


@pytest.mark.parametrize("kind", REFUSED)
def test_what_holds_no_labels_of_the_movie_is_refused_in_one_way(tmp_path, capsys, kind):
    """By prompts and by truth, with the same words, in one line."""
    write, message = REFUSED[kind]
    path = write(tmp_path)
    with pytest.raises(PromptError, match=message) as refused:
        load_prompts(path, SHAPE)
    assert "\n" not in str(refused.value)
    movie = tif(tmp_path / "truth.tif", metadata={"axes": "TYX"})
    assert cli.main(["evaluate", str(movie), str(path)]) == 2
    said = capsys.readouterr().err
    message = message.replace("the movie has", r"truth\.tif has")
    with pytest.raises(LabelError, match=message):
        raise LabelError(said.removeprefix("mosam: error: "))


def test_a_half_result_says_so_when_it_prompts(tmp_path, caplog, monkeypatch):
    path = result(tmp_path / "a.zarr")
    group = zarr.open_group(path, mode="r+")
    group.attrs.update({"napari_mosam": "0", "complete": False, "frames": [0, 4]})
    table = group.create_group("table")
    table.create_array("object_ids", data=np.array([4, 250], np.uint32))
    table.create_array("state", data=np.ones((4, 2), np.float32))
    with caplog.at_level(logging.WARNING, "napari_mosam"):
        load_prompts(path, SHAPE)
    assert "a.zarr is half a result: stopped before" in caplog.text
    assert open_tracks(path).half


def test_a_frame_is_read_alone_and_only_when_it_is_asked_for():
    class Counting(SimpleNamespace):
        def __getitem__(self, index):
            self.reads.append(index[0])
            return STACK[index]

    counting = Counting(shape=SHAPE, dtype=STACK.dtype, reads=[])
    stack = open_labels(counting)
    assert counting.reads == []
    stack[2]
    assert counting.reads == [2]


def test_labels_get_other_names():
    stack = open_labels(STACK).renamed({250: 70000})
    np.testing.assert_array_equal(stack[3], np.where(STACK[3] == 250, 70000, 0))
    assert stack.dtype == np.uint32
