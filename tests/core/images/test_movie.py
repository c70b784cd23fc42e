import os
import warnings
from pathlib import Path

import dask.array as da
import imageio.v3 as iio
import numpy as np
import pytest
import tifffile
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_mosam.core.images.grey.normalise import normalise
from napari_mosam.core.images.movie import Movie, MovieError

T, Y, X = 6, 24, 32
STACK = np.random.default_rng(0).integers(100, 4000, (T, Y, X)).astype(np.uint16)


class CountingArray:
    """Records what is asked for, and refuses anything that is not one cell of the array's leading axes."""

    def __init__(self, array):
        self.array, self.shape, self.dtype, self.reads = array, array.shape, array.dtype, []

    def __getitem__(self, index):
        self.reads.append(index)
        return self.array[index]

    def __array__(self, *args, **kwargs):
        raise AssertionError("the whole stack was read")


def write_ome_zarr(path, stack, axes, version):
    """An image pyramid of two levels by hand; level 1 is half the size, so that the wrong level shows."""
    kinds = {"t": "time", "c": "channel"}
    scales = [{"axes": [{"name": a, "type": kinds.get(a, "space")} for a in axes], "datasets": []}]
    group = zarr.open_group(path, mode="w", zarr_format=2 if version == "0.4" else 3)
    for level, pixels in enumerate((stack, stack[..., ::2, ::2])):
        chunks = (*(1,) * (stack.ndim - 2), *pixels.shape[-2:])
        array = group.create_array(f"s{level}", shape=pixels.shape, dtype=pixels.dtype, chunks=chunks)
        array[:] = pixels
        scales[0]["datasets"].append({"path": f"s{level}"})
    attrs = {"multiscales": scales, "version": version}
    group.attrs.update(attrs if version == "0.4" else {"ome": attrs})
    return path


def write_zarr(path, stack, zarr_format, **settings):
    array = zarr.create_array(
        path, shape=stack.shape, dtype=stack.dtype, chunks=(1, *stack.shape[1:]), zarr_format=zarr_format, **settings
    )
    array[:] = stack
    return array


def write_series(folder, suffix, stack, pattern="f{}"):
    folder.mkdir(exist_ok=True)
    for t, frame in enumerate(stack):
        path = folder / (pattern.format(t) + suffix)
        tifffile.imwrite(path, frame) if suffix == ".tif" else iio.imwrite(path, frame)
    return folder


def assert_is_stack(movie, stack=STACK):
    assert movie.shape == stack.shape
    assert len(movie) == movie.n_frames == len(stack)
    for t in range(len(stack)):
        np.testing.assert_array_equal(movie.raw(t), stack[t])
        assert movie[t].dtype == np.float32 and movie[t].shape == stack.shape[1:]
    assert movie.raw(0).dtype == stack.dtype == movie.dtype


# --- what a movie can be stored in --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "source",
    [
        STACK,
        STACK.astype(">u2").astype(np.uint16),
        da.from_array(STACK, chunks=(1, Y, X)),
        zarr.array(STACK, zarr_format=2),
        zarr.array(STACK, zarr_format=3),
    ],
    ids=["numpy", "numpy-swapped", "dask", "zarr2", "zarr3"],
)
def test_arrays(source):
    assert_is_stack(Movie.open(source))


def test_big_endian_pixels_become_native():
    movie = Movie.open(STACK.astype(">u2"))
    assert movie.raw(1).dtype == np.dtype(np.uint16)
    np.testing.assert_array_equal(movie.raw(1), STACK[1])


def test_a_movie_is_returned_as_it_is():
    movie = Movie.open(STACK)
    assert Movie.open(movie) is movie
    with pytest.raises(MovieError, match="fixed once a movie is open"):
        Movie.open(movie, channel=1)


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_zarr_on_disk_as_path_string_and_group(tmp_path, zarr_format):
    write_zarr(tmp_path / "m.zarr", STACK, zarr_format)
    assert_is_stack(Movie.open(tmp_path / "m.zarr"))
    group = zarr.open_group(tmp_path / "g.zarr", mode="w", zarr_format=zarr_format)
    group.create_array("only", data=STACK)
    assert_is_stack(Movie.open(str(tmp_path / "g.zarr")))
    assert_is_stack(Movie.open(group))
    assert_is_stack(Movie.open(tmp_path / "g.zarr" / "only"))


