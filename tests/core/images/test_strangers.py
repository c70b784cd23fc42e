"""Files of strangers: no code in them runs, no address in them is opened, and nothing that does not fit is read."""

import json
import math
import os
import pickle
import shutil
import socket
from pathlib import Path
from types import SimpleNamespace

import numcodecs
import numpy as np
import psutil
import pytest
import tifffile
import zarr
from PIL import Image
from tests.support.damage import seal

from napari_mosam.cli import main as cli
from napari_mosam.core.api import track
from napari_mosam.core.config.checks import Refused, refuse_address, require_room
from napari_mosam.core.export.ctc import export_ctc
from napari_mosam.core.images.label_images.label_files import open_labels
from napari_mosam.core.images.label_images.labels import LabelError
from napari_mosam.core.images.movie import Movie, MovieError
from napari_mosam.core.prompts.collection import PointPrompt, PromptError
from napari_mosam.core.prompts.files import load_prompts
from napari_mosam.core.simulation import disk_moves
from napari_mosam.core.store.result import Result

SHAPE = (2, 8, 8)
STACK = np.arange(128, dtype=np.uint8).reshape(SHAPE)
HUGE = 3_000_000
"""Side of a frame that no computer has room for."""


def fails(capsys, *arguments):
    """The one line that a command ends with; its exit code is 2."""
    try:
        code = cli.main([str(a) for a in arguments])
    except SystemExit as stop:  # what argparse does
        code = stop.code
    message = capsys.readouterr().err
    assert (code, message.count("\n")) == (2, 1), message
    return message


@pytest.fixture
def job(tmp_path):
    """A tiny movie with prompts, on disk."""
    truth = disk_moves()
    tifffile.imwrite(tmp_path / "movie.tif", truth.images, photometric="minisblack", metadata={"axes": "TYX"})
    tifffile.imwrite(tmp_path / "prompts.tif", truth.labels[0])
    return SimpleNamespace(movie=tmp_path / "movie.tif", prompts=tmp_path / "prompts.tif", shape=truth.images.shape)


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    """A result of one frame."""
    out, prompts = tmp_path_factory.mktemp("made") / "r.zarr", [PointPrompt(1, 0, (48.0, 30.0))]
    return track(disk_moves().images, prompts, out=out, frames=(0, 1), direction="forward").path


# ---- code in chunks


class Trap:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder):
        self.folder = str(folder)

    def __reduce__(self):
        return os.mkdir, (self.folder,)


@pytest.fixture
def trap(tmp_path, monkeypatch):
    """The folder that a hostile chunk would make; numcodecs' own refusal is switched off."""
    monkeypatch.setattr(numcodecs.pickles, "ALLOW_UNSAFE_PICKLE_DECODE", True, raising=False)
    return tmp_path / "trap"


PICKLE, TEXT = {"id": "pickle"}, {"id": "vlen-utf8"}
BYTES, V3_PICKLE = {"name": "bytes", "configuration": {"endian": "little"}}, {"name": "numcodecs.pickle"}
SHARD = {
    "name": "sharding_indexed",
    "configuration": {"chunk_shape": [1, 8, 8], "codecs": [BYTES, V3_PICKLE], "index_codecs": [BYTES]},
}
HOSTILE = {
    "compressor": ("|u1", PICKLE, None),
    "filter": ("|u1", None, [PICKLE]),
    "second filter": ("|u1", None, [{"id": "delta", "dtype": "|u1"}, PICKLE]),
    "behind text": ("|O", PICKLE, [TEXT]),  # which zarr 3.1 lets through
    "v3": [BYTES, V3_PICKLE],
    "v3, plain name": [BYTES, "pickle"],
    "v3, in a shard": [SHARD],
}


