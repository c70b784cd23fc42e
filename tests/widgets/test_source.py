"""Which movie an image layer is, and when it has to be read anew."""

import numpy as np
import pytest
import tifffile

from napari_mosam import BoxPrompt, Session
from napari_mosam.core.config.run import ComputeConfig, RunConfig
from napari_mosam.core.images.movie import Movie
from napari_mosam.widgets.engine import Engine
from napari_mosam.widgets.layers.source import MovieSource


@pytest.fixture
def stack():
    return np.arange(3 * 4 * 8 * 8, dtype=np.uint16).reshape(3, 4, 8, 8)


def source_of(image):
    return MovieSource.from_layer(image, (0,) * image.ndim)


def test_an_axis_of_planes_or_channels_is_never_time(stack):
    from napari.layers import Image

    planes = MovieSource.from_layer(Image(stack[0], axis_labels=("z", "y", "x")), (2, 0, 0))
    assert planes.shape == (1, 8, 8) and planes.describe() == "1 frame, 4 z planes (using 2), 8 x 8 px (Y, X)"
    np.testing.assert_array_equal(planes.open().raw(0), stack[0, 2])
    channels = source_of(Image(stack, axis_labels=("channel", "", "y", "x")))
    assert channels.shape == (4, 8, 8) and channels.describe().startswith("4 frames, 3 channels (using 0)")


def test_a_session_belongs_to_an_array_and_how_it_is_read(open_widget, stack):
    """Another array, another axis that is time, or another plane is another movie; back again it is the same."""
    widget = open_widget(stack, axis_labels=("t", "z", "y", "x"))
    image, first = widget.controls.image.layer, widget.session
    widget.viewer.dims.set_point(1, 1 if widget.source.plane[1] != 1 else 2)
    other = widget.session
    assert other is not first and other.movie.fingerprint != first.movie.fingerprint
    widget.viewer.dims.set_point(1, 2 if widget.source.plane[1] == 1 else 1)
    assert widget.session is first
    image.data = stack + 1
    new = widget.session
    assert new is not first and new.movie.raw(0)[0, 0] == first.movie.raw(0)[0, 0] + 1
    image.axis_labels = ("z", "t", "y", "x")
    assert widget.session.movie.n_frames == 4


@pytest.mark.parametrize("multiscale", [False, True])
def test_the_full_resolution_is_the_movie(stack, multiscale):
    from napari.layers import Image

    data = [stack[0], stack[0, :, ::2, ::2]] if multiscale else stack[0]
    movie = source_of(Image(data, multiscale=multiscale)).open()
    assert movie.shape == (4, 8, 8)
    np.testing.assert_array_equal(movie.raw(1), stack[0, 1])


def test_a_movie_that_lies_on_the_disk_is_read_from_there(tmp_path, stack):
    from napari.components import ViewerModel
    from napari.layers import Image

    path = tmp_path / "movie.tif"
    tifffile.imwrite(path, stack[0], photometric="minisblack", metadata={"axes": "TYX"})
    viewer = ViewerModel()
    (image,) = viewer.open(path, plugin="napari")
    source, engine = source_of(image), Engine()
    shown = source.open((3, 99))
    lying = engine.on_disk(source, shown)
    assert lying.path == path and lying.fingerprint == shown.fingerprint and lying.limits == shown.limits == (3, 99)
    image.data = stack[0] + 1
    shown = source_of(image).open()
    assert engine.on_disk(source_of(image), shown) is shown, "the file shows something else"
    memory = source_of(Image(stack[0]))
    assert engine.on_disk(memory, movie := memory.open()) is movie


def test_the_frame_range_follows_the_axes_and_the_data_of_the_image(open_widget, stack):
    widget = open_widget(stack, axis_labels=("t", "z", "y", "x"))
    image = widget.controls.image.layer
    assert widget.controls.last.maximum() == 2
    image.axis_labels = ("z", "t", "y", "x")
    assert (widget.controls.last.maximum(), widget.controls.last.value()) == (3, 3)
    image.data = np.zeros((3, 9, 8, 8), np.uint16)
    assert widget.controls.last.maximum() == 8
    assert widget.controls.image_note.text() == "9 frames, 3 z planes (using 1), 8 x 8 px (Y, X)"
    other = widget.viewer.add_image(np.zeros((5, 8, 8), np.uint8))
    widget.controls.image.layer = other
    widget.controls.last.setValue(2)
    image.data = stack
    assert (widget.controls.last.maximum(), widget.controls.last.value()) == (4, 2)


@pytest.mark.parametrize("limits", [None, (10, 99.5), "exact"])
def test_a_dock_and_a_function_with_the_same_settings_ask_for_the_same_run(stack, limits, tmp_path):
    from napari.layers import Image

    marks = [BoxPrompt(1, 1, (1, 1, 5, 5)), BoxPrompt(1, 3, (2, 1, 6, 5))]
    config = RunConfig(frames=(1, 3), direction="forward", diameter=4.0, compute=ComputeConfig(chunk=2))
    source = source_of(Image(stack, axis_labels=("z", "t", "y", "x")))
    session = Engine().session(source, config)
    session.movie, session.prompts = source.open(limits), marks  # as the dock does when a run begins
    plain = Session(stack, marks, axes="ZTYX", z=0, limits=limits, recent=tmp_path)
    plain.settings = config
    assert session.request() == plain.request()
    assert session.movie.limits == Movie.open(stack[0], limits=limits).limits


def test_the_line_of_a_movie_says_what_a_pixel_and_a_frame_are(open_widget, movie):
    units = ("minute", "micrometer", "micrometer")
    widget = open_widget(movie, scale=(5, 0.65, 0.65), units=units, axis_labels=("t", "y", "x"))
    assert widget.controls.image_note.text() == "8 frames, 64 x 64 px (Y, X), 0.65 µm a pixel, 5 min a frame"
    assert widget.session.movie.calibration.interval_s == 300
    assert widget.controls.axes.isHidden()


def test_any_order_of_axes_can_be_chosen(open_widget, movie):
    widget = open_widget(np.stack([movie, movie], 1))
    image, axes = widget.viewer.layers["movie"], widget.controls.axes
    assert not axes.isHidden() and axes.currentText() == "time · z planes" and widget.source.shape[0] == 8
    axes.setCurrentIndex(axes.findData("ct"))
    axes.activated.emit(axes.currentIndex())
    assert widget.source.axes == "CTYX" and widget.source.shape[0] == 2
    assert tuple(widget.viewer.dims.axis_labels)[:2] == ("c", "t") == tuple(image.axis_labels)[:2]


def test_names_of_sliders_are_those_of_the_axes(open_widget, movie):
    widget = open_widget(np.stack([movie, movie], 1))
    widget.viewer.dims.axis_labels = ("z", "t", "y", "x")
    assert widget.source.axes == "ZTYX" and widget.controls.axes.currentText() == "z planes · time"
    widget.viewer.dims.set_point(0, 5)
    assert widget.source.plane == (5, 0) and "8 z planes (using 5)" in widget.controls.image_note.text()