def test_zarr_group_with_several_arrays_lists_them_and_says_nothing_of_what_else_lies_there(tmp_path):
    group = zarr.open_group(tmp_path / "g.zarr", mode="w")
    group.create_array("labels", data=STACK)
    group.create_array("confidence", data=STACK)
    (tmp_path / "g.zarr" / "notes").mkdir()
    refused = pytest.raises(MovieError, match=r"holds: confidence, labels; give the path")
    with warnings.catch_warnings(action="error"), refused:
        Movie.open(tmp_path / "g.zarr")


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_ome_zarr_reads_level_zero_and_its_axes(tmp_path, version):
    path = write_ome_zarr(tmp_path / "m.ome.zarr", np.stack([STACK, STACK + 1])[:, :, None], "ctzyx", version)
    movie = Movie.open(path, channel=1)
    assert_is_stack(movie, STACK + 1)
    assert movie.source_axes == "CTZYX" and movie.source_shape == (2, T, 1, Y, X)
    assert "OME" in movie.describe()


def test_ome_zarr_inside_bioformats2raw_layout(tmp_path):
    root = zarr.open_group(tmp_path / "m.zarr", mode="w", zarr_format=2)
    root.attrs["bioformats2raw.layout"] = 3
    root.create_group("OME")
    write_ome_zarr(tmp_path / "m.zarr" / "0", STACK, "tyx", "0.4")
    assert_is_stack(Movie.open(tmp_path / "m.zarr"))


def test_named_zarr_dimensions_are_axes(tmp_path):
    write_zarr(tmp_path / "v3.zarr", STACK.transpose(1, 2, 0), 3, dimension_names=["y", "x", "time"])
    v2 = write_zarr(tmp_path / "v2.zarr", STACK.transpose(1, 2, 0), 2)
    v2.attrs["_ARRAY_DIMENSIONS"] = ["y", "x", "t"]
    assert_is_stack(Movie.open(tmp_path / "v3.zarr"))
    assert_is_stack(Movie.open(tmp_path / "v2.zarr"))


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"metadata": None},
        {"ome": True, "metadata": {"axes": "TYX"}},
        {"imagej": True, "metadata": {"axes": "TYX"}},
        {"compression": "zlib", "rowsperstrip": 5},
        {"bigtiff": True, "tile": (16, 16)},
    ],
    ids=["shaped", "plain", "ome", "imagej", "deflate", "tiled"],
)
def test_tiff_stack(tmp_path, settings):
    tifffile.imwrite(tmp_path / "m.tif", STACK, photometric="minisblack", **settings)
    assert_is_stack(Movie.open(tmp_path / "m.tif"))


@pytest.mark.parametrize("contiguous", [True, False])
def test_tiff_written_frame_by_frame(tmp_path, contiguous):
    with tifffile.TiffWriter(tmp_path / "m.tif") as tiff:
        for frame in STACK:
            tiff.write(frame, contiguous=contiguous)
    assert_is_stack(Movie.open(tmp_path / "m.tif"))


def test_the_largest_of_several_images_in_a_tiff_is_read_and_all_are_listed(tmp_path):
    with tifffile.TiffWriter(tmp_path / "m.ome.tif", ome=True) as tiff:
        tiff.write(STACK[:, ::2, ::2], metadata={"axes": "TYX", "Name": "preview"}, photometric="minisblack")
        tiff.write(STACK, metadata={"axes": "TYX", "Name": "Pos1"}, photometric="minisblack")
        tiff.write(STACK + 1, metadata={"axes": "TYX", "Name": "Pos2"}, photometric="minisblack")
    movie = Movie.open(tmp_path / "m.ome.tif")
    assert_is_stack(movie)
    assert "m.ome.tif holds 3 series, read is 1 Pos1 (6, 24, 32) TYX; --series chooses" in movie.choice()
    listed = ["0 preview (6, 12, 16) TYX", "1 Pos1 (6, 24, 32) TYX (read)", "2 Pos2 (6, 24, 32) TYX"]
    lines = movie.describe().splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith("series"))
    assert [line[8:] for line in lines[first : first + 3]] == listed
    assert_is_stack(Movie.open(tmp_path / "m.ome.tif", series=2), STACK + 1)
    assert Movie.open(tmp_path / "m.ome.tif", series=2).asked["series"] == 2
    for series in (3, -1):
        with pytest.raises(MovieError, match=rf"series={series} .*which has 3: 0 preview .*; 2 Pos2"):
            Movie.open(tmp_path / "m.ome.tif", series=series)
    with pytest.raises(MovieError, match="series=1 .*holds one image; leave it out"):
        Movie.open(STACK, series=1)