def write_hostile(folder, kind, trap, shape=SHAPE):
    """A zarr array whose chunks are pickles that would make the folder `trap`."""
    folder.mkdir(parents=True)
    given, chunk = HOSTILE[kind], (1, *shape[1:])
    keys = [".".join([str(t), *"0" * (len(shape) - 1)]) for t in range(shape[0])]
    if isinstance(given, tuple):
        dtype, compressor, filters = given
        layout = {"shape": shape, "chunks": chunk, "dtype": dtype, "fill_value": 0, "order": "C", "zarr_format": 2}
        (folder / ".zarray").write_text(json.dumps(layout | {"compressor": compressor, "filters": filters}))
    else:
        layout = {"shape": shape, "data_type": "uint8", "fill_value": 0, "attributes": {}, "node_type": "array"}
        grid = {"name": "regular", "configuration": {"chunk_shape": chunk}}
        keyed = {"name": "v2", "configuration": {"separator": "."}}
        layout |= {"zarr_format": 3, "chunk_grid": grid, "chunk_key_encoding": keyed, "codecs": given}
        (folder / "zarr.json").write_text(json.dumps(layout))
    for key in keys:
        (folder / key).write_bytes(pickle.dumps(Trap(trap)))
    return folder


def test_the_trap_is_a_trap(tmp_path, trap):
    path = write_hostile(tmp_path / "a.zarr", "compressor", trap)
    numcodecs.get_codec(PICKLE).decode((path / "0.0.0").read_bytes())
    assert trap.is_dir()


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_movie_cannot_run_code(tmp_path, trap, capsys, kind):
    path = write_hostile(tmp_path / "a.zarr", kind, trap)
    said = fails(capsys, "info", path)
    assert "a.zarr is stored with the codec 'pickle', which runs any program" in said
    assert "have it saved again" in said
    assert not trap.exists()


@pytest.mark.parametrize("kind", HOSTILE)
def test_nor_can_the_image_in_an_ome_zarr(tmp_path, trap, kind):
    version = 2 if isinstance(HOSTILE[kind], tuple) else 3
    group = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=version)
    scales = [{"axes": [{"name": a} for a in "tyx"], "datasets": [{"path": "deep/er"}]}]
    group.attrs.update({"multiscales": scales} if version == 2 else {"ome": {"multiscales": scales}})
    group.create_group("deep")
    write_hostile(tmp_path / "a.zarr/deep/er", kind, trap)
    with pytest.raises(MovieError, match="is stored with the codec"):
        Movie.open(tmp_path / "a.zarr").raw(0)
    assert not trap.exists()


def test_metadata_that_were_gathered_hide_nothing(tmp_path, trap):
    """zarr prefers a copy of all metadata at the root, where there is one, to those that lie beside the chunks."""
    group = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=2)
    group.create_array("0", shape=SHAPE, dtype="u1", chunks=(1, 8, 8), compressors=None)
    plain = json.loads((tmp_path / "a.zarr/0/.zarray").read_text())
    hostile = plain | {"dtype": "|O", "compressor": PICKLE, "filters": [TEXT]}
    gathered = {"zarr_consolidated_format": 1, "metadata": {".zgroup": {"zarr_format": 2}, "0/.zarray": hostile}}
    (tmp_path / "a.zarr/.zmetadata").write_text(json.dumps(gathered))
    for t in range(2):
        (tmp_path / f"a.zarr/0/{t}.0.0").write_bytes(pickle.dumps(Trap(trap)))
    assert Movie.open(tmp_path / "a.zarr").dtype == np.uint8
    with pytest.raises(MovieError, match="cannot be read"):
        Movie.open(tmp_path / "a.zarr").raw(0)
    assert not trap.exists()


def test_nor_can_an_array_that_python_opened(tmp_path, trap):
    write_hostile(tmp_path / "a.zarr/0", "behind text", trap)
    (tmp_path / "a.zarr/.zgroup").write_text('{"zarr_format": 2}')
    for opened in (zarr.open(tmp_path / "a.zarr/0", mode="r"), zarr.open_group(tmp_path / "a.zarr", mode="r")):
        with pytest.raises(MovieError, match="is stored with the codec"):
            Movie.open(opened).raw(0)
    assert not trap.exists()


