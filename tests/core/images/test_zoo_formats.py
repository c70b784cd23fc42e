"""Every format, as `mosam info` tells of it and as a movie reads it; what cannot be read says what to do."""

import json
import random
import sys
from datetime import timedelta
from types import SimpleNamespace

import dask.array as da
import numpy as np
import pytest
from tests.support.zoo_formats import (
    GREYS,
    STACK,
    TCYX,
    ZOO,
    T,
    X,
    Y,
    bioformats2raw,
    film,
    imaris,
    lif,
    ome_zarr,
    plate,
)

from napari_mosam.cli import main as cli
from napari_mosam.core.images.axes import MovieError
from napari_mosam.core.images.formats.other_files import OPENERS, REFUSED
from napari_mosam.core.images.formats.source import Source
from napari_mosam.core.images.movie import Movie
from napari_mosam.core.images.sources import open_source


@pytest.mark.parametrize("one", ZOO, ids=str)
def test_info_tells_what_each_is(one, tmp_path, capsys):
    one.make(tmp_path / one.name)
    assert cli.main(["info", str(tmp_path / one.name), "--json", str(tmp_path / "told.json")]) == 0
    words, told = capsys.readouterr().out, json.loads((tmp_path / "told.json").read_text())
    shape, axes = one.source
    assert tuple(told["shape"]) == shape and (axes is None or told["axes"] == axes)
    assert told["movie"] == (None if one.movie is None else list(one.movie))
    assert tuple(told["channels"]) == one.channels or not one.channels
    assert told["interval_s"] == (None if one.interval_s is None else pytest.approx(one.interval_s))
    assert told["pixel_size_um"] == (None if one.pixel_um is None else pytest.approx([one.pixel_um] * 2))
    assert max(len(told["series"]), 1) == one.n_series and words.count("(read)") == (one.n_series > 1)
    assert len(told["needs"]) == len(one.needs) and all(map(str.startswith, told["needs"], one.needs))
    assert ("for 'mosam track'" in words) == bool(one.needs) == (told["limits"] is None)
    assert (one.movie is None) == (told["memory_bytes"] is None)


@pytest.mark.parametrize("one", [one for one in ZOO if one.frame is not None], ids=str)
def test_each_is_read(one, tmp_path):
    one.make(tmp_path / one.name)
    movie = Movie.open(tmp_path / one.name, **one.choice)
    np.testing.assert_array_equal(movie.raw(1), one.frame)
    assert movie.raw(1).dtype == movie.dtype and movie.dtype.isnative
    if "z" in one.choice:
        several = Movie.open(tmp_path / one.name, **one.choice | {"z": "max"})
        assert (several.raw(1) >= one.frame).all() and several.raw(1).shape == one.frame.shape


@pytest.mark.parametrize(
    ("name", "make", "number", "expected"),
    [
        ("raw.zarr", bioformats2raw(STACK[:1], STACK + 1, STACK), 2, STACK),
        ("plate.zarr", plate(STACK), 3, STACK + 1),
        ("two.lif", lif(STACK[:, None], STACK[:, None] + 1), 1, STACK + 1),
    ],
)
def test_a_series_is_chosen_by_its_number(tmp_path, name, make, number, expected):
    make(tmp_path / name)
    movie = Movie.open(tmp_path / name, series=number)
    assert movie.asked["series"] == number
    np.testing.assert_array_equal(movie.raw(1), expected[1])
    with pytest.raises(MovieError, match=rf"series=4 \(--series\) is not in {name}, which has .*: 0 "):
        Movie.open(tmp_path / name, series=4)


def test_planes_that_may_be_frames_are_read_as_they_are_named(tmp_path):
    ome_zarr(STACK[None, None], "tczyx")(tmp_path / "a.zarr")
    with pytest.raises(MovieError, match=r"3 z planes \(axes TCZYX\).*if they are time points, pass axes='TYX'"):
        Movie.open(tmp_path / "a.zarr")
    movie = Movie.open(tmp_path / "a.zarr", axes="TYX")
    np.testing.assert_array_equal(movie.raw(2), STACK[2])


