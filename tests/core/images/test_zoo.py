"""Every kind of TIFF file and folder is read to the pixel, and what is not there is told and never read."""

import numpy as np
import pytest
from tests.support import zoo
from tests.support.zoo import STACK, ZOO

from napari_mosam.core.images.formats.tiff_pages import files_named
from napari_mosam.core.images.label_images.label_files import open_labels
from napari_mosam.core.images.label_images.labels import LabelError
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


def without(sample, name):
    """A set of files that has lost one."""
    (sample.path.parent / name).unlink()
    return sample.path


def two_channels(folder):
    zoo.one_of_two_channels(folder)
    return folder / "frames"


def cut_in_its_description(folder):
    path = zoo.ome(folder).path
    path.write_bytes(path.read_bytes()[:-700])
    return path


def no_whole_frame(folder):
    path = zoo.shaped(folder).path
    path.write_bytes(path.read_bytes()[:400])
    return path


REFUSED = {
    "two channels": (two_channels, r"'exp_w1Red_t\*.TIF' \(5\), 'exp_w2Phase_t\*.TIF' \(5\); give one of these"),
    "no companion": (
        lambda folder: without(zoo.set_with_a_companion(folder), "set.companion.ome"),
        r"t2\.ome\.tif is one file of a set that is described in set\.companion\.ome, which is not beside it; copy",
    ),
    "a cut description": (cut_in_its_description, r"a\.ome\.tif cannot be opened: its description is cut off"),
    "no whole frame": (no_whole_frame, r"a\.tif cannot be opened: the file ends early, before its first image does"),
    "no such series": (lambda folder: zoo.plain(folder).path, r"series=1 .* is not in a\.tif, which has 1: 0 "),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_be_read_is_refused_with_what_to_do(kind, tmp_path):
    make, message = REFUSED[kind]
    options = {"series": 1} if kind == "no such series" else {}
    with pytest.raises(MovieError, match=message):
        Movie.open(make(tmp_path), **options)


def test_labels_are_taken_as_they_are_stored_and_those_that_are_not_there_are_not_made_up(tmp_path):
    stored = 65535 - STACK
    labels = open_labels(zoo.white_is_zero(tmp_path).path)
    np.testing.assert_array_equal(labels[2], stored[2])
    labels = open_labels(zoo.cut_off(tmp_path).path)
    np.testing.assert_array_equal(labels[2], STACK[2])
    with pytest.raises(LabelError, match=r"frame 3 of a\.tif is not there"):
        labels[3]


def test_a_set_of_files_is_read_from_the_files_that_are_there(tmp_path):
    """Opened by its companion, with the first file gone."""
    path = without(zoo.companion(tmp_path), "t0.ome.tif")
    movie = Movie.open(path)
    assert movie.bad_frames == (0,) and "are not there: t0.ome.tif" in movie.absence()
    np.testing.assert_array_equal(movie.raw(4), STACK[4])


def test_limits_and_the_fingerprint_do_without_frames_that_are_not_there(tmp_path):
    sample = zoo.gap(tmp_path)
    movie = Movie.open(sample.path)
    there = np.delete(STACK, sample.bad, 0)
    assert movie.limits == Movie.open(there).limits
    assert Movie.open(sample.path, limits="exact").limits == Movie.open(there, limits="exact").limits
    assert movie.fingerprint == Movie.open(sample.path, skip_bad_frames=True).fingerprint


def test_names_of_files_are_read_as_xml_writes_them():
    xml = '<TiffData><UUID FileName="a&amp;b.tif">urn:1</UUID></TiffData><UUID FileName="a&amp;b.tif">urn:1</UUID>'
    assert files_named(xml) == ["a&b.tif"]
