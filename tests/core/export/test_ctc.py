"""The CTC export, read back by a strict reader of the format."""

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
import tifffile
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from napari_mosam import Result
from napari_mosam.core.export.ctc import export_ctc, export_result
from napari_mosam.core.images.label_images.ctc_folder import IDS, MANIFEST
from napari_mosam.core.images.label_images.label_files import open_labels
from napari_mosam.core.results.progress import ResultProgress
from napari_mosam.core.simulation import disk_divides, disk_vanishes

Rows = dict[int, tuple[int, int, int]]


def movie_of(*ids_by_frame: Sequence[int]) -> NDArray[np.uint32]:
    """A movie of one pixel per object: object i at column i % 40 of row i // 40."""
    labels = np.zeros((len(ids_by_frame), 8, 40), np.uint32)
    for t, ids in enumerate(ids_by_frame):
        for i in ids:
            labels[t].flat[i % 320] = i
    return labels


def read_ctc(folder: Path) -> tuple[NDArray[np.uint16], Rows]:
    """Read a result folder and refuse whatever the format does not allow."""
    files = sorted(folder.glob("mask*.tif"))
    digits = max(3, len(str(len(files) - 1)))
    assert [f.name for f in files] == [f"mask{t:0{digits}d}.tif" for t in range(len(files))]
    frames = [tifffile.imread(f) for f in files]
    assert all(f.dtype == np.uint16 and f.ndim == 2 for f in frames)
    masks = np.stack(frames)
    text = (folder / "res_track.txt").read_bytes().decode("ascii")
    rows = [tuple(int(v) for v in line.split(" ")) for line in text.splitlines()]
    table: Rows = {row[0]: (row[1], row[2], row[3]) for row in rows}
    assert len(table) == len(rows) and set(table) == set(np.unique(masks).tolist()) - {0}
    for label, (first, last, parent) in table.items():
        assert 1 <= label <= 65535 and 0 <= first <= last < len(masks)
        there = [t for t in range(len(masks)) if (masks[t] == label).any()]
        assert there == list(range(first, last + 1))
        assert parent == 0 or table[parent][1] < first
    return masks, table


def test_tracks_without_gaps_are_written_as_they_are(tmp_path: Path) -> None:
    labels = movie_of([1, 7], [1, 7], [7])
    folder = export_ctc(labels, tmp_path / "new" / "01_RES")
    masks, table = read_ctc(folder)
    np.testing.assert_array_equal(masks, labels)
    assert table == {1: (0, 1, 0), 7: (0, 2, 0)}


def test_a_gap_starts_a_new_track_with_a_parent_link(tmp_path: Path) -> None:
    labels = movie_of([3], [3], [], [3], [], [], [3])
    masks, table = read_ctc(export_ctc(labels, tmp_path))
    assert table == {3: (0, 1, 0), 4: (3, 3, 3), 5: (6, 6, 4)}
    np.testing.assert_array_equal(masks > 0, labels > 0)


def test_a_division_is_linked_to_the_last_stretch_of_the_mother(tmp_path: Path) -> None:
    labels = movie_of([1], [], [1], [5, 6], [5], [6])
    _, table = read_ctc(export_ctc(labels, tmp_path, parents={5: 1, 6: 1}))
    assert table == {1: (0, 0, 0), 7: (2, 2, 1), 5: (3, 4, 7), 6: (3, 3, 7), 8: (5, 5, 6)}