# --- films -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "codec", "pixel_format", "options"),
    [
        ("a.mp4", "mpeg4", "yuv420p", {"g": "5", "bf": "2"}),
        ("a.mov", "mpeg4", "yuv420p", {"g": "100"}),
        ("a.avi", "mpeg4", "yuv420p", {"g": "4"}),
        ("b.avi", "mjpeg", "yuvj420p", {}),
        ("a.mkv", "ffv1", "gray", {}),
    ],
)
def test_films_are_read_in_any_order(tmp_path, name, codec, pixel_format, options):
    film(codec, pixel_format, **options)(tmp_path / name)
    movie = Movie.open(tmp_path / name, limits=(0, 255))
    order = [*range(len(GREYS)), 5, 5, *range(len(GREYS) - 1, -1, -1), *random.Random(0).sample(range(12), 12)]
    limited = pixel_format == "yuv420p"
    for t in order:
        expected = 16 + GREYS[t] * 219 / 255 if limited else GREYS[t]
        assert np.abs(movie.raw(t) - expected).max() <= 5, t


def test_films_whose_frames_have_no_time_are_refused(tmp_path):
    film("mpeg4", "yuv420p", g="5", bf="2")(tmp_path / "a.avi")
    with pytest.raises(MovieError, match="save it as MP4 without B-frames, or as TIFF"):
        Movie.open(tmp_path / "a.avi")