@pytest.mark.parametrize("kind", ["compressor", "behind text", "v3"])
def test_nor_can_prompts_or_their_masks(tmp_path, trap, job, capsys, kind):
    path = write_hostile(tmp_path / "p.zarr", kind, trap, job.shape)
    assert "stored with the codec" in fails(capsys, "track", job.movie, "-p", path, "-o", tmp_path / "o.zarr")
    (tmp_path / "p.json").write_text('[{"object": 1, "frame": 0, "mask": "p.zarr"}]')
    said = fails(capsys, "track", job.movie, "-p", tmp_path / "p.json", "-o", tmp_path / "o.zarr")
    assert "record 1: " in said and "p.zarr is stored with the codec" in said
    assert not trap.exists()


@pytest.mark.parametrize("kind", ["v3", "v3, in a shard"])
@pytest.mark.parametrize("array", ["0", "table/object_ids", "table/values", "records/logits"])
def test_nor_can_a_result(tmp_path, trap, job, result, capsys, kind, array):
    out = shutil.copytree(result, tmp_path / "r.zarr")
    shape = tuple(zarr.open_array(out / array, mode="r").shape)
    os.rename(out / array, tmp_path / "before")
    write_hostile(out / array, kind, trap, shape)
    assert "is not what was written" in fails(capsys, "explain", out, "--object", 1)
    seal(out)
    if array in ("0", "table/object_ids"):
        assert "stored with the codec" in fails(capsys, "evaluate", out, job.prompts)
    assert "stored with the codec" in fails(capsys, "explain", out, "--object", 1)
    assert not trap.exists()


def test_nor_can_a_numpy_file_or_a_picture(tmp_path, trap):
    np.save(tmp_path / "p.npy", np.array([[Trap(trap)]], object), allow_pickle=True)
    with pytest.raises(PromptError, match="p.npy holds Python objects, .*the _seg.npy files of Cellpose"):
        load_prompts(tmp_path / "p.npy", (1, 1, 1))
    postscript = f"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n({trap}) (w) file closefile\nshowpage\n%%EOF\n"
    (tmp_path / "p.png").write_text(postscript)
    assert Image.open(tmp_path / "p.png").format == "EPS"
    for read in (Movie.open, lambda path: load_prompts(path, (1, 8, 8))):
        with pytest.raises(ValueError, match="cannot identify image file"):
            read(tmp_path / "p.png")
    assert not trap.exists()


@pytest.mark.parametrize(
    "options",
    [
        {"zarr_format": 2, "compressors": numcodecs.Blosc(), "filters": [numcodecs.Delta("u1")]},
        *(
            {"zarr_format": 2, "compressors": c()}
            for c in (numcodecs.LZ4, numcodecs.Zlib, numcodecs.BZ2, numcodecs.LZMA)
        ),
        {"zarr_format": 2, "compressors": numcodecs.Zstd(), "filters": [numcodecs.Shuffle(1)]},
        {"zarr_format": 2, "compressors": numcodecs.GZip(), "filters": [numcodecs.FixedScaleOffset(0, 1, "u1")]},
        {"compressors": zarr.codecs.BloscCodec()},
        {"compressors": [zarr.codecs.GzipCodec(), zarr.codecs.Crc32cCodec()]},
        {"compressors": zarr.codecs.ZstdCodec(), "shards": (2, 8, 8)},
        {"filters": zarr.codecs.TransposeCodec(order=(0, 2, 1))},
    ],
)
def test_the_codecs_of_images_are_read(tmp_path, options):
    array = zarr.create_array(tmp_path / "a.zarr", shape=SHAPE, dtype="u1", chunks=(1, 8, 8), **options)
    array[:] = STACK
    for given in (tmp_path / "a.zarr", array):
        assert np.array_equal(Movie.open(given).raw(1), STACK[1])