@pytest.mark.parametrize("mother", [1, 99, 2])
def test_a_parent_that_the_format_cannot_hold_is_left_out_and_logged(
    mother: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    labels = movie_of([1], [1, 2], [1, 2])
    with caplog.at_level(logging.WARNING, "napari_mosam"):
        _, table = read_ctc(export_ctc(labels, tmp_path, parents={2: mother, 50: 1}))
    assert table[2][2] == 0
    assert "object 2 " in caplog.text and f"mother {mother}" in caplog.text


def test_ids_above_uint16_get_free_labels(tmp_path: Path) -> None:
    labels = movie_of([2, 70001], [2, 70001], [70001, 70002])
    masks, table = read_ctc(export_ctc(labels, tmp_path, parents={70002: 2}))
    assert table == {2: (0, 1, 0), 3: (0, 2, 0), 4: (2, 2, 2)}
    np.testing.assert_array_equal(masks[1], np.where(labels[1] == 70001, 3, labels[1]))


def test_ids_that_had_to_change_are_listed_beside_the_export(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    labels = movie_of([12, 70_000, 2**32 - 1], [12], [12, 70_000])
    masks, _ = read_ctc(export_ctc(labels, tmp_path))
    head, *rows = (tmp_path / IDS).read_text().splitlines()
    assert head == "object,track,first,last"
    back = np.zeros_like(labels)
    for object_id, track, first, last in (map(int, row.split(",")) for row in rows):
        back[first : last + 1][masks[first : last + 1] == track] = object_id
    np.testing.assert_array_equal(back, labels)
    assert "2 ids are above 65535 and have others there, such as 70000 -> 13" in caplog.text
    export_ctc(movie_of([12], [12]), tmp_path, overwrite=True)
    assert not (tmp_path / IDS).exists()


def test_free_labels_below_are_used_when_none_is_left_above(tmp_path: Path) -> None:
    _, table = read_ctc(export_ctc(movie_of([1, 65535], [], [1, 65535]), tmp_path))
    assert table == {1: (0, 0, 0), 65535: (0, 0, 0), 2: (2, 2, 1), 3: (2, 2, 65535)}


def test_more_tracks_than_labels_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    ids = np.arange(1, 300 * 300 + 1, dtype=np.uint32).reshape(1, 300, 300)
    with pytest.raises(ValueError, match="90000 tracks do not fit"):
        export_ctc(ids, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_movie_without_objects_is_a_valid_export(tmp_path: Path) -> None:
    masks, table = read_ctc(export_ctc(np.zeros((2, 4, 5), np.uint16), tmp_path))
    assert masks.shape == (2, 4, 5) and table == {}


@pytest.mark.parametrize(
    ("followed", "n_frames", "words"),
    [
        ([1, 1, 0, 0], 2, "half of it (stopped at frame 2 of 4); frames 0 to 1 are written"),
        (
            [0, 0, 1, 0],
            3,
            "half of it (stopped with 1 of 4 frames followed); frames 0 to 2 are written; on 2 of them not all objects "
            "were followed, such as frame 0",
        ),
    ],
)
def test_half_a_result_ends_where_it_does_and_what_is_not_there_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, followed: list[int], n_frames: int, words: str
) -> None:
    labels = movie_of(*([7] * there for there in followed))
    half = half_of(labels, followed)
    masks, _ = read_ctc(export_result(half, tmp_path / "ctc"))
    np.testing.assert_array_equal(masks, labels[:n_frames])
    assert caplog.messages == [f"CTC export: {words.replace('half of it', 'a.zarr is half a result')}"]
    with pytest.raises(ValueError, match="stopped before the first of its 4 frames.* nothing to export"):
        export_result(half_of(labels, [0, 0, 0, 0]), tmp_path / "none")
    assert not (tmp_path / "none").exists()


def half_of(labels: NDArray[np.uint32], followed: list[int]) -> Result:
    """A result in which an object was followed on some frames."""
    done = np.array(followed, bool)[:, None]
    progress = ResultProgress(False, np.ones_like(done), done)
    return cast("Result", SimpleNamespace(path="a.zarr", labels=labels, progress=progress, parents={}))


def test_long_movies_get_four_digits(tmp_path: Path) -> None:
    export_ctc(np.ones((1001, 2, 2), np.uint8), tmp_path)
    assert (tmp_path / "mask0000.tif").exists() and (tmp_path / "mask1000.tif").exists()
    read_ctc(tmp_path)


def test_frames_are_read_one_at_a_time(tmp_path: Path) -> None:
    class OneFrame:
        shape, dtype = (3, 4, 4), np.dtype(np.uint16)

        def __getitem__(self, t: object) -> NDArray[np.uint16]:
            assert isinstance(t, int)
            return np.full((4, 4), t, np.uint16)

    _, table = read_ctc(export_ctc(OneFrame(), tmp_path / "a"))
    assert table == {1: (1, 1, 0), 2: (2, 2, 0)}
    stored = zarr.array(movie_of([1], [1]), chunks=(1, 8, 40))
    assert read_ctc(export_ctc(stored, tmp_path / "b"))[1] == {1: (0, 1, 0)}


def test_a_full_folder_is_refused_and_only_our_files_are_replaced(tmp_path: Path) -> None:
    export_ctc(movie_of(*[[1]] * 5), tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="not empty"):
        export_ctc(movie_of([2]), tmp_path)
    assert len(list(tmp_path.glob("mask*.tif"))) == 5
    export_ctc(movie_of([2]), tmp_path, overwrite=True)
    assert read_ctc(tmp_path)[1] == {2: (0, 0, 0)} and (tmp_path / "notes.txt").read_text() == "mine"


def test_masks_that_no_export_wrote_are_never_removed(tmp_path: Path) -> None:
    (tmp_path / "mask000.tif").write_text("a movie")
    with pytest.raises(FileExistsError, match=r"holds mask000\.tif, .*earlier version, remove that first"):
        export_ctc(movie_of([1]), tmp_path, overwrite=True)
    assert (tmp_path / "mask000.tif").read_text() == "a movie"


def test_masks_that_came_later_are_never_removed(tmp_path: Path) -> None:
    export_ctc(movie_of([1]), tmp_path)
    (tmp_path / "mask_of_mine.tif").write_text("mine")
    with pytest.raises(FileExistsError, match=r"holds mask_of_mine\.tif"):
        export_ctc(movie_of([2]), tmp_path, overwrite=True)
    assert read_ctc_table(tmp_path) == "1 0 0 0\n"


@pytest.mark.parametrize(
    "name", ["../precious.tif", "../mask9.tif", "sub/mask9.tif", "notes.txt", "{folder}/../mask9.tif", None, 7]
)
def test_a_manifest_leads_nowhere_else(tmp_path: Path, name: object) -> None:
    folder = export_ctc(movie_of([1]), tmp_path / "ctc")
    (folder / "sub").mkdir()
    others = [tmp_path / "precious.tif", tmp_path / "mask9.tif", folder / "sub" / "mask9.tif", folder / "notes.txt"]
    for path in others:
        path.write_text("years of work")
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["files"].append(name.format(folder=folder) if isinstance(name, str) else name)
    (folder / MANIFEST).write_text(json.dumps(manifest))
    export_ctc(movie_of([2]), folder, overwrite=True)
    assert [path.read_text() for path in others] == ["years of work"] * 4


@pytest.mark.parametrize("text", ["[" * 10_000 + "]" * 10_000, "{", "[]", '{"files": 3}', '{"files": "mask000.tif"}'])
def test_a_manifest_that_cannot_be_read_names_nothing(tmp_path: Path, text: str) -> None:
    export_ctc(movie_of([1]), tmp_path)
    (tmp_path / MANIFEST).write_text(text)
    with pytest.raises(FileExistsError, match=r"holds mask000\.tif"):
        export_ctc(movie_of([2]), tmp_path, overwrite=True)


def test_a_file_that_became_a_link_is_not_replaced(tmp_path: Path) -> None:
    folder = export_ctc(movie_of([1]), tmp_path / "ctc")
    (folder / "mask000.tif").unlink()
    (folder / "mask000.tif").symlink_to(tmp_path / "movie.tif")
    with pytest.raises(FileExistsError, match=r"holds mask000\.tif"):
        export_ctc(movie_of([2]), folder, overwrite=True)


def test_an_export_that_fails_in_the_middle_leaves_the_earlier_one(tmp_path: Path) -> None:
    class Breaks:
        shape, dtype, reads = (3, 8, 40), np.dtype(np.uint16), 0

        def __getitem__(self, t: int) -> NDArray[np.uint16]:
            self.reads += 1
            if self.reads == 5:
                raise KeyboardInterrupt
            return movie_of([2])[0]

    export_ctc(movie_of([1]), tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(KeyboardInterrupt):
        export_ctc(Breaks(), tmp_path, overwrite=True)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_an_exchange_that_was_cut_off_is_no_result_until_it_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export_ctc(movie_of([1], [1]), tmp_path)
    replace, left = Path.replace, [1]

    def dying(self: Path, target: Path) -> Path:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return replace(self, target)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(Path, "replace", dying)
        export_ctc(movie_of([2], [2], [2]), tmp_path, overwrite=True)
    with pytest.raises(ValueError, match="holds an export that was cut off"):
        open_labels(tmp_path)
    export_ctc(movie_of([2], [2], [2]), tmp_path, overwrite=True)
    assert open_labels(tmp_path).shape == (3, 8, 40)


def test_a_shorter_export_leaves_no_frame_of_a_longer_one(tmp_path: Path) -> None:
    export_ctc(movie_of(*[[1]] * 5), tmp_path)
    export_ctc(movie_of([1], [1]), tmp_path, overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mask000.tif", "mask001.tif", MANIFEST, "res_track.txt"]


def read_ctc_table(folder: Path) -> str:
    return (folder / "res_track.txt").read_text()


def test_a_bad_movie_does_not_cost_an_earlier_export(tmp_path: Path) -> None:
    export_ctc(movie_of([1]), tmp_path)
    with pytest.raises(ValueError, match="the id -4"):
        export_ctc(np.full((1, 4, 4), -4), tmp_path, overwrite=True)
    assert read_ctc(tmp_path)[1] == {1: (0, 0, 0)}


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(FileExistsError, match="is a file"):
        export_ctc(movie_of([1]), tmp_path / "out", overwrite=True)


@pytest.mark.parametrize(
    ("labels", "match"),
    [
        (np.zeros((4, 4), np.uint16), r"shape \(4, 4\)"),
        (np.zeros((0, 4, 4), np.uint16), "at least one frame"),
        (np.zeros((1, 4, 4), np.float32), "float32"),
        (np.zeros((1, 4, 4), bool), "bool"),
    ],
)
def test_what_is_not_a_label_movie_is_refused(labels: NDArray[np.generic], match: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=match):
        export_ctc(labels, tmp_path)


def test_simulated_cells_come_back(tmp_path: Path) -> None:
    divided = disk_divides()
    masks, table = read_ctc(export_ctc(divided.labels, tmp_path / "a", parents=divided.parents))
    np.testing.assert_array_equal(masks, divided.labels)
    assert table == {1: (0, 4, 0), 2: (5, 9, 1), 3: (5, 9, 1)}
    _, table = read_ctc(export_ctc(disk_vanishes().labels, tmp_path / "b"))
    assert table == {1: (0, 4, 0), 2: (8, 11, 1)}


presence = st.lists(st.sets(st.sampled_from([1, 2, 5, 300, 70000])), min_size=1, max_size=8)


@settings(max_examples=25, deadline=None)
@given(frames=presence, parents=st.dictionaries(st.sampled_from([1, 2, 5]), st.sampled_from([1, 2, 300]), max_size=3))
def test_any_history_gives_a_valid_export_of_the_same_pixels(
    frames: list[set[int]], parents: dict[int, int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    labels = movie_of(*[sorted(f) for f in frames])
    masks, table = read_ctc(export_ctc(labels, tmp_path_factory.mktemp("ctc"), parents=parents))
    np.testing.assert_array_equal(masks > 0, labels > 0)
    for label in table:
        assert len(np.unique(labels[masks == label])) == 1
