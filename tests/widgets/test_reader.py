"""Results of ours in napari: what opens, what is said, and what is left to other readers."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr
from napari.components import ViewerModel
from napari.utils.notifications import notification_manager
from npe2 import PluginManager
from tests.support.damage import seal
from tests.support.fake_model import FakeSegmenter, disks

from napari_mosam import Result
from napari_mosam.core.api import track
from napari_mosam.core.config.engine import EngineConfig, MotionConfig
from napari_mosam.core.prompts.collection import MaskPrompt
from napari_mosam.widgets.files.reader import get_reader, open_result, read_result

N = 5
IMAGES, LABELS = disks([[(30, 30 + t), (66, 70)] for t in range(N)], radius=7)
QUICK = EngineConfig(motion=MotionConfig.off())
TWO = [MaskPrompt.from_frame(3, 0, LABELS[0] == 1), MaskPrompt.from_frame(8, 1, LABELS[1] == 2)]
ARCHIVE = Path(__file__).parents[1] / "data" / "result_0_1_0.zarr.zip"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A whole result, 30 s a frame and half a micrometre a pixel; object 8 is followed from frame 1 on."""
    out = tmp_path_factory.mktemp("made") / "cells.zarr"
    given = {"pixel_size": 0.5, "interval": 30, "direction": "forward"}
    track(IMAGES, TWO, out=out, model=FakeSegmenter(), config=QUICK, **given)
    return out


@pytest.fixture
def out(made, tmp_path):
    return shutil.copytree(made, tmp_path / "cells.zarr")


@pytest.fixture
def said():
    """What napari told the user."""
    notification_manager.records.clear()
    return lambda: [record.message for record in notification_manager.records]


@pytest.fixture(scope="module")
def plugin():
    """napari knows the plugin, as it does when a viewer has a window."""
    PluginManager.instance().discover()


@pytest.fixture
def opened(plugin, said):
    """A function: path -> layers by the ends of their names, in a viewer without a window."""

    def opens(path):
        viewer = ViewerModel()
        viewer.open(path, plugin="napari-mosam")
        return {layer.name: layer for layer in viewer.layers}

    return opens


def lose(out, *keys):
    for key in keys:
        (out / key).unlink()


# ---- what opens


def test_a_result_opens_as_labels_in_their_place(out, opened, said):
    layers = opened(out)
    assert list(layers) == ["cells", "cells confidence", "cells centres"]
    labels = layers["cells"]
    assert type(labels).__name__ == "Labels" and np.array_equal(np.asarray(labels.data), Result.open(out).labels[:])
    assert labels.scale.tolist() == [30, 0.5, 0.5]
    assert [str(unit) for unit in labels.units] == ["second", "micrometer", "micrometer"]
    assert labels.axis_labels == ("t", "y", "x") and not said()
    assert [layer.visible for layer in layers.values()] == [True, False, False]


def test_frames_are_read_when_they_are_shown(out):
    (labels, _, _), (confidence, _, _), _ = read_result(out)
    assert labels.chunksize == confidence.chunksize == (1, *IMAGES.shape[1:])
    shutil.rmtree(out / "0" / "c" / "4")
    assert (np.asarray(labels[2]) == Result.open(out).labels[2]).all()


def test_labels_carry_a_row_per_object_and_centres_one_per_object_and_frame(out, opened):
    layers, table = opened(out), Result.open(out).to_dataframe()
    objects = layers["cells"].features
    counts = ["index", "first_frame", "last_frame", "frames_followed", "frames_present"]
    assert objects[counts].to_numpy().tolist() == [[3, 0, N - 1, N, N], [8, 1, N - 1, N - 1, N - 1]]
    of_3 = table[table.object == 3]
    assert objects.mean_area[0] == of_3.area.mean() and objects.lowest_predicted_iou[0] == of_3.predicted_iou.min()
    shown = layers["cells"].get_status((0, 15, 15), world=True, dims_displayed=[1, 2], view_direction=(1, 0, 0))
    assert "frames_present: 5" in shown["value"]
    centres = layers["cells centres"]
    assert centres.features.equals(table) and len(table) == 2 * N - 1
    assert np.array_equal(centres.data, table[["frame", "y", "x"]].to_numpy())
    assert centres.scale.tolist() == [30, 0.5, 0.5]


