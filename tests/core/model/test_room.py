"""A device with too little memory: calls of the network are halved until they fit, and the result says so."""

import logging

import numpy as np
import pytest
import tifffile
import torch

from napari_mosam.cli.main import main
from napari_mosam.core.api import track
from napari_mosam.core.api_results import rerun
from napari_mosam.core.model import sam2
from napari_mosam.core.model.compute import narrowed
from napari_mosam.core.model.device import DeviceMemoryError, Room
from napari_mosam.core.model.registry import load_model
from napari_mosam.core.prompts.collection import Prompts
from napari_mosam.core.runs.provenance import NARROWED
from napari_mosam.core.simulation import touching_cells

CPU = torch.device("cpu")


def scarce(most):
    """Sums numbers, as many at once as there is memory for."""

    def call(rows):
        if len(rows) > most:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return list(rows)

    return call


@pytest.mark.parametrize(("most", "lowered"), [(1, 1), (2, 2), (3, 2), (5, 4), (7, 4), (8, None)])
def test_calls_are_halved_until_they_fit(most, lowered):
    room = Room()
    parts = room.fitting(scarce(most), range(8), CPU)
    assert [row for part in parts for row in part] == list(range(8))
    assert max(map(len, parts)) <= most
    assert room.most == lowered


def test_what_fits_is_remembered_and_said(caplog):
    room = Room()
    with caplog.at_level(logging.WARNING):
        room.fitting(scarce(3), range(9), CPU)
        room.fitting(scarce(3), range(room.most), CPU)
    assert [r.getMessage().split(":")[-1].strip() for r in caplog.records] == [
        "at most 5 from now on",
        "at most 3 from now on",
    ]


def test_a_window_that_does_not_fit_is_refused_with_what_helps():
    with pytest.raises(
        DeviceMemoryError, match=r"one window .*'cpu' \(CUDA out of memory.*smaller model .*device='cpu'"
    ):
        Room().fitting(scarce(0), range(4), CPU)


def test_other_errors_are_not_taken_for_want_of_memory():
    def broken(rows):
        raise RuntimeError("shapes do not fit")

    with pytest.raises(RuntimeError, match="shapes do not fit"):
        Room().fitting(broken, range(4), CPU)


@pytest.fixture
def nano(monkeypatch):
    """Nano with a device that has memory for two windows at most."""
    monkeypatch.setattr(sam2, "side_by_side", lambda device, image_size: False)
    model = load_model("nano", device="cpu", dtype="float32", image_size=128)
    whole = type(model.parts).encode_image

    def encode_image(parts, images):
        scarce(2)(range(len(images)))
        return whole(parts, images)

    monkeypatch.setattr(type(model.parts), "encode_image", encode_image)
    model.whole = whole
    return model


def test_a_run_goes_on_with_smaller_calls_and_its_result_says_so(nano, tmp_path, caplog):
    cells = touching_cells(0, n_frames=3)
    prompts = Prompts.from_labels(cells.labels[0])
    assert len(prompts.object_ids) > 2
    with caplog.at_level(logging.WARNING):
        result = track(np.asarray(cells.images), prompts, out=tmp_path / "o.zarr", model=nano, direction="forward")
    assert result.complete and narrowed(nano) == 2
    assert result.attrs["provenance"][NARROWED] == 2
    assert result.attrs["compute"]["chunk"] == nano.chunk
    assert sum("do not fit" in record.getMessage() for record in caplog.records) >= 1


def test_what_is_followed_again_says_so_too(nano, tmp_path, monkeypatch):
    cells = touching_cells(0, n_frames=3)
    movie, prompts = np.asarray(cells.images), Prompts.from_labels(cells.labels[0])
    with monkeypatch.context() as enough:
        enough.setattr(type(nano.parts), "encode_image", nano.whole)
        result = track(movie, prompts, out=tmp_path / "o.zarr", model=nano, direction="forward")
    assert NARROWED not in result.attrs["provenance"]
    again = rerun(result, movie, prompts, anew=True, model=nano)
    assert narrowed(nano) == 2 and again.attrs["provenance"][NARROWED] == 2


def test_the_command_line_says_what_helps_where_nothing_fits(nano, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(type(nano.parts), "encode_image", lambda parts, images: scarce(0)(range(len(images))))
    cells = touching_cells(0, n_frames=3)
    tifffile.imwrite(tmp_path / "m.tif", cells.images, photometric="minisblack", metadata={"axes": "TYX"})
    tifffile.imwrite(tmp_path / "first.tif", cells.labels[0])
    movie, prompts, out = (str(tmp_path / name) for name in ("m.tif", "first.tif", "o.zarr"))
    assert main(["track", movie, "--prompts", prompts, "-o", out]) == 2
    said = capsys.readouterr().err
    assert "one window of the network does not fit" in said and "Traceback" not in said and "unexpected" not in said