def test_single_page_tiff_has_one_frame(tmp_path):
    tifffile.imwrite(tmp_path / "m.tif", STACK[0])
    assert_is_stack(Movie.open(tmp_path / "m.tif"), STACK[:1])


@pytest.mark.parametrize("settings", [{"ome": True}, {"imagej": True}], ids=["ome", "imagej"])
def test_tiff_hyperstack_with_channel_and_plane(tmp_path, settings):
    hyper = np.arange(3 * 4 * 2 * 5 * 7, dtype=np.uint16).reshape(3, 4, 2, 5, 7)
    tifffile.imwrite(tmp_path / "m.tif", hyper, metadata={"axes": "TZCYX"}, **settings)
    assert_is_stack(Movie.open(tmp_path / "m.tif", channel=1, z=2), hyper[:, 2, 1])
    assert_is_stack(Movie.open(tmp_path / "m.tif", channel=0, z="max"), hyper[:, :, 0].max(1))


def test_tiff_is_opened_without_reading_it(tmp_path, monkeypatch):
    tifffile.imwrite(tmp_path / "m.tif", STACK, photometric="minisblack")
    read = []
    original = tifffile.FileHandle.read

    def spy(self, *args):
        read.append(original(self, *args))
        return read[-1]

    monkeypatch.setattr(tifffile.FileHandle, "read", spy)
    movie = Movie.open(tmp_path / "m.tif")
    assert max(len(part) for part in read) < STACK[0].nbytes
    read.clear()
    movie.raw(3)
    assert read == [STACK[3].tobytes()]


def test_tiff_handle_is_closed_with_the_movie(tmp_path):
    tifffile.imwrite(tmp_path / "m.tif", STACK, photometric="minisblack")
    movie = Movie.open(tmp_path / "m.tif")
    close = movie._source.pixels._close
    assert close.alive
    del movie
    assert not close.alive


@pytest.mark.parametrize("suffix", [".tif", ".png"])
def test_folder_and_pattern_in_natural_order(tmp_path, suffix):
    stack = np.arange(12 * 6 * 7, dtype=np.uint16).reshape(12, 6, 7)
    folder = write_series(tmp_path / "frames", suffix, stack)
    (folder / "notes.txt").write_text("not an image")
    (folder / f"._f0{suffix}").write_text("left by a Mac")
    assert_is_stack(Movie.open(folder), stack)
    assert_is_stack(Movie.open(str(folder / f"f1*{suffix}")), stack[[1, 10, 11]])


def test_folder_of_jpegs_and_single_image(tmp_path):
    folder = write_series(tmp_path / "frames", ".jpg", np.full((3, 16, 16), 77, np.uint8))
    movie = Movie.open(folder)
    assert movie.shape == (3, 16, 16) and abs(int(movie.raw(2)[8, 8]) - 77) <= 2
    assert Movie.open(folder / "f0.jpg").shape == (1, 16, 16)


def test_series_reads_one_file_per_frame(tmp_path, monkeypatch):
    movie = Movie.open(write_series(tmp_path / "frames", ".tif", STACK), limits=(0, 4000))
    opened = []
    original = tifffile.TiffFile
    monkeypatch.setattr(tifffile, "TiffFile", lambda path, **k: opened.append(Path(path).name) or original(path, **k))
    movie[4]
    assert opened == ["f4.tif"]


def test_series_of_stacks_needs_axes_only_when_unclear(tmp_path):
    hyper = np.arange(2 * 3 * 8 * 9, dtype=np.uint16).reshape(2, 3, 8, 9)
    folder = tmp_path / "frames"
    folder.mkdir()
    for t, planes in enumerate(hyper):
        tifffile.imwrite(folder / f"{t}.tif", planes, photometric="minisblack")
    with pytest.raises(MovieError, match="say what each axis"):
        Movie.open(folder)
    assert_is_stack(Movie.open(folder, axes="TZYX", z=1), hyper[:, 1])


# --- axes, channels, planes ---------------------------------------------------------------------------------

HYPER = np.random.default_rng(1).integers(0, 999, (3, 4, 2, 8, 9)).astype(np.int16)  # T Z C Y X