def test_frames_on_which_an_object_was_lost_do_not_count(out):
    array = zarr.open_group(out, mode="r+")["table/values"]
    columns = list(array.attrs["columns"])
    array[N - 1, 0, columns.index("state")], array[N - 1, 0, columns.index("area")] = 2, 0
    (out / "mosam_manifest.json").write_text("{}")
    (_, meta, _), *_ = read_result(out)
    row, areas = meta["features"].iloc[0], Result.open(out).area[: N - 1, 0]
    assert (row["last_frame"], row["frames_followed"], row["frames_present"]) == (N - 2, N, N - 1)
    assert np.isclose(row["mean_area"], areas.mean())


def test_an_object_has_no_centre_where_it_has_no_pixel(out, opened):
    array = zarr.open_group(out, mode="r+")["table/values"]
    at = list(array.attrs["columns"]).index("y")
    array[2, 0, at] = np.nan
    (out / "mosam_manifest.json").write_text("{}")
    centres = opened(out)["cells centres"]
    assert 2 not in centres.features.query("object == 3").frame.tolist() and len(centres.data) == 2 * N - 2


def test_confidence_is_an_image(out, opened):
    layer = opened(out)["cells confidence"]
    assert type(layer).__name__ == "Image" and layer.contrast_limits == [0, 255]
    assert np.array_equal(np.asarray(layer.data), Result.open(out).confidence[:])


def test_a_result_of_version_0_1_opens(tmp_path, opened, said):
    shutil.unpack_archive(ARCHIVE, tmp_path)
    path = tmp_path / "result_0_1_0.zarr"
    layers = opened(path)
    labels = layers["result_0_1_0"]
    assert np.array_equal(np.asarray(labels.data), Result.open(path).labels[:]) and not said()
    assert labels.scale.tolist() == [1, 1, 1] and str(labels.units[1]) == "pixel"
    assert labels.features["index"].tolist() == [1, 7]
    assert "result_0_1_0 centres" not in layers  # it does not say where they were


def test_it_lies_on_a_movie_without_units(out, plugin):
    viewer = ViewerModel()
    viewer.add_image(IMAGES, scale=(30, 0.5, 0.5))
    viewer.open(out, plugin="napari-mosam")
    viewer.dims.set_current_step(0, 3)
    assert viewer.dims.nsteps[0] == N


def test_a_drop_opens_it(out, make_napari_viewer, monkeypatch):
    from napari.settings import get_settings
    from qtpy.QtCore import QMimeData, QPointF, Qt, QUrl
    from qtpy.QtGui import QDropEvent

    viewer = make_napari_viewer()
    monkeypatch.setattr(get_settings().plugins, "extension2reader", {"*.zarr/": "napari-mosam"})
    mime = QMimeData()
    mime.setUrls([QUrl.fromLocalFile(str(out))])
    event = QDropEvent(
        QPointF(5, 5), Qt.DropAction.CopyAction, mime, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    )
    viewer.window._qt_viewer.dropEvent(event)
    assert [layer.name for layer in viewer.layers] == ["cells", "cells confidence", "cells centres"]


# ---- what is said


def test_half_a_result_says_so(out, opened, said):
    group = zarr.open_group(out, mode="r+")
    group.attrs["complete"] = False
    seal(out)
    assert "cells (half)" in opened(out)
    assert said() == [f"'cells.zarr' is half a result: {Result.open(out).progress}"]


def test_lost_frames_are_named_and_shown_as_background(out, opened, said):
    whole = Result.open(out).labels[:]
    lose(out, "0/c/0/0/0", "0/c/3/0/0")
    labels = np.asarray(opened(out)["cells (damaged)"].data)
    assert said()[0] == (
        "'cells.zarr' is damaged, 2 of its files are missing: 0/c/0/0/0, 0/c/3/0/0; what cannot be read is shown as "
        "background"
    )
    assert sum("shown as background:" in words and "0/c/3/0/0 is missing" in words for words in said()) == 1
    assert not labels[[0, 3]].any() and np.array_equal(labels[[1, 2, 4]], whole[[1, 2, 4]])


def test_a_lost_frame_leaves_others_alone_that_are_read_at_the_same_time(out):
    whole = Result.open(out).labels[:]
    lose(out, "0/c/0/0/0")
    (labels, _, _), *_ = read_result(out)
    for _ in range(5):
        assert np.array_equal(labels.compute(scheduler="threads", num_workers=8)[1:], whole[1:])