@pytest.mark.parametrize(
    "metadata", ["[" * 10_000, '{"a":' * 10_000, '{"zarr_format": 3', "\ud800", "5", '{"filters": 5}']
)
@pytest.mark.parametrize("name", ["zarr.json", ".zarray"])
def test_metadata_that_are_none_are_refused(tmp_path, capsys, metadata, name):
    (tmp_path / "a.zarr").mkdir()
    (tmp_path / "a.zarr" / name).write_bytes(metadata.encode(errors="surrogatepass"))
    assert "a.zarr" in fails(capsys, "info", tmp_path / "a.zarr")


# ---- addresses


@pytest.fixture
def offline(monkeypatch):
    """Fails the test that opens a connection or looks up a name, even if nobody hears of it."""
    opened = []

    def caught(*given, **_):
        opened.append(given)
        raise OSError("no connections here")

    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, caught)
    for name in ("create_connection", "getaddrinfo", "gethostbyname"):
        monkeypatch.setattr(socket, name, caught)
    yield
    assert opened == []


ADDRESSES = [
    "http://127.0.0.1:9/a.zarr",
    "https://example.org/a.tif",
    "s3://bucket/a.zarr",
    "file:///etc/a.tif",
    "github://owner:repo@main/a.png",
    "simplecache::http://127.0.0.1:9/a.zarr",
    "zip://a.zarr::https://example.org/a.zip",
    "memory://a.zarr",
]


@pytest.mark.parametrize("address", ADDRESSES)
def test_no_command_opens_an_address(offline, job, tmp_path, monkeypatch, capsys, address):
    monkeypatch.chdir(tmp_path)
    track_it = ["track", job.movie, "-p", job.prompts, "-o", "o.zarr"]
    commands = [
        ["info", address],
        ["track", address, *track_it[2:]],
        [*track_it[:3], address, *track_it[4:]],
        [*track_it[:5], address],
        [*track_it, "--config", address],
        [*track_it, "--export-ctc", address],
        [*track_it, "--overlay", address],
        [*track_it, "--model", f"{address}/nano.pt"],
        [*track_it, "--model", "mine.pt", "--model-config", address],
        ["evaluate", address, job.prompts],
        ["evaluate", job.prompts, address],
        ["evaluate", job.prompts, job.prompts, "--csv", address],
        ["evaluate", job.prompts, job.prompts, "--json", address],
        ["explain", address, "--object", 1],
        ["explain", "o.zarr", "--object", 1, "--plot", address],
    ]
    for command in commands:
        assert "' is an address, but " in fails(capsys, *command), command
    assert sorted(p.name for p in tmp_path.iterdir()) == ["movie.tif", "prompts.tif"]


@pytest.mark.parametrize("address", ADDRESSES)
@pytest.mark.parametrize("as_given", [str, Path], ids=["text", "path"])
def test_no_function_opens_an_address(offline, job, tmp_path, monkeypatch, address, as_given):
    monkeypatch.chdir(tmp_path)
    given, movie = as_given(address), Movie.open(job.movie)
    calls = [
        lambda: Movie.open(given),
        lambda: load_prompts(given, movie.shape),
        lambda: open_labels(given),
        lambda: Result.open(given),
        lambda: track(movie, [PointPrompt(1, 0, (48.0, 30.0))], out=given),
        lambda: export_ctc(np.zeros(movie.shape, np.uint16), given),
    ]
    for call in calls:
        with pytest.raises(ValueError, match=r"is an address, but .*download it, or mount the place, and give a path"):
            call()
    (tmp_path / "p.json").write_text(json.dumps([{"object": 1, "frame": 0, "mask": address}]))
    with pytest.raises(PromptError, match=r"record 1: '.*' is an address"):
        load_prompts(tmp_path / "p.json", movie.shape)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["movie.tif", "p.json", "prompts.tif"]


def test_addresses_inside_a_movie_are_not_opened(offline, tmp_path):
    group = zarr.open_group(tmp_path / "a.zarr", mode="w")
    for path in ("http://127.0.0.1:9/0", "simplecache::http://127.0.0.1:9/0", "../b.zarr"):
        scales = [{"axes": [{"name": a} for a in "tyx"], "datasets": [{"path": path}]}]
        group.attrs["ome"] = {"multiscales": scales}
        zarr.create_array(tmp_path / "b.zarr", shape=SHAPE, dtype="u1", overwrite=True)
        with pytest.raises(MovieError, match="cannot be opened"):
            Movie.open(tmp_path / "a.zarr")