@pytest.mark.parametrize("axes", ["TZCYX", "CTZYX", "ZYXCT", "TCZXY", "yxtzc"])
def test_any_order_of_axes(axes):
    array = HYPER.transpose(["TZCYX".index(a) for a in axes.upper()])
    assert_is_stack(Movie.open(array, axes=axes, channel=1, z=3), HYPER[:, 3, 1])
    assert_is_stack(Movie.open(array, axes=axes, channel=1, z="max"), HYPER[:, :, 1].max(1))


@pytest.mark.parametrize("ome_axes", ["TCYX", "CTYX", "TZYX", "ZYX"])
def test_axes_found_in_a_file_are_used_and_overruled(tmp_path, ome_axes):
    array = np.arange(3 * 2 * 8 * 9, dtype=np.uint16).reshape(3, 2, 8, 9)[: 3 if len(ome_axes) == 4 else 1]
    array = array if len(ome_axes) == 4 else array[0]
    tifffile.imwrite(tmp_path / "m.ome.tif", array, ome=True, metadata={"axes": ome_axes})
    n = array.shape[ome_axes.index("T")] if "T" in ome_axes else 1
    choice = {"channel": 0} if "C" in ome_axes else {"z": 0}
    assert Movie.open(tmp_path / "m.ome.tif", **choice).shape == (n, 8, 9)
    if ome_axes == "ZYX":
        assert_is_stack(Movie.open(tmp_path / "m.ome.tif", axes="TYX"), array)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((8, 9), (1, 8, 9)),
        ((5, 8, 9), (5, 8, 9)),
        ((1, 8, 9), (1, 8, 9)),
        ((5, 1, 8, 9), (5, 8, 9)),
        ((1, 5, 1, 8, 9), (5, 8, 9)),
        ((1, 1, 8, 9), (1, 8, 9)),
        ((8, 9, 3), (1, 8, 9)),
        ((5, 8, 9, 4), (5, 8, 9)),
    ],
)
def test_axes_are_guessed_from_the_shape(shape, expected):
    movie = Movie.open(np.zeros(shape, np.uint8))
    assert movie.shape == expected and movie.raw(0).shape == expected[1:]


def test_given_axes_may_leave_out_axes_of_length_one():
    assert_is_stack(Movie.open(STACK[:, None, None], axes="TYX"))
    assert_is_stack(Movie.open(STACK[:, None], axes="TCYX", channel=0, z=0))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_colours_become_luminance_and_alpha_is_ignored(dtype):
    rgba = np.zeros((2, 4, 5, 4), dtype)
    rgba[..., :3] = (200, 100, 50)
    rgba[1, ..., 3] = 255
    expected = 0.299 * 200 + 0.587 * 100 + 0.114 * 50
    movie = Movie.open(rgba)
    assert movie.raw(0).dtype == dtype
    assert np.abs(movie.raw(0).astype(float) - expected).max() <= 0.5
    np.testing.assert_array_equal(movie.raw(0), movie.raw(1))
    assert "luminance" in movie.describe()
    np.testing.assert_array_equal(Movie.open(rgba, channel=1).raw(0), rgba[0, ..., 1])


def test_colour_image_files(tmp_path):
    rgb = np.random.default_rng(2).integers(0, 255, (2, 6, 7, 3)).astype(np.uint8)
    grey = np.rint(rgb @ [0.299, 0.587, 0.114]).astype(np.uint8)
    assert_is_stack(Movie.open(write_series(tmp_path / "png", ".png", rgb)), grey)
    assert_is_stack(Movie.open(tmp_path / "png" / "f0.png", axes="YXS"), grey[:1])
    tifffile.imwrite(tmp_path / "rgb.tif", rgb, photometric="rgb")
    assert_is_stack(Movie.open(tmp_path / "rgb.tif"), grey)


def test_tiff_of_three_frames_that_is_labelled_rgb_is_not_taken_for_one_colour_image(tmp_path):
    tifffile.imwrite(tmp_path / "m.tif", STACK[:3], photometric="rgb", planarconfig="separate")
    with pytest.raises(MovieError, match=r"3 channels .* if they are time points, pass axes='TYX'"):
        Movie.open(tmp_path / "m.tif")
    assert_is_stack(Movie.open(tmp_path / "m.tif", axes="TYX"), STACK[:3])
    assert Movie.open(tmp_path / "m.tif", axes="SYX").n_frames == 1


# --- one frame at a time ------------------------------------------------------------------------------------


