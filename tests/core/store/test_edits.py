"""Corrections by hand: killed at any moment, and what Python says of what cannot be."""

import shutil
import sys
from unittest.mock import patch

import numpy as np
import pytest
from tests.support.crashes import Killed, content_but_journal, dying_at
from tests.support.fake_model import FakeSegmenter, disks

from napari_mosam.core.api import track
from napari_mosam.core.api_results import replay, rerun
from napari_mosam.core.config.checks import Refused
from napari_mosam.core.config.engine import EngineConfig, MotionConfig
from napari_mosam.core.files import disk
from napari_mosam.core.prompts.collection import MaskPrompt
from napari_mosam.core.store.result import Result

N = 3
IMAGES, LABELS = disks([[(40, 40 + t), (40, 52 + t)] for t in range(N)], radius=7)
MASK = np.roll(LABELS[1] == 1, 5, axis=0)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    out = tmp_path_factory.mktemp("made") / "out.zarr"
    prompts = [MaskPrompt.from_frame(i, 0, LABELS[0] == i) for i in (1, 2)]
    return track(IMAGES, prompts, out=out, model=FakeSegmenter(), config=EngineConfig(motion=MotionConfig.off()))


@pytest.fixture
def result(made, tmp_path):
    shutil.copytree(made.path, tmp_path / "out.zarr")
    return Result.open(tmp_path / "out.zarr")


@pytest.mark.parametrize("every", [4, pytest.param(1, marks=pytest.mark.slow)])
def test_a_correction_that_is_killed_is_there_or_not(result, made, every):
    with patch.object(disk, "sync"):
        before = content_but_journal(result.path)
        with dying_at(None) as whole:
            result.correct(1, 1, MASK)
        after, done = content_but_journal(result.path), set()
        for n in sorted({*range(0, len(whole.operations), every), len(whole.operations) - 1}):
            shutil.rmtree(result.path)
            shutil.copytree(made.path, result.path)
            with pytest.raises(Killed), dying_at(n, torn=n % 2 == 0):
                Result.open(result.path).correct(1, 1, MASK)
            again = Result.open(result.path)
            if any(step.state == "unfinished" for step in again.history):
                again.undo()
                assert content_but_journal(result.path) == before
            done.add(content_but_journal(result.path) == after)
            assert content_but_journal(result.path) in (before, after)
        assert done == {True, False}


def test_a_disk_that_is_full_leaves_the_result_as_it_was(result):
    before, write = content_but_journal(result.path), disk.write

    def full(path, content):
        if "/confidence/" in path.as_posix():
            raise OSError(28, "No space left on device")
        write(path, content)

    with patch.object(disk, "write", full), pytest.raises(OSError, match="No space"):
        result.correct(1, 1, MASK)
    assert content_but_journal(result.path) == before
    assert [step.state for step in result.history] == ["done"]
    assert np.array_equal(result.correct(1, 1, MASK).labels[1] == 1, MASK)


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ((9, 1, MASK), ValueError, "there is no object 9 in"),
        ((1, 3, MASK), IndexError, "there is no frame 3 in .*; it has frames 0 to 2"),
        ((1, 1, MASK[:5]), ValueError, r"the mask has the shape \(5, 96\); give one of the frame's"),
        ((1, 1, MASK * 0.5), ValueError, "the mask holds fractions; ids are whole numbers, 0 = background"),
        ((1, 1, np.where(MASK, np.nan, 0)), ValueError, "the mask is empty"),
        ((1, 1, MASK * 0), ValueError, "the mask is empty; paint at least one pixel, or say that the object is absent"),
    ],
)
def test_what_cannot_be_is_refused(result, arguments, error, match):
    before = content_but_journal(result.path)
    with pytest.raises(error, match=match):
        result.correct(*arguments)
    assert content_but_journal(result.path) == before


def test_nan_is_no_pixel_of_a_mask(result):
    assert np.array_equal(result.correct(1, 1, np.where(MASK, 1, np.nan)).labels[1] == 1, MASK)


def test_what_is_refused_inside_is_no_damage(result, monkeypatch):
    result.lock(2, 1)
    before = content_but_journal(result.path)
    for masks, said in (
        (
            {1: np.ones(MASK.shape)},
            r"the mask of object 1 on frame 1 covers \d+ px of object 2, locked there; unlock it",
        ),
        ({2**32: MASK}, "4294967296 is no id of an object; allowed: 1 to 4294967295"),
    ):
        with pytest.raises(Refused, match=f"^{said}"):
            result.paint(1, masks)
        assert content_but_journal(result.path) == before
    with pytest.raises(ValueError, match="^frames 1:9 are not possible; the movie has frames 0:3"):
        rerun(result, IMAGES, result.prompts, model=FakeSegmenter(), frames=(1, 9))
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match="tables need pandas"):
        result.to_dataframe()


def test_an_absent_object_has_no_pixel_and_others_get_what_they_claim(result):
    before = result.labels[1]
    (holder, other), counts = (2, 1), [int((before == i).sum()) for i in (1, 2)]
    assert counts[1] > 0
    after = result.correct(holder, 1, None)
    labels, row = after.labels[1], after.object_ids.index(holder)
    assert not (labels == holder).any()
    assert (labels == other).sum() >= counts[0]
    assert after.area[1, row] == 0 and after.state[1, row] == "lost"
    assert np.isnan(after.to_dataframe().query(f"frame == 1 and object == {holder}")["y"]).all()


def test_what_a_correction_covers_is_lost_until_it_is_uncovered(result):
    before = np.asarray(result.labels[1])
    after = result.correct(1, 1, before > 0)
    assert after.area[1, 1] == 0 and after.state[1].tolist() == ["present", "lost"]
    assert after.record(2, 1).state == "lost" and after.to_dataframe().query("frame == 1").expected_iou.min() == 0
    again = after.correct(1, 1, MASK & (before == 0))
    assert np.array_equal(again.labels[1] == 2, before == 2) and again.state[1].tolist() == ["present", "present"]


def test_an_array_is_replayed_when_it_is_given(result, tmp_path):
    result.correct(1, 1, MASK)
    with pytest.raises(ValueError, match="does not say where its movie lies; give it"):
        replay(result, tmp_path / "new.zarr", model=FakeSegmenter())
    with pytest.raises(ValueError, match="choose another name for the new one"):
        replay(result, result.path, movie=IMAGES, model=FakeSegmenter(), overwrite=True)
    with pytest.raises(ValueError, match="was made by the model 'fake', not 'other'"):
        replay(result, tmp_path / "new.zarr", movie=IMAGES, model=FakeSegmenter(name="other"))
    assert not (tmp_path / "new.zarr").exists()
    new = replay(result, tmp_path / "new.zarr", movie=IMAGES, model=FakeSegmenter())
    assert np.array_equal(new.labels[:], Result.open(result.path).labels[:])