def test_the_files_that_an_ome_tiff_names_are_not_fetched(offline, tmp_path):
    tifffile.imwrite(tmp_path / "a.ome.tif", STACK[:1], metadata={"axes": "TYX"})
    with tifffile.TiffFile(tmp_path / "a.ome.tif", mode="r+") as tiff:
        xml = tiff.pages[0].description.replace('SizeT="1"', 'SizeT="2"')
        there = (
            '<TiffData IFD="0" FirstT="1"><UUID FileName="http://127.0.0.1:9/b.ome.tif">urn:uuid:1</UUID></TiffData>'
        )
        tiff.pages[0].tags["ImageDescription"].overwrite(xml.replace("</Pixels>", f"{there}</Pixels>"))
    movie = Movie.open(tmp_path / "a.ome.tif", limits=(0, 1))
    assert movie.shape[1:] == SHAPE[1:] and np.array_equal(movie.raw(0), STACK[0])


def test_names_on_this_machine_are_not_taken_for_addresses(offline, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    zarr.create_array("a", shape=SHAPE, dtype="u1", chunks=(1, 8, 8))[:] = STACK
    for name in ("simplecache::there.zarr", "x::y.zarr"):
        os.rename("a", name)
        assert np.array_equal(Movie.open(tmp_path / name).raw(1), STACK[1])
        os.rename(name, "a")
    for name in ("imageio:chelsea.png", "a::b.png", "c:d.png"):
        blocks = np.kron([[1, 2], [0, 3]], np.ones((4, 4))).astype("u1")
        Image.fromarray(blocks).save(tmp_path / name, "png")
        assert np.array_equal(Movie.open(tmp_path / name).raw(0), blocks)
        assert load_prompts(tmp_path / name, (1, 8, 8)).object_ids[0] == 1
    for path in (r"C:\data\a.tif", "C:/data/a.tif", "/data/a:/b.tif", "./s3:/a", "data/t:1.tif", ""):
        refuse_address(path, "a movie")


# ---- memory


def write_huge(path, shape, chunks, dtype="uint8"):
    """A zarr array of which nothing is on disk."""
    return zarr.create_array(path, shape=shape, chunks=chunks, dtype=dtype, overwrite=True).store_path.store.root


@pytest.mark.parametrize(
    ("shape", "chunks", "options"),
    [
        ((1, HUGE, HUGE), (1, 1024, 1024), []),
        ((1, HUGE, HUGE), (1, HUGE, HUGE), []),
        ((2, 8, 8), (2, HUGE, HUGE), []),
        ((2, 10**7, 1000, 1000), (1, 1, 1000, 1000), ["--axes", "TZYX", "--z", "max"]),
        ((2, 10**6, 10**6, 3), (1, 1000, 1000, 3), ["--axes", "TYXS"]),
    ],
    ids=["frame", "frame in one chunk", "chunk", "planes", "colours"],
)
def test_a_frame_without_room_is_refused(tmp_path, capsys, shape, chunks, options):
    path = write_huge(tmp_path / "a.zarr", shape, chunks)
    said = fails(capsys, "info", path, *options)
    assert "one frame of a.zarr, (" in said and " GB of memory and " in said and " GB are free; cut out" in said


def test_what_is_needed_and_free_is_told(monkeypatch):
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=2_500_000_000))
    require_room(2_500_000_000, "it", "do that")
    with pytest.raises(Refused, match=r"^it needs 1,000.0 GB of memory and 2.5 GB are free; do that$"):
        require_room(10**12, "it", "do that")