def test_a_frame_reads_that_frame_only():
    array = CountingArray(HYPER)
    movie = Movie.open(array, axes="TZCYX", channel=1, z=2, limits=(0, 999))
    assert not array.reads
    movie[2]
    assert array.reads == [(2, 2, 1, slice(0, 8), slice(0, 9))]


def test_limits_are_sampled_once_from_at_most_sixty_four_frames():
    array = CountingArray(np.zeros((500, 8, 9), np.uint8))
    movie = Movie.open(array)
    frames = [movie[t] for t in (0, 499)]
    assert len(frames) == 2
    sampled = [index[0] for index in array.reads]
    assert len(sampled) == len(set(sampled)) == 64
    assert {0, 499} <= set(sampled)
    assert movie[7] is not movie[7]
    assert array.reads[-1][0] == 7 and len(array.reads) == 64 + 1


def test_dask_computes_one_chunk():
    computed = []

    def block(block_info=None):
        computed.append(block_info[None]["chunk-location"][0])
        return np.zeros((1, 8, 9), np.float32)

    lazy = da.map_blocks(block, chunks=((1,) * 5, (8,), (9,)), dtype=np.float32, meta=np.empty((0, 0, 0), np.float32))
    movie = Movie.open(lazy, limits=(0, 1))
    movie[3]
    assert computed == [3]
    assert "(1, 8, 9)" in movie.describe()


@pytest.mark.parametrize("t", [-1, T, np.int64(-1), 10**9])
def test_index_outside_the_movie(t):
    with pytest.raises(IndexError, match=f"has frames 0 to {T - 1}"):
        Movie.open(STACK)[t]


def test_numpy_indices_and_iteration():
    movie = Movie.open(STACK)
    np.testing.assert_array_equal(movie[np.int64(2)], movie[2])
    assert len(list(movie)) == T
    with pytest.raises(TypeError, match="'slice' object cannot be interpreted as an integer"):
        movie[0:2]


# --- normalisation ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint16, np.int16, np.uint32, np.int64, np.float16, "f4", "f8"])
def test_every_dtype_spans_zero_to_one(dtype):
    low = 0 if np.dtype(dtype).kind == "u" else -100
    ramp = np.linspace(low, 100, T * Y * X).reshape(T, Y, X).astype(dtype)
    movie = Movie.open(ramp)
    assert movie[0].min() == 0 and movie[T - 1].max() == 1
    assert np.all(np.diff([movie[t].mean() for t in range(T)]) > 0)


def test_bool_movie_is_zero_and_one():
    mask = np.zeros((2, 8, 8), bool)
    mask[1, 0, 0] = True
    movie = Movie.open(mask)
    assert movie.limits == (0, 1) and movie[1].sum() == 1 and movie[0].sum() == 0
    assert Movie.open(np.stack([mask, mask], 1), axes="TZYX", z="max")[1].sum() == 1


def test_twelve_bit_pixels_in_sixteen_bits_use_the_whole_range():
    movie = Movie.open(STACK)
    low, high = movie.limits
    assert 100 <= low < 200 and 3900 < high < 4000
    assert movie[0].std() > 0.25


