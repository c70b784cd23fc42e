"""Every kind of TIFF file and folder is read to the pixel, and what is not there is told and never read."""

import numpy as np
import pytest
from tests.support.zoo import ZOO

from napari_mosam.core.images.movie import Movie, MovieError


@pytest.mark.parametrize("make", ZOO, ids=lambda make: make.__name__)
def test_what_a_file_holds_is_read_to_the_pixel(make, tmp_path, caplog):
    sample = make(tmp_path)
    movie = Movie.open(sample.path, **sample.options)
    assert (movie.shape, movie.source_axes) == (sample.frames.shape, sample.axes)
    assert movie.bad_frames == sample.bad
    assert sample.told in movie.absence() and bool(sample.told) == bool(movie.absence())
    for t, frame in enumerate(sample.frames):
        if t in sample.bad:
            with pytest.raises(MovieError, match=rf"frame {t} of .* is not there, .*--skip-bad-frames"):
                movie.raw(t)
        else:
            np.testing.assert_array_equal(movie.raw(t), frame)