@pytest.mark.parametrize(
    ("shape", "dtype", "options", "needed"),
    [
        ((4, 3000, 2000), "u2", {}, 6e6 * (2 + 13)),
        ((4, 3000, 2000), "f8", {}, 6e6 * (8 + 13)),
        ((4, 10, 3000, 2000), "u2", {"axes": "TZYX", "z": "max"}, 6e7 * 2 + 6e6 * 13),
        ((4, 10, 3000, 2000), "u2", {"axes": "TZYX", "z": 3}, 6e6 * (2 + 13)),
        ((4, 3000, 2000, 3), "u1", {"axes": "TYXS"}, 6e6 * 3 * (1 + 8)),
    ],
)
def test_a_frame_needs_what_is_read_and_made_of_it(monkeypatch, shape, dtype, options, needed):
    movie = Movie.open(np.lib.stride_tricks.as_strided(np.zeros(1, dtype), shape, (0,) * len(shape)), **options)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=needed))
    movie.raw(0)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=needed - 1))
    with pytest.raises(MovieError, match=r"one frame of numpy array, .* needs 0\.\d GB of memory"):
        movie.raw(0)


@pytest.mark.parametrize("several", [False, True])
def test_a_tiff_that_claims_to_be_huge_is_refused(tmp_path, capsys, several):
    for t in range(1 + several):
        path = tmp_path / f"{t}.tif"
        tifffile.imwrite(path, STACK[0], compression="zlib", metadata=None)
        with tifffile.TiffFile(path, mode="r+") as tiff:
            for tag in ("ImageWidth", "ImageLength", "RowsPerStrip"):
                tiff.pages[0].tags[tag].overwrite(HUGE, dtype="I")
    said = fails(capsys, "info", tmp_path if several else path)
    assert "of memory and" in said and "cut out" in said


def test_a_picture_that_unpacks_to_too_much_is_refused(tmp_path, capsys, monkeypatch, job):
    Image.new("1", (20_000, 20_000)).save(tmp_path / "bomb.png")
    assert os.path.getsize(tmp_path / "bomb.png") < 100_000
    assert "bomb.png is too large a picture" in fails(capsys, "info", tmp_path / "bomb.png")
    with pytest.raises(PromptError, match=r"^bomb.png is too large a picture"):
        load_prompts(tmp_path / "bomb.png", (1, 20_000, 20_000))
    Image.new("1", (9_000, 9_000)).save(tmp_path / "bomb.png")
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=3e8))
    said = fails(capsys, "track", job.movie, "-p", tmp_path / "bomb.png", "-o", tmp_path / "o.zarr")
    assert "the picture in bomb.png needs 0.3 GB of memory and 0.3 GB are free; cut out" in said


def test_prompts_and_masks_without_room_are_refused(tmp_path):
    write_huge(tmp_path / "p.zarr", (HUGE, HUGE), (1000, 1000))
    (tmp_path / "p.json").write_text('[{"object": 1, "frame": 0, "mask": "p.zarr"}]')
    for name in ("p.zarr", "p.json"):
        with pytest.raises(PromptError, match=r"one frame of p.zarr needs .* of memory and"):
            load_prompts(tmp_path / name, (1, HUGE, HUGE))


def test_a_result_without_room_is_refused(tmp_path):
    group = zarr.open_group(tmp_path / "r.zarr", mode="w")
    frame = {"dtype": "uint16", "chunks": (1, 1000, 1000)}
    group.create_array("labels", shape=(1, HUGE, HUGE), **frame)
    group.create_array("confidence", shape=(1, HUGE, HUGE), **frame)
    table = group.create_group("table")
    table.create_array("object_ids", shape=(1,), dtype="uint32")
    with pytest.raises(LabelError, match="one frame of r.zarr needs"):
        open_labels(tmp_path / "r.zarr")
    table.create_array("values", shape=(HUGE, HUGE, 13), chunks=(64, 64, 13), dtype="float32")
    with pytest.raises(Refused, match="the table of the result needs"):
        Result.open(tmp_path / "r.zarr")


def test_huge_means_huge():
    assert math.prod((HUGE, HUGE)) > 2 * psutil.virtual_memory().total