def test_all_frames_share_their_limits():
    bleaching = np.stack([np.full((Y, X), 1000 // (t + 1), np.uint16) for t in range(T)])
    movie = Movie.open(bleaching)
    means = [movie[t].mean() for t in range(T)]
    assert means == sorted(means, reverse=True) and means[0] == 1 and means[-1] == 0
    np.testing.assert_allclose(means[1], (500 - 166) / (1000 - 166), atol=1e-6)


def test_nan_and_infinity():
    stack = STACK.astype(np.float64)
    stack[2, 0, :3] = np.nan, np.inf, -np.inf
    stack[3] = np.nan
    movie = Movie.open(stack)
    assert np.isfinite(movie.limits).all()
    np.testing.assert_array_equal(movie[2][0, :3], [0, 1, 0])
    assert not movie[3].any()
    assert Movie.open(np.full((2, 4, 4), np.nan)).limits == (0, 0)


def test_maximum_over_planes_ignores_nan():
    stack = np.array([[np.nan, 1.0], [2.0, np.nan]], np.float32).reshape(1, 2, 1, 2)
    np.testing.assert_array_equal(Movie.open(stack, axes="TZYX", z="max").raw(0), [[2, 1]])


@pytest.mark.parametrize("value", [0, 7, -3.5])
def test_constant_movie_is_zero(value):
    movie = Movie.open(np.full((2, 4, 5), value))
    assert movie.limits == (value, value) and not movie[1].any()


def test_few_bright_pixels_are_not_lost():
    stack = np.zeros((3, 64, 64), np.uint8)
    stack[:, 30, 30] = 200
    assert Movie.open(stack)[0][30, 30] == 1


@pytest.mark.parametrize("limits", [(0, 8000), [0, 8000], np.array([0, 8000])])
def test_limits_can_be_given(limits):
    movie = Movie.open(STACK, limits=limits)
    assert movie.limits == (0, 8000) and movie.grey_limits.origin == "given"
    np.testing.assert_allclose(movie[1], STACK[1] / 8000, atol=1e-6)


@pytest.mark.parametrize("limits", [(5, 5), (9, 2), (0, np.nan), (0, np.inf), (1, 2, 3), "ab", 4])
def test_impossible_limits(limits):
    with pytest.raises(MovieError, match=r"two .*numbers"):
        Movie.open(STACK, limits=limits)


def test_a_frame_may_be_changed_without_changing_the_movie():
    stack = STACK.astype(np.float32) / 4000
    movie = Movie.open(stack, limits=(0, 1))
    before = stack.copy()
    movie[0][:] = 9
    np.testing.assert_array_equal(stack, before)


DTYPES = st.sampled_from([np.bool_, np.uint8, np.uint16, np.int16, np.int64, np.float16, np.float32, np.float64])


@settings(max_examples=150, deadline=None)
@given(stack=DTYPES.flatmap(lambda d: hnp.arrays(d, hnp.array_shapes(min_dims=3, max_dims=3, max_side=5))))
def test_frames_are_finite_and_bounded_whatever_the_pixels(stack):
    movie = Movie.open(stack, axes="TYX")
    for frame in movie:
        assert frame.dtype == np.float32 and np.isfinite(frame).all()
        assert frame.min() >= 0 and frame.max() <= 1


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6), st.floats(0, 1))
def test_normalisation_maps_the_limits_to_zero_and_one(low, span, between):
    frame = np.array([[low, low + between * span, low + span]])
    np.testing.assert_allclose(normalise(frame, (low, low + span)), [[0, between, 1]], atol=1e-5)


# --- errors say what to do ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("array", "options", "message"),
    [
        (np.zeros((3, 2, 8, 9)), {}, r"shape \(3, 2, 8, 9\).*--axes.*'TCYX' or 'TZYX'"),
        (np.zeros(5), {}, r"shape \(5,\)"),
        (np.zeros((0, 8, 9)), {}, "is empty"),
        (np.zeros((3, 8, 0)), {}, "is empty"),
        (np.zeros((3, 8, 9), complex), {}, "complex128; allowed: bool, integer or real"),
        (np.zeros((3, 8, 9), object), {}, "object; allowed"),
        (np.zeros((3, 8, 9), "U3"), {}, "allowed: bool, integer or real"),
        (HYPER, {"axes": "TZCYX", "z": 0}, r"2 channels.*--channel\), 0 to 1"),
        (HYPER, {"axes": "TZCYX", "channel": 0}, r"4 z planes.*--z\), 0 to 3 or 'max'"),
        (HYPER, {"axes": "TZCYX", "channel": 2, "z": 0}, r"channel=2 .*allowed: 0 to 1"),
        (HYPER, {"axes": "TZCYX", "channel": -1, "z": 0}, r"channel=-1 .*allowed: 0 to 1"),
        (HYPER, {"axes": "TZCYX", "channel": 1, "z": 4}, r"z=4 .*allowed: 0 to 3 or 'max'"),
        (HYPER, {"axes": "TZCYX", "channel": 1, "z": "mean"}, "z='mean'.*'max'"),
        (HYPER, {"axes": "TZCYX", "channel": 0.5, "z": 0}, "channel=0.5.*whole number"),
        (HYPER, {"axes": "TZC"}, "with Y and X"),
        (HYPER, {"axes": "TTCYX"}, "at most once"),
        (HYPER, {"axes": "TYX"}, r"names 3 axes, but .* has 5: shape \(3, 4, 2, 8, 9\)"),
        (HYPER, {"axes": "TZQYX"}, "letters T Z C Y X S"),
        (STACK, {"channel": 1}, "channel=1 .* has 1 channel"),
        (STACK, {"z": 3}, "z=3 .* has 1 z plane"),
        (STACK[:3, None], {"axes": "ZTYX"}, r"3 z planes"),
        (STACK, {"axes": "CYX"}, "if they are time points, pass axes='TYX'"),
        (np.zeros((2, 8, 9, 5)), {"axes": "TYXS"}, "5 channels"),
        ([STACK], {}, "from a list; allowed: an array"),
        (None, {}, "from a NoneType; allowed"),
    ],
)
def test_bad_arrays_and_choices(array, options, message):
    with pytest.raises(MovieError, match=message) as caught:
        Movie.open(array, **options)
    assert "\n" not in str(caught.value)


