"""Layers of ours saved by napari: results with all that belongs to them, label stacks, marks with their ids."""

import json

import numpy as np
import pytest
import tifffile
from npe2 import PluginManager
from tests.widgets.conftest import box_around

from napari_mosam import BoxPrompt, MaskPrompt, PointPrompt, Prompts, Result, Session, load_prompts
from napari_mosam.core.images.label_images.label_files import open_labels
from napari_mosam.core.images.movie import Movie
from napari_mosam.core.prompts.records import changed_frames
from napari_mosam.core.prompts.saving import save_prompts

SHAPE = (8, 64, 64)


@pytest.fixture(scope="module", autouse=True)
def plugin():
    """napari knows the plugin, as it does when a viewer has a window."""
    PluginManager.instance().discover()


@pytest.fixture
def followed(open_widget, movie, hands):
    """A dock in which disks 1 and 2 were followed; half a micrometre a pixel, 30 s a frame."""
    widget = open_widget(movie, scale=(30, 0.5, 0.5), units=("second", "micrometer", "micrometer"))
    hands.mark(widget, 1, 2)
    hands.run(widget)
    return widget


def some_prompts():
    mask = np.zeros(SHAPE[1:], bool)
    mask[3:9, 5:30] = True
    third = 1 / 3
    clicks = [PointPrompt(4, 2, (10 * third, 20.5)), PointPrompt(4, 2, (40.0, 50.0), False)]
    return Prompts([*clicks, BoxPrompt(7, 0, (1.25, 2.0, 30.0, third * 100)), MaskPrompt.from_frame(9, 5, mask)])


@pytest.mark.parametrize("name", ["marks.json", "marks.csv"])
def test_prompts_come_back_as_they_were(tmp_path, name):
    files = save_prompts(some_prompts(), tmp_path / name, SHAPE[1:])
    assert load_prompts(tmp_path / name, SHAPE) == some_prompts()
    assert files == [tmp_path / name, tmp_path / "marks_masks" / "9_5.png"] and files[1].is_file()


def test_prompts_have_a_suffix_that_can_be_read(tmp_path):
    with pytest.raises(ValueError, match=r"end it with \.json or \.csv"):
        save_prompts(some_prompts(), tmp_path / "marks.txt", SHAPE[1:])


def test_labels_of_a_result_are_saved_as_the_whole_result(followed, hands, movie, tmp_path):
    layer, out = hands.labels(followed), tmp_path / "copy.zarr"
    layer.data_setitem((np.array([2, 2]), np.array([50, 50]), np.array([50, 51])), 1)  # not written yet
    assert layer.save(str(out), plugin="napari-mosam") == [str(out)]
    copy = Session.open(out, movie)
    assert np.array_equal(copy.result.labels[:], hands.shown(followed)) and copy.result.labels[2, 50, 50] == 1
    assert copy.prompts == followed.session.prompts and copy.settings == followed.session.settings
    assert not followed.session.saved, "the dock stays with its own"
    with pytest.raises(OSError, match="exists already"):
        layer.save(str(out), plugin="napari-mosam")


def test_other_labels_are_no_result(make_napari_viewer, tmp_path):
    layer = make_napari_viewer().add_labels(np.ones(SHAPE, np.uint8), name="seg")
    with pytest.raises(OSError, match=r"'seg' is no result of MoSAM; save it as a \.tif"):
        layer.save(str(tmp_path / "seg.zarr"), plugin="napari-mosam")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("large", [pytest.param(False, marks=pytest.mark.slow), True])
def test_labels_are_saved_as_a_stack_with_ids_and_sizes(followed, hands, tmp_path, large):
    out, layer = tmp_path / "labels.tif", hands.labels(followed)
    if large:
        labels = hands.stored(followed)[3].astype(np.uint32)
        labels[-2:] = 70_000
        followed.session.paint(3, labels)
        hands.settle(followed)
    assert layer.save(str(out), plugin="napari-mosam") == [str(out)]
    stack = open_labels(out)
    assert np.array_equal(np.stack([stack[t] for t in stack.frames]), hands.shown(followed))
    with tifffile.TiffFile(out) as file:
        assert file.series[0].dtype == (np.uint32 if large else np.uint16) and file.series[0].axes == "TYX"
    known = Movie.open(out).calibration
    assert known.pixel_um == pytest.approx((0.5, 0.5)) and known.interval_s == 30


def test_a_movie_is_never_written_over(open_widget, movie, hands, tmp_path, make_napari_viewer):
    path, viewer = tmp_path / "movie.tif", make_napari_viewer()
    tifffile.imwrite(path, movie)
    viewer.open(path)
    widget = open_widget(None, viewer=viewer)
    hands.mark(widget, 1)
    hands.run(widget)
    with pytest.raises(OSError, match="is a movie that is open"):
        hands.labels(widget).save(str(path), plugin="napari-mosam")
    assert np.array_equal(tifffile.imread(path), movie)


def test_negative_ids_are_refused(make_napari_viewer, tmp_path):
    layer = make_napari_viewer().add_labels(np.full((4, 4), -1), name="seg")
    (tmp_path / "seg.tif").write_bytes(b"earlier")
    with pytest.raises(OSError, match="has ids below 0"):
        layer.save(str(tmp_path / "seg.tif"), plugin="napari-mosam")
    assert [(f.name, f.read_bytes()) for f in tmp_path.iterdir()] == [("seg.tif", b"earlier")]


def test_marks_of_a_movie_are_saved_together(followed, hands, tmp_path):
    hands.click(followed, 1, 30, 31)
    layers, marks = [followed.prompts.points, followed.prompts.shapes], followed.prompts.prompts(followed.source)
    for name, chosen in (("a.json", layers), ("b.csv", layers[:1]), ("c.json", layers[1:])):
        followed.viewer.layers.selection = set(chosen)
        followed.viewer.layers.save(str(tmp_path / name), selected=True, plugin="napari-mosam")
        assert changed_frames(load_prompts(tmp_path / name, SHAPE), marks) == {}
    assert {record["object"] for record in json.loads((tmp_path / "a.json").read_text())} == {1, 2}
    assert BoxPrompt(2, 0, box_around(2, 0)) in list(load_prompts(tmp_path / "a.json", SHAPE))


def test_all_layers_go_into_a_folder(followed, hands, tmp_path):
    followed.viewer.add_labels(np.full(SHAPE[1:], 3, np.uint8), name="a/b")
    written = followed.viewer.layers.save(str(tmp_path / "all"), plugin="napari-mosam")
    assert {path.name for path in (tmp_path / "all").iterdir()} == {"MoSAM labels.zarr", "a_b.tif", "movie marks.json"}
    assert len(written) == 3
    assert np.array_equal(Result.open(tmp_path / "all" / "MoSAM labels.zarr").labels[:], hands.shown(followed))
    followed.viewer.layers.save(str(tmp_path / "all"), plugin="napari-mosam")
    assert (tmp_path / "all" / "MoSAM labels-2.zarr").is_dir()