def test_a_frame_that_is_not_what_was_written_is_told_when_it_is_shown(out, opened, said):
    chunk = out / "0" / "c" / "4" / "0" / "0"
    chunk.write_bytes(bytes(len(chunk.read_bytes())))
    layer = opened(out)["cells"]  # napari shows the frame in the middle
    assert not said()
    assert not np.asarray(layer.data[4]).any()
    assert len(said()) == 1 and "0/c/4/0/0 is not what was written" in said()[0]


@pytest.mark.parametrize(
    ("lost", "left", "words"),
    [
        ("table/values/c/0/0/0", ["confidence"], "the layers have no table: "),
        ("mosam_manifest.json", ["confidence", "centres"], "has lost its manifest"),
        ("table/zarr.json", ["confidence", "centres"], "table/zarr.json is missing"),
        ("confidence/zarr.json", ["centres"], "has lost its confidence"),
        ("records/logits/zarr.json", ["confidence", "centres"], "records/logits/zarr.json"),
    ],
)
def test_what_is_left_of_a_damaged_result_opens(out, opened, said, lost, left, words):
    whole = Result.open(out).labels[:]
    lose(out, lost)
    layers = list(opened(out).values())
    assert [layer.name.split()[-1] for layer in layers[1:]] == left
    assert np.array_equal(np.asarray(layers[0].data), whole)
    assert any(words in one for one in said())


@pytest.mark.parametrize("broken", ["zarr.json", "0/zarr.json"])
def test_a_result_without_labels_is_refused_in_words(out, opened, broken):
    (out / broken).write_bytes(b'{"half')
    if broken != "zarr.json":  # the head of the result is no part of the manifest
        with pytest.raises(ValueError, match="is not what was written"):
            opened(out)
    seal(out)
    with pytest.raises(ValueError, match=r"the metadata of .*cells.zarr.* cannot be read: not valid JSON"):
        opened(out)


def test_a_newer_result_is_refused(out, opened):
    zarr.open_group(out, mode="r+").attrs["schema"] = 3
    seal(out)
    with pytest.raises(ValueError, match="update napari-mosam"):
        opened(out)


def test_a_hostile_codec_is_refused(out, opened):
    metadata = json.loads((out / "0" / "zarr.json").read_text())
    metadata["codecs"].append({"name": "numcodecs.pickle", "configuration": {}})
    (out / "0" / "zarr.json").write_text(json.dumps(metadata))
    seal(out)
    with pytest.raises(ValueError, match="pickle"):
        opened(out)


# ---- what is none of ours


def foreign_image(path):
    group = zarr.open_group(path, mode="w")
    group.create_array("0", data=LABELS)
    group.attrs["ome"] = {"version": "0.5", "multiscales": [], "image-label": {}}


def foreign_version_2(path):
    zarr.open_group(path, mode="w", zarr_format=2).create_array("labels", data=LABELS)


FOREIGN = {
    "image.ome.zarr": foreign_image,
    "old.zarr": foreign_version_2,
    "array.zarr": lambda path: zarr.save_array(path, LABELS),
    "empty.zarr": Path.mkdir,
    "movie.tif": lambda path: tifffile.imwrite(path, IMAGES),
    "file.zarr": lambda path: path.write_bytes(b"napari_mosam"),
    "broken.zarr": lambda path: (path.mkdir(), (path / "zarr.json").write_bytes(b"\xff{")),
    "list.zarr": lambda path: (path.mkdir(), (path / "zarr.json").write_bytes(b"[1]")),
    "folder.zarr": lambda path: (path / "zarr.json").mkdir(parents=True),
    "deep.zarr": lambda path: (path.mkdir(), (path / "zarr.json").write_bytes(b"[" * 100_000)),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_what_others_made_is_left_to_them(tmp_path, name):
    FOREIGN[name](tmp_path / name)
    assert get_reader(str(tmp_path / name)) is None


@pytest.mark.parametrize("path", ["none.zarr", "", "a\0b.zarr", "x" * 5000, "https://a.b/c.zarr", ["a.zarr"], None, 3])
def test_what_is_no_folder_is_left_to_others(path):
    assert get_reader(path) is None


def test_a_part_of_a_result_is_left_to_others(out):
    assert [get_reader(str(out / part)) for part in ("0", "table", "journal")] == [None] * 3
    assert get_reader(str(out)) is open_result


def test_readers_load_no_torch(out):
    code = f"from napari_mosam.widgets.files import reader as r; r.read_result({str(out)!r})[0][0][0].compute()"
    end = "import sys; assert 'torch' not in sys.modules and 'napari' not in sys.modules"
    subprocess.run([sys.executable, "-c", f"{code}\n{end}"], check=True, timeout=100)