def test_dask_array_of_unknown_size():
    lazy = da.from_array(STACK, chunks=(1, Y, X))
    with pytest.raises(MovieError, match="compute_chunk_sizes"):
        Movie.open(lazy[lazy.max(axis=(1, 2)) > 0])


def test_missing_and_unknown_paths(tmp_path):
    for suffix in ("avi", "oib", "abc"):
        (tmp_path / f"movie.{suffix}").write_bytes(b"RIFF")
    (tmp_path / "plain").write_bytes(b"RIFF")
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.zarr").mkdir()
    for name, message in {
        "nothing.tif": "does not exist.*a TIFF file, a zarr",
        "movie.avi": r"movie\.avi cannot be opened",
        "movie.oib": r"an Olympus or Evident file .* save it as OME-TIFF",
        "movie.abc": r"cannot be read \(\.abc\); allowed: a TIFF",
        "plain": "no suffix",
        "empty": "holds no image; allowed: files ending in .*.tif",
        "*.tif": "holds no image",
        "broken.zarr": "not a zarr store",
    }.items():
        with pytest.raises(MovieError, match=message):
            Movie.open(tmp_path / name)


def test_mixed_and_unequal_image_folders(tmp_path):
    folder = write_series(tmp_path / "frames", ".png", STACK[:3])
    tifffile.imwrite(folder / "f4.tif", STACK[0])
    with pytest.raises(MovieError, match=r"mixes kinds of files \(.png, .tif\)"):
        Movie.open(folder)
    iio.imwrite(folder / "f1.png", STACK[1, :10])
    movie = Movie.open(folder / "*.png", limits=(0, 1))
    with pytest.raises(MovieError, match=r"f1.png has shape \(10, 32\).*must be alike"):
        movie[1]


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"compression": "zlib"},
        {"metadata": None},
        {"metadata": None, "compression": "zlib"},
        {"ome": True},
        {"ome": True, "compression": "zlib"},
        {"imagej": True, "metadata": {"axes": "TYX"}},
    ],
    ids=str,
)
def test_of_a_truncated_tiff_the_whole_frames_are_read_or_it_is_refused(tmp_path, settings):
    """Never a frame of other pixels; and what is left out is told."""
    path, n_read = tmp_path / "m.tif", set()
    tifffile.imwrite(path, STACK, photometric="minisblack", **settings)
    whole = path.read_bytes()
    for kept in np.linspace(0, 0.999, 40):
        path.write_bytes(whole[: int(len(whole) * kept)])
        try:
            movie = Movie.open(path)
        except MovieError as error:
            assert "m.tif" in str(error) and "is the file complete?" in str(error)
            continue
        assert_is_stack(movie, STACK[: len(movie)])
        n_read.add(len(movie))
        if len(movie) < T:
            told = f"m.tif promises 6 frames and holds {len(movie)}: frame"
            assert told in movie.absence() or "the list of images in m.tif breaks off" in movie.absence()
    assert n_read - {T} == (set() if "ome" in settings else {1} if settings == {"metadata": None} else {1, 2, 3, 4, 5})


def test_truncated_png_is_refused(tmp_path):
    folder = write_series(tmp_path / "frames", ".png", STACK[:3])
    os.truncate(folder / "f1.png", 200)
    movie = Movie.open(folder, limits=(0, 1))
    movie[0]
    with pytest.raises(MovieError, match=r"frame 1 of .*is the file complete.*--skip-bad-frames"):
        movie[1]
    os.truncate(folder / "f0.png", 200)
    assert_is_stack(Movie.open(folder / "f2.png"), STACK[2:3])
    with pytest.raises(MovieError, match=r"frame 0 of .*is the file complete"):
        Movie.open(folder, limits=(0, 1))[0]
    os.truncate(folder / "f2.png", 200)
    with pytest.raises(MovieError, match=r"f0.png cannot be read"):
        Movie.open(folder)


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_damaged_zarr_chunk_is_refused(tmp_path, zarr_format):
    write_zarr(tmp_path / "m.zarr", STACK, zarr_format)
    chunk = tmp_path / "m.zarr" / ("2.0.0" if zarr_format == 2 else "c/2/0/0")
    chunk.write_bytes(chunk.read_bytes()[:20])
    movie = Movie.open(tmp_path / "m.zarr", limits=(0, 1))
    movie[1]
    with pytest.raises(MovieError, match=r"frame 2 of m.zarr cannot be read"):
        movie[2]