def test_a_film_that_ends_early_has_the_frames_that_are_there(tmp_path):
    film("rawvideo", "gray")(tmp_path / "a.avi")
    content = (tmp_path / "a.avi").read_bytes()
    (tmp_path / "a.avi").write_bytes(content[: len(content) // 2])
    movie = Movie.open(tmp_path / "a.avi")
    assert 0 < movie.n_frames < len(GREYS) and "promises 12 frames" in movie.absence()
    assert [int(movie.raw(t).max()) for t in range(movie.n_frames)] == list(GREYS[: movie.n_frames])


def test_colour_films_are_read_as_their_luminance(tmp_path):
    film("rawvideo", "bgr24")(tmp_path / "a.avi")
    assert Movie.open(tmp_path / "a.avi").raw(3).max() == GREYS[3]


def test_a_list_of_addresses_is_no_film(tmp_path):
    (tmp_path / "a.mp4").write_text("#EXTM3U\n#EXTINF:1,\nhttp://localhost:9/a.ts\n")
    with pytest.raises(MovieError, match="cannot be opened"):
        Movie.open(tmp_path / "a.mp4")


# --- files of microscopes --------------------------------------------------------------------------------------------


class FakeND2:
    """What nd2.ND2File says of itself, after its documentation: axes of length one are left out."""

    def __init__(self, path):
        self.sizes = {"T": T, "P": 2, "C": 2, "Y": Y, "X": X}
        self.dtype = np.dtype(np.uint16)
        volume = SimpleNamespace(axesCalibrated=(True, True, False))
        names = [SimpleNamespace(channel=SimpleNamespace(name=name), volume=volume) for name in ("DAPI", "GFP")]
        self.metadata = SimpleNamespace(channels=names)
        period = SimpleNamespace(periodMs=9e4, periodDiff=SimpleNamespace(avg=12e4))
        points = [SimpleNamespace(name="left"), SimpleNamespace(name=None)]
        self.experiment = [
            SimpleNamespace(type="TimeLoop", parameters=period),
            SimpleNamespace(type="XYPosLoop", parameters=SimpleNamespace(points=points)),
        ]
        self.closed = False

    def voxel_size(self):
        return SimpleNamespace(x=0.65, y=0.65, z=1.0)

    def read_frame(self, number):
        t, position = divmod(number, 2)
        return TCYX[t] + 1000 * position

    def close(self):
        self.closed = True


def test_imaris_frames_that_were_not_written_are_named(tmp_path):
    imaris(TCYX[:, :, None], promised=5)(tmp_path / "a.ims")
    movie = Movie.open(tmp_path / "a.ims", channel=0)
    assert movie.n_frames == T and movie.absence() == "its head promises 5 time points, 3 are there"


def test_nd2_positions_are_series(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "nd2", SimpleNamespace(ND2File=FakeND2))
    (tmp_path / "a.nd2").write_bytes(b"")
    source = open_source(tmp_path / "a.nd2")
    assert source.axes == "TCYX" and "not tried on real files" in source.kind
    assert [one.name for one in source.series] == ["left", ""] and source.channels == ("DAPI", "GFP")
    movie = Movie.open(tmp_path / "a.nd2", channel=1)
    np.testing.assert_array_equal(movie.raw(2), TCYX[2, 1])
    assert (
        movie.summary() == f"3 frames, 2 channels (using 1: GFP), {Y} x {X} px (Y, X), 0.65 µm a pixel, 2 min a frame"
    )


class FakeCzi:
    """What czifile.CziFile says of itself: scenes by number, whose first frame may have any."""

    def __init__(self, path=None, at=None):
        self.at = at or {}
        self.scenes = {4: self}
        self.name, self.dims, self.shape, self.start = "Scene 4", ("T", "C", "Y", "X"), TCYX.shape, (5, 0, 0, 0)
        self.dtype, self.mpp, self.coord_scales = TCYX.dtype, (0.1, 0.2), {"T": 30.0, "X": 1e-7}
        self.channels = {"DAPI": {}, "GFP": {}}

    def __call__(self, **at):
        return FakeCzi(at=at)

    def asarray(self, maxworkers):
        return TCYX[self.at["T"] - 5, self.at["C"]]

    def close(self):
        pass


def test_czi_scenes_are_series(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "czifile", SimpleNamespace(CziFile=FakeCzi))
    (tmp_path / "a.czi").write_bytes(b"")
    movie = Movie.open(tmp_path / "a.czi", channel=1)
    np.testing.assert_array_equal(movie.raw(2), TCYX[2, 1])
    assert movie.calibration.pixel_um == pytest.approx((0.2, 0.1)) and movie.calibration.interval_s == 30


# --- what is not read says what to do --------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [s for s in OPENERS if s not in (".npy", ".npz")])
def test_a_missing_package_is_named_with_its_extra(tmp_path, monkeypatch, suffix):
    for name in ("nd2", "czifile", "liffile", "h5py", "av", "bioio"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    (tmp_path / f"a{suffix}").write_bytes(b"")
    with pytest.raises(MovieError, match=r'pip install "napari-mosam\[(formats|video)\]"'):
        Movie.open(tmp_path / f"a{suffix}")


@pytest.mark.parametrize("suffix", REFUSED)
def test_a_known_kind_is_refused_with_what_to_do(tmp_path, monkeypatch, suffix):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    (tmp_path / f"a{suffix}").write_bytes(b"")
    with pytest.raises(MovieError, match=r"not read here \(\.\w+\); (open it|save it|export)"):
        Movie.open(tmp_path / f"a{suffix}")


class FakeBioImage:
    """What bioio.BioImage says of itself, of two scenes."""

    def __init__(self, path):
        if path.suffix != ".dv":
            raise NotImplementedError
        self.scenes, self.reader = ("a", "b"), self
        self.channel_names = ["DAPI", "GFP"]
        self.physical_pixel_sizes = SimpleNamespace(Z=None, Y=0.2, X=0.1)
        self.time_interval = timedelta(seconds=30)
        self.dims = SimpleNamespace(order="TCZYX")

    def set_scene(self, number):
        self.dask_data = da.from_array(TCYX[: 1 + 2 * number, :, None], chunks=(1, 1, 1, Y, X))
        self.shape = self.dask_data.shape


def test_bioio_reads_what_it_has_a_reader_for(tmp_path, monkeypatch):
    errors = SimpleNamespace(UnsupportedFileFormatError=NotImplementedError)
    for name, module in {"bioio": SimpleNamespace(BioImage=FakeBioImage), "bioio_base.exceptions": errors}.items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    (tmp_path / "a.dv").write_bytes(b"")
    (tmp_path / "a.oib").write_bytes(b"")
    movie = Movie.open(tmp_path / "a.dv", channel=1)
    np.testing.assert_array_equal(movie.raw(2), TCYX[2, 1])
    assert movie.asked["series"] == 1 and movie.calibration.pixel_um == (0.2, 0.1)
    assert movie.summary().endswith("(using 1: GFP), 8 x 9 px (Y, X), 0.2 x 0.1 µm a pixel (Y, X), 30 s a frame")
    with pytest.raises(MovieError, match="an Olympus or Evident file"):
        Movie.open(tmp_path / "a.oib")


@pytest.mark.slow
def test_a_real_reader_of_bioio(tmp_path):
    pytest.importorskip("bioio_imageio")
    import imageio.v3 as iio

    stack = np.repeat(np.repeat((STACK // 16).astype(np.uint8), 4, 1), 4, 2)
    iio.imwrite(tmp_path / "a.gif", stack)
    source = open_source(tmp_path / "a.gif")
    assert isinstance(source, Source) and "read by bioio_imageio" in source.kind
    assert Movie.open(tmp_path / "a.gif").n_frames == T


def test_python_objects_and_several_arrays_are_refused(tmp_path):
    np.save(tmp_path / "a.npy", np.array([{}], object), allow_pickle=True)
    np.savez(tmp_path / "a.npz", one=STACK, two=STACK)
    with pytest.raises(MovieError, match="holds Python objects, which could run any program"):
        Movie.open(tmp_path / "a.npy")
    with pytest.raises(MovieError, match=r"holds 2 arrays \(one, two\)"):
        Movie.open(tmp_path / "a.npz")
