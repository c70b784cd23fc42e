"""Which movie an image layer is, and when it has to be read anew."""

from dataclasses import replace

import numpy as np
import pytest

from napari_mosam.core.config.run import ComputeConfig, MovieConfig, RunConfig
from napari_mosam.core.images.movie import Movie
from napari_mosam.core.prompts.collection import BoxPrompt, Prompts
from napari_mosam.core.runs.request import RunRequest
from napari_mosam.widgets.engine import Engine
from napari_mosam.widgets.layers.source import MovieSource


@pytest.fixture
def stack():
    return np.arange(3 * 4 * 8 * 8, dtype=np.uint16).reshape(3, 4, 8, 8)


def source_of(image):
    return MovieSource.from_layer(image, (0,) * image.ndim)


def test_a_movie_is_read_anew_when_another_axis_becomes_time(stack):
    from napari.layers import Image

    engine, image = Engine(), Image(stack, axis_labels=("t", "z", "y", "x"))
    movie = engine.open(source_of(image))
    assert movie.shape == (3, 8, 8) and engine.open(source_of(image)) is movie
    image.axis_labels = ("z", "t", "y", "x")
    assert engine.open(source_of(image)).shape == (4, 8, 8)


def test_an_axis_of_planes_or_channels_is_never_time(stack):
    from napari.layers import Image

    planes = MovieSource.from_layer(Image(stack[0], axis_labels=("z", "y", "x")), (2, 0, 0))
    assert planes.shape == (1, 8, 8) and planes.describe() == "1 frame, 4 z planes (using 2), 8 x 8 px (Y, X)"
    np.testing.assert_array_equal(planes.open().raw(0), stack[0, 2])
    channels = source_of(Image(stack, axis_labels=("channel", "", "y", "x")))
    assert channels.shape == (4, 8, 8) and channels.describe().startswith("4 frames, 3 channels (using 0)")


@pytest.mark.parametrize("multiscale", [False, True])
def test_the_movie_of_a_removed_layer_is_forgotten(stack, multiscale):
    from napari.layers import Image

    data = [stack[0], stack[0, :, ::2, ::2]] if multiscale else stack[0]
    engine, image = Engine(), Image(data, multiscale=multiscale)
    movie = engine.open(source_of(image))
    engine.forget(Image(stack[1]))
    assert engine.open(source_of(image)) is movie
    engine.forget(image)
    assert engine.open(source_of(image)) is not movie


def test_a_movie_forgotten_as_soon_as_it_is_kept_is_still_returned(stack):
    from napari.layers import Image

    class Forgetful(Engine):
        def __setattr__(self, name, value):
            super().__setattr__(name, None if name == "_movie" else value)

    assert Forgetful().open(source_of(Image(stack[0]))).shape == (4, 8, 8)


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
def test_a_dock_and_a_function_with_the_same_settings_ask_for_the_same_run(stack, limits):
    from napari.layers import Image

    marks = Prompts([BoxPrompt(1, 1, (1, 1, 5, 5)), BoxPrompt(1, 3, (2, 1, 6, 5))])
    config = RunConfig(frames=(1, 3), direction="forward", diameter=4.0, compute=ComputeConfig(chunk=2))
    source = source_of(Image(stack, axis_labels=("z", "t", "y", "x")))
    asked = Engine().request(source, marks, replace(config, movie=MovieConfig(channel=5, limits=limits)))
    read = MovieConfig(axes="ZTYX", z=0, limits=limits)
    assert asked == RunRequest.build(stack, marks, replace(config, movie=read))
    assert asked.movie.limits == Movie.open(stack[0], limits=limits).limits