def test_unreadable_ome_metadata_is_refused(tmp_path):
    group = zarr.open_group(tmp_path / "m.zarr", mode="w")
    group.attrs["ome"] = {"multiscales": [{"axes": []}]}
    with pytest.raises(MovieError, match=r"m.zarr cannot be opened: .*datasets"):
        Movie.open(tmp_path / "m.zarr")


def test_a_chunk_that_cannot_be_computed_is_a_bad_frame_with_the_error_said():
    def broken(block, block_info=None):
        if block_info[None]["chunk-location"][0] == 1:
            raise ZeroDivisionError("mine")
        return block

    lazy = da.zeros((2, 4, 4), chunks=(1, 4, 4)).map_blocks(broken, dtype=float, meta=np.empty((0, 0, 0)))
    movie = Movie.open(lazy, limits=(0, 1))
    assert not movie[0].any()
    with pytest.raises(
        MovieError, match=r"frame 1 of dask array cannot be read: mine \(the array raised it\)"
    ) as found:
        movie[1]
    assert isinstance(found.value.__cause__, ZeroDivisionError)


def test_description_is_short_and_aligned(tmp_path):
    tifffile.imwrite(tmp_path / "m.tif", HYPER.astype(np.uint16), imagej=True, metadata={"axes": "TZCYX"})
    lines = Movie.open(tmp_path / "m.tif", channel=1, z="max").describe().splitlines()
    assert [line.split()[0] for line in lines] == [*("name", "source", "movie", "dtype", "limits", "frame", "chunks")]
    assert all(line[7] == " " and line[8] != " " for line in lines)
    assert "axes TZCYX" in lines[1] and "3 frames, 2 channels (using 1), 4 z planes (their maximum)" in lines[2]


# --- real movies --------------------------------------------------------------------------------------------


def test_real_ome_tiff_stored_channel_first():
    samples = pytest.importorskip("ndev_sampledata")
    path = Path(samples.__file__).parent / "samples" / "scratch-assay-labeled-10T-2Ch.tiff"
    with pytest.raises(MovieError, match=r"4 channels.*0 to 3"):
        Movie.open(path)
    movie = Movie.open(path, channel=1)
    assert movie.source_axes == "CTYX" and movie.shape == (10, 210, 576)
    np.testing.assert_array_equal(movie.raw(7), tifffile.imread(path)[1, 7])
    assert movie[7].std() > 0.05


@pytest.mark.skipif(not os.environ.get("MOSAM_DATA"), reason="MOSAM_DATA is not set")
def test_real_movies():
    paths = sorted(Path(os.environ["MOSAM_DATA"]).glob("timelapse/*/images.tif"))
    assert paths
    for path in paths:
        movie = Movie.open(path)
        frame = movie[movie.n_frames - 1]
        assert movie.n_frames > 1 and frame.shape == movie.frame_shape
        assert frame.min() >= 0 and frame.max() <= 1 and frame.std() > 0.01


# ---- frames that are not there


@pytest.mark.parametrize(("version", "options"), [(3, {}), (2, {}), (3, {"shards": (2, 6, 8)})])
def test_frames_of_which_nothing_is_on_the_disk_are_named(tmp_path, version, options):
    data = np.ones((6, 6, 8), np.uint16)
    data[2:4] = 0
    data[5, :3] = 0
    chunks = (1, 3, 8) if options else (2, 3, 8)
    array = zarr.create_array(
        tmp_path / "m.zarr", shape=data.shape, chunks=chunks, dtype="uint16", zarr_format=version, **options
    )
    array[:] = data
    movie = Movie.open(tmp_path / "m.zarr", axes="TYX")
    assert movie.absent_frames == (2, 3)
    assert "absent  frames 2, 3 of m.zarr have no data on the disk" in movie.describe()
    assert Movie.open(data).absence() == ""
