"""A result that version 0.1.0 wrote opens for ever.

It holds four frames of a simulated disk: object 1 with a painted mask on frame 0 and a box on frame 3, object 7 with a
mask painted on nothing; object 1 is locked on frame 0.
"""

import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest

from napari_mosam import BoxPrompt, MaskPrompt, Result
from napari_mosam.cli.main import main
from napari_mosam.core.export.ctc import export_ctc

ARCHIVE = Path(__file__).parents[2] / "data" / "result_0_1_0.zarr.zip"


@pytest.fixture
def result(tmp_path) -> Result:
    shutil.unpack_archive(ARCHIVE, tmp_path)
    return Result.open(tmp_path / "result_0_1_0.zarr")


def test_labels_and_tables_of_a_stored_result_are_read(result):
    labels = np.ascontiguousarray(result.labels[:])
    assert (labels.shape, labels.dtype) == ((4, 96, 96), np.uint16)
    assert hashlib.sha256(labels.tobytes()).hexdigest()[:16] == "295e42c8daea9cd9"
    assert result.object_ids == (1, 7) and result.complete
    assert (result.state == "present").all()
    np.testing.assert_allclose(result.predicted_iou[:, 0], [1, 0.7890625, 0.8125, 0.6484375])
    assert result.attrs["limits"] == [29.0, 1587.0]


def test_prompts_locks_and_the_timeline_of_a_stored_result_are_read(result):
    assert [type(p) for p in result.prompts if p.object_id == 1] == [MaskPrompt, BoxPrompt]
    assert result.locked(0) == (1,) and result.locked(1) == ()
    timeline = result.timeline(1)
    assert timeline.t.tolist() == [0, 1, 2, 3]
    assert timeline.decoded_with[0] == "painted" and timeline.decoded_with[3] == "prompt"
    assert timeline.prompted.tolist() == [True, False, False, True]


def test_a_stored_result_is_a_table_too(result):
    table = result.to_dataframe()
    assert table[["frame", "object"]].to_numpy().tolist() == [[t, i] for t in range(4) for i in (1, 7)]
    np.testing.assert_allclose(table.predicted_iou[table.object == 1], [1, 0.7890625, 0.8125, 0.6484375])
    assert table.locked.tolist()[0] == 1 and table.locked[1:].isna().all()
    assert table[["y", "x", "area_um2", "parent"]].isna().all(axis=None) and (table.state == "present").all()


def test_middles_of_a_stored_result_are_found_in_its_labels(result):
    frame = np.asarray(result.labels[2])
    assert result.centers(2) == {i: pytest.approx(np.argwhere(frame == i).mean(0)) for i in (1, 7)}


def test_commands_read_a_stored_result(result, tmp_path, capsys):
    assert main(["info", str(result.path)]) == 0
    assert main(["explain", str(result.path), "--object", "1"]) == 0
    assert "complete" in capsys.readouterr().out
    folder = export_ctc(result.labels, tmp_path / "ctc")
    assert len(list(folder.glob("mask*.tif"))) == 4
