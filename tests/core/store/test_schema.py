"""The folder of a result, seen by others: as an OME-Zarr image, as a table, and by older and newer versions."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
import zarr
from tests.support.crashes import content_but_journal
from tests.support.damage import seal
from tests.support.fake_model import FakeSegmenter, disks
from tests.support.zoo_formats import imaris, lif

from napari_mosam import Movie, Result
from napari_mosam.core.api import track
from napari_mosam.core.api_results import rerun
from napari_mosam.core.config.engine import EngineConfig, MotionConfig
from napari_mosam.core.files.manifest import MANIFEST
from napari_mosam.core.images.label_images.label_files import open_labels
from napari_mosam.core.prompts.collection import MaskPrompt
from napari_mosam.core.results.columns import TABLE

N = 4
IMAGES, LABELS = disks([[(30, 30 + t), (66, 70)] for t in range(N)], radius=7)
QUICK = EngineConfig(motion=MotionConfig.off())
TWO = [MaskPrompt.from_frame(1, 0, LABELS[0] == 1), MaskPrompt.from_frame(2, 2, LABELS[2] == 2)]
ARCHIVE = Path(__file__).parents[2] / "data" / "result_0_1_0.zarr.zip"


def follow(out, images=IMAGES, **options):
    return track(images, TWO, out=out, **{"model": FakeSegmenter(), "config": QUICK, **options})


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out.zarr"


def scale_of(out):
    ome = zarr.open_group(out, mode="r").attrs["ome"]
    (image,) = ome["multiscales"]
    return image["datasets"][0]["coordinateTransformations"][0]["scale"], [a.get("unit") for a in image["axes"]]


# ---- an OME-Zarr label image


def test_a_result_is_an_ome_zarr_label_image(out):
    follow(out, pixel_size=0.5, interval=90)
    group = zarr.open_group(out, mode="r")
    ome = group.attrs["ome"]
    assert ome["version"] == "0.5" and ome["image-label"] == {}
    (image,) = ome["multiscales"]
    assert [(a["name"], a["type"]) for a in image["axes"]] == [("t", "time"), ("y", "space"), ("x", "space")]
    assert image["datasets"][0]["path"] == "0"
    assert scale_of(out) == ([90, 0.5, 0.5], ["second", "micrometer", "micrometer"])
    assert group["0"].metadata.dimension_names == ("t", "y", "x")
    assert "labels" not in group


def test_others_read_it_as_one(out):
    models = pytest.importorskip("ome_zarr_models")
    follow(out, pixel_size=0.5, interval=90)
    opened = models.open_ome_zarr(zarr.open_group(out, mode="r"))
    assert type(opened).__name__ == "ImageLabel"


def test_our_own_readers_find_the_labels_in_it(out):
    result = follow(out)
    stack = open_labels(out)
    assert np.array_equal(np.stack([stack[t] for t in range(N)]), result.labels[:])
    again = track(IMAGES, out, out=out.with_name("again.zarr"), frames=(0, 2), model=FakeSegmenter(), config=QUICK)
    assert again.object_ids == (1, 2)


def test_labels_are_a_lazy_array_too(out):
    result = follow(out)
    lazy = result.to_dask()
    assert lazy.chunksize == (1, *IMAGES.shape[1:]) and np.array_equal(lazy.compute(), result.labels[:])


# ---- how large a pixel is


def imagej(path):
    tifffile.imwrite(
        path, IMAGES, imagej=True, resolution=(4, 4), metadata={"axes": "TYX", "unit": "um", "finterval": 30.0}
    )


def ome_tiff(path):
    said = {"axes": "TYX", "PhysicalSizeX": 250, "PhysicalSizeXUnit": "nm", "PhysicalSizeY": 250}
    tifffile.imwrite(path, IMAGES, metadata={**said, "TimeIncrement": 0.5, "TimeIncrementUnit": "min"})


def ome_zarr(path):
    group = zarr.open_group(path, mode="w")
    group.create_array("0", data=IMAGES)
    axes = [{"name": "t", "type": "time", "unit": "minute"}]
    axes += [{"name": n, "type": "space", "unit": "micrometer"} for n in "yx"]
    datasets = [{"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [1, 0.5, 0.5]}]}]
    whole = [{"type": "scale", "scale": [0.5, 0.5, 0.5]}]
    scales = [{"axes": axes, "datasets": datasets, "coordinateTransformations": whole}]
    group.attrs["ome"] = {"version": "0.5", "multiscales": scales}


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("m.tif", imagej),
        ("m.ome.tif", ome_tiff),
        ("m.ome.zarr", ome_zarr),
        ("m.ims", imaris(IMAGES[:, None, None])),
        ("m.lif", lif(IMAGES[:, None], pixel_um=0.25, interval_s=30)),
    ],
)
def test_the_size_of_a_pixel_is_that_of_the_file(tmp_path, out, name, write):
    write(tmp_path / name)
    movie = Movie.open(tmp_path / name)
    assert movie.calibration.pixel_um == pytest.approx((0.25, 0.25)) and movie.calibration.interval_s == 30
    assert "0.25 µm a pixel, 30 s a frame" in movie.describe()
    result = follow(out, tmp_path / name)
    assert scale_of(out) == (pytest.approx([30, 0.25, 0.25]), ["second", "micrometer", "micrometer"])
    assert result.attrs["provenance"]["movie"]["path"] == f"../{name}"
    assert "0.25 µm a pixel, 30 s a frame" in result.describe()


def test_what_a_person_says_counts_more(tmp_path, out):
    imagej(tmp_path / "m.tif")
    follow(out, tmp_path / "m.tif", pixel_size=2.0)
    assert scale_of(out) == ([30, 2, 2], ["second", "micrometer", "micrometer"])


def test_what_is_not_known_has_no_unit(out):
    follow(out)
    assert scale_of(out) == ([1, 1, 1], [None, None, None])


@pytest.mark.parametrize("said", [{"pixel_size": 0}, {"interval": -1.0}, {"pixel_size": "small"}])
def test_impossible_sizes_are_refused(out, said):
    with pytest.raises(ValueError, match=next(iter(said))):
        follow(out, **said)


# ---- the table


def test_the_table_has_a_row_per_object_and_frame(out):
    frames = follow(out, pixel_size=0.5, direction="forward").to_dataframe()
    assert list(frames.columns) == [*TABLE, "expected_iou", "name"] and frames["name"].isna().all()
    assert [tuple(row) for row in frames[["frame", "object"]].to_numpy()] == [
        (0, 1), (1, 1), (2, 1), (2, 2), (3, 1), (3, 2)
    ]  # fmt: skip
    first = frames.iloc[1]
    assert (first.y, first.x) == (30, 31) and first.area_um2 == first.area / 4
    assert first.state == "present" and np.isnan(first.parent)


def test_a_column_that_is_not_there_is_not_known(out):
    follow(out)
    table = zarr.open_group(out, mode="r+")["table/values"]
    table.attrs["columns"] = [name if name != "area_um2" else "something else" for name in TABLE]
    seal(out)
    result = Result.open(out)
    assert result.to_dataframe()["area_um2"].isna().all() and (result.area > 0).all()


def test_what_an_object_is_locked_or_accepted_as_outlives_a_rerun(out):
    follow(out).lock(2, 1)
    again = rerun(out, IMAGES, [*TWO, MaskPrompt.from_frame(1, 2, LABELS[2] == 1)], model=FakeSegmenter())
    assert [again.locked(t) for t in range(N)] == [(), (2,), (), ()]
    assert again.to_dataframe().set_index(["frame", "object"]).locked.dropna().to_dict() == {(1, 2): 1}


# ---- what it was made from


def test_where_it_comes_from_is_kept(out):
    attrs = json.loads(json.dumps(follow(out).attrs))
    told = attrs["provenance"]
    assert told["movie"]["fingerprint"] == Movie.open(IMAGES).fingerprint and told["movie"]["path"] is None
    assert told["device"] == "cpu" and told["versions"]["napari-mosam"] and told["versions"]["torch"]
    assert attrs["compute"]["threads"] == torch.get_num_threads() and attrs["schema"] == 2


def test_the_hash_of_the_weights_is_kept(tmp_path):
    result = track(IMAGES[:2], TWO[:1], out=tmp_path / "n.zarr", direction="forward", device="cpu")
    assert len(result.attrs["provenance"]["weights"]) == 64


# ---- versions


def test_a_result_of_a_newer_version_is_refused_in_words(out):
    follow(out)
    attrs = zarr.open_group(out, mode="r+").attrs
    attrs.update({"schema": 3, "napari_mosam": "2.0"})
    seal(out)
    with pytest.raises(ValueError, match=r"newer version \(napari-mosam 2.0, schema 3\); .* update napari-mosam"):
        Result.open(out)


def test_a_result_whose_manifest_names_no_metadata_opens_and_changes(out):
    labels = follow(out).labels[:]
    seals = json.loads((out / MANIFEST).read_bytes())
    assert {"0/zarr.json", "table/values/zarr.json", "prompts/zarr.json"} <= seals.keys() and "zarr.json" not in seals
    chunks = {key: seal for key, seal in seals.items() if not key.endswith("zarr.json")}
    (out / MANIFEST).write_text(json.dumps(chunks))
    Result.open(out).lock(2, 3)
    assert Result.open(out).locked(3) == (2,) and np.array_equal(Result.open(out).labels[:], labels)
    now = json.loads((out / MANIFEST).read_bytes())
    assert "prompts/zarr.json" in now and "0/zarr.json" not in now
    assert Result.open(out).undo().complete and json.loads((out / MANIFEST).read_bytes()) == chunks


def test_a_result_of_version_0_1_is_written_anew_when_it_is_changed(tmp_path):
    shutil.unpack_archive(ARCHIVE, tmp_path)
    before = Result.open(tmp_path / "result_0_1_0.zarr")
    labels = before.labels[:]
    before.lock(7, 2)
    after = Result.open(before.path)
    assert np.array_equal(after.labels[:], labels) and after.attrs["schema"] == 2
    for name in ("predicted_iou", "object_score", "area", "consistency", "disagreement", "division"):
        assert np.array_equal(getattr(after, name), getattr(before, name), equal_nan=True), name
    assert [after.locked(t) for t in range(4)] == [(1,), (), (7,), ()]
    assert after.timeline(1).cues == before.timeline(1).cues
    assert (after.to_dataframe().y[0] > 0) and after.complete
    after.undo()
    assert [after.locked(t) for t in range(4)] == [(1,), (), (), ()]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["result_0_1_0.zarr"]


def test_a_lost_manifest_is_told(out):
    follow(out)
    (out / "mosam_manifest.json").unlink()
    with pytest.raises(ValueError, match=r"has lost its manifest \(mosam_manifest.json\)"):
        Result.open(out)


# ---- disks that do not do what they should


def test_a_full_disk_leaves_whole_frames_and_a_way_to_go_on(out, monkeypatch):
    from napari_mosam.core.files import disk

    write, left = disk.write, [60]

    def full(path, content):
        left[0] -= 1
        if left[0] < 0:
            raise OSError(28, "No space left on device")
        write(path, content)

    with monkeypatch.context() as patched:
        patched.setattr(disk, "write", full)
        with pytest.raises(OSError, match="No space left on device"):
            follow(out)
    assert not Result.open(out).complete
    assert follow(out, resume=True).complete
    whole = follow(out.with_name("whole.zarr"))
    assert content_but_journal(out).keys() == content_but_journal(whole.path).keys()


@pytest.mark.skipif("__import__('os').geteuid() == 0", reason="root may write anywhere")
def test_a_result_that_may_not_be_written_is_read(out):
    follow(out)
    out.parent.chmod(0o500)
    try:
        assert Result.open(out).complete
        with pytest.raises(PermissionError):
            Result.open(out).lock(1, 0)
    finally:
        out.parent.chmod(0o700)
