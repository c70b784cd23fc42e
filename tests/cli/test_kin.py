"""Divisions and links on the command line: proposed, made, undone."""

import json
import shutil

import numpy as np
import pytest
import tifffile
from tests.core.session.test_dividing import BORN, IMAGES, LABELS, MARKS, QUICK, N
from tests.support.fake_model import FakeSegmenter

from napari_mosam import Result, track
from napari_mosam.cli import main as cli
from napari_mosam.core.session import work
from napari_mosam.core.session.session import Session


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A result of a movie on the disk, followed by a model without a network."""
    folder = tmp_path_factory.mktemp("kin")
    tifffile.imwrite(folder / "movie.tif", IMAGES, photometric="minisblack", metadata={"axes": "TYX"})
    track(folder / "movie.tif", MARKS, out=folder / "cells.zarr", model=FakeSegmenter(), config=QUICK)
    return folder


@pytest.fixture
def result(made, tmp_path, monkeypatch):
    shutil.copytree(made, tmp_path / "here")
    monkeypatch.setattr(work, "load", lambda settings: FakeSegmenter())
    return tmp_path / "here" / "cells.zarr"


def run(capsys, *words):
    code = cli.main([*map(str, words)])
    out, err = capsys.readouterr()
    return code, (out + err).strip()


def test_divisions_are_listed_and_nothing_changes(result, capsys):
    code, said = run(capsys, "divisions", result, "--json", result.parent / "found.json")
    assert code == 0, said
    assert said.startswith(f"object 1 divides on frame {BORN} (0.")
    (found,) = json.loads((result.parent / "found.json").read_text())
    assert (found["object"], found["frame"], found["known"]) == (1, BORN, [None, None])
    assert Result.open(result).parents == {}


def test_a_list_of_divisions_replaces_nothing_unasked(result, capsys, monkeypatch):
    folder = result.parent
    monkeypatch.setattr(Session, "propose_divisions", lambda *_: [])
    (folder / "mine.json").write_text("mine")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    for name, words in (
        ("movie.tif", "movie.tif, which is read; inputs are never outputs"),
        ("cells.zarr/list.json", "inputs are never outputs"),
        ("none/list.json", "give a file in a folder that exists"),
    ):
        code, said = run(capsys, "divisions", result, "--json", folder / name, "--overwrite")
        assert code == 2 and words in said, said
    code, said = run(capsys, "divisions", result, "--json", folder / "mine.json")
    assert code == 2 and "already exists; choose another place or add --overwrite" in said
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    assert run(capsys, "divisions", result, "--json", folder / "mine.json", "--overwrite")[0] == 0
    assert (folder / "mine.json").read_text() == "[]"


@pytest.mark.parametrize("where", [(), ("--at", "25,32", "--at", "39,32")])
def test_an_object_is_divided_and_that_undone(result, capsys, where):
    before = np.asarray(Result.open(result).labels[:])
    code, said = run(capsys, "divide", result, "--object", 1, "--frame", BORN, *where)
    assert code == 0, said
    assert f"object 1 divides on frame {BORN} into objects 3 and 4" in said
    after = Result.open(result)
    assert after.parents == {3: 1, 4: 1}
    assert {*np.unique(after.labels[N - 1]).tolist()} == {0, 2, 3, 4}
    assert (np.asarray(after.labels[N - 1]) > 0).sum() >= 0.9 * (LABELS[N - 1] > 0).sum()
    for _ in range(2):  # the daughters that were followed, and the division
        assert run(capsys, "undo", result)[0] == 0
    np.testing.assert_array_equal(Result.open(result).labels[:], before)


def test_links_are_made_and_broken(result, capsys):
    run(capsys, "divide", result, "--object", 1, "--frame", BORN)
    assert run(capsys, "link", result, "--object", 3, "--none") == (0, "object 3 has no mother")
    assert run(capsys, "link", result, "--object", 3, "--mother", 2) == (0, "object 3 has the mother 2")
    assert Result.open(result).parents == {3: 2, 4: 1}


def test_what_cannot_be_is_refused(result, capsys):
    for words, said in (
        (("divide", result, "--object", 1, "--frame", 2), "no two cells are seen"),
        (("divide", result, "--object", 1, "--frame", BORN, "--at", "here"), "give a place as Y,X"),
        (("divide", result, "--object", 2, "--frame", BORN, "--at", "25,32", "--at", "999,32"), "object 2 on frame"),
        (("divide", result, "--object", 9, "--frame", BORN), "there is no object 9"),
        (("link", result, "--object", 1, "--mother", 1), "its own mother"),
    ):
        code, told = run(capsys, *words)
        assert code == 2 and said in told, told
    assert Result.open(result).parents == {}
