"""What is told of a result on the command line, in words and as JSON."""

import json
import shutil
from pathlib import Path

import dask.array as da
import imageio.v3 as iio
import numpy as np
import pytest
import tifffile
import torch
import zarr
from tests.support.crashes import content
from tests.support.damage import seal
from tests.support.fake_model import FakeSegmenter, disks

from napari_mosam import BoxPrompt, Result, Session
from napari_mosam.cli import main as cli
from napari_mosam.core.api import track
from napari_mosam.core.config.engine import EngineConfig, MotionConfig
from napari_mosam.core.config.run import ComputeConfig
from napari_mosam.core.model.compute import resolve
from napari_mosam.core.model.registry import load_model
from napari_mosam.core.prompts.collection import MaskPrompt

N = 5
IMAGES, LABELS = disks([[(30, 30 + t), (66, 70)] for t in range(N)], radius=7)
QUICK = EngineConfig(motion=MotionConfig.off())
TWO = [MaskPrompt.from_frame(3, 0, LABELS[0] == 1), MaskPrompt.from_frame(8, 1, LABELS[1] == 2)]
ARCHIVE = Path(__file__).parents[1] / "data" / "result_0_1_0.zarr.zip"


@pytest.fixture
def out(tmp_path, monkeypatch):
    """A result in the current folder, of which an object was locked."""
    monkeypatch.chdir(tmp_path)
    tifffile.imwrite("movie.tif", IMAGES, photometric="minisblack", metadata={"axes": "TYX"})
    track("movie.tif", TWO, out="cells.zarr", model=FakeSegmenter(), config=QUICK, pixel_size=0.5, interval=30)
    Result.open("cells.zarr").lock(3, 2)
    return tmp_path / "cells.zarr"


def told(capsys, *options, path="cells.zarr"):
    """What `info` prints, by the words that begin its lines."""
    assert cli.main(["info", str(path), *options]) == 0
    lines = capsys.readouterr().out.rstrip("\n").split("\n")
    return {line[:9].strip() or str(n): line[9:] for n, line in enumerate(lines)}


def test_a_result_is_described(out, capsys):
    size = sum(map(len, content(out).values()))
    kept = sum(len(found) for name, found in content(out).items() if name.startswith("journal/"))
    assert told(capsys) == {
        "name": "cells.zarr (result of mosam track)",
        "state": "complete",
        "movie": "movie.tif, 5 frames of 96 x 96 px (Y, X)",
        "objects": "2: 3, 8",
        "frames": "0:5, both",
        "scale": "0.5 µm a pixel, 30 s a frame",
        "model": "fake",
        "limits": "100 to 1000 became 0 to 1",
        "version": "napari-mosam 0.1.0, schema 2",
        "size": f"{size / 1e6:.1f} MB, {kept / 1e6:.1f} MB of them to undo",
        "history": "1 done       the run that followed objects 3, 8",
        "11": "2 done       the lock of object 3 on frame 2",
    }


def test_everything_is_written_as_json(out, capsys):
    told(capsys, "--json", "told.json")
    found = json.loads(Path("told.json").read_text())
    assert found["state"] == found["progress"] == "complete" and found["damage"] == {}
    assert found["movie"]["name"] == "movie.tif" and found["movie"]["path"] == "../movie.tif"
    assert (found["shape"], found["dtype"], found["objects"]) == ([N, 96, 96], "uint16", [3, 8])
    assert (found["pixel_size_um"], found["interval_s"], found["schema"]) == ([0.5, 0.5], 30, 2)
    assert found["frames_followed"] == list(range(N)) and found["being_followed_again"] == []
    assert [(step["number"], step["state"]) for step in found["history"]] == [(1, "done"), (2, "done")]
    assert found["bytes"]["all"] == sum(map(len, content(out).values()))


def test_half_and_damaged_results_say_so(out, capsys):
    zarr.open_group(out, mode="r+").attrs["complete"] = False
    seal(out)
    assert told(capsys, "--json", "half.json")["state"].startswith("stopped before its end")
    assert json.loads(Path("half.json").read_text())["state"] == "half"
    (out / "0/c/1/0/0").unlink()
    (out / "confidence/c/2/0/0").write_bytes(b"cut")
    said = told(capsys, "--json", "damaged.json")
    assert said["damage"] == (
        "1 of its files are missing: 0/c/1/0/0, 1 of its files are of another size: confidence/c/2/0/0"
    )
    found = json.loads(Path("damaged.json").read_text())
    assert found["state"] == "damaged" and found["damage"]["of another size"] == ["confidence/c/2/0/0"]


def test_a_result_of_version_0_1_is_described(tmp_path, capsys):
    shutil.unpack_archive(ARCHIVE, tmp_path)
    said = told(capsys, path=tmp_path / "result_0_1_0.zarr")
    assert (said["state"], said["version"]) == ("complete", "napari-mosam 0.1.0, schema 1")
    assert "history" not in said and "scale" not in said and said["size"].endswith("MB")


@pytest.mark.parametrize("damage", [{"limits": "grey"}, {"frames": 3}, {"interval_s": "s"}, {"provenance": []}])
def test_attributes_that_no_result_has_are_refused_in_one_line(out, capsys, damage):
    zarr.open_group(out, mode="r+").attrs.update(damage)
    seal(out)
    assert cli.main(["info", "cells.zarr"]) == 2
    assert capsys.readouterr().err.startswith("mosam: error: 'cells.zarr' cannot be read")


@pytest.mark.parametrize("head", [b'{"half', b'{"zarr_format": 3, "node_type": "array"}', b"{}", None])
@pytest.mark.parametrize("sealed", [False, True])
def test_a_result_whose_head_is_damaged_is_no_movie(out, capsys, head, sealed):
    (out / "zarr.json").unlink() if head is None else (out / "zarr.json").write_bytes(head)
    if sealed:
        seal(out)
    for command in (["info"], ["lock", "--object", "3", "--frames", "1"]):
        assert cli.main([command[0], *command[1:], "cells.zarr"]) == 2
        (said,) = capsys.readouterr().err.strip().splitlines()
        assert "cells.zarr' is a result with damaged metadata: " in said
    again = ["track", "movie.tif", "-p", "prompts.tif", "-o", "cells.zarr"]
    tifffile.imwrite("prompts.tif", LABELS[0])
    assert cli.main(again) == 2 and "add --overwrite" in capsys.readouterr().err


def test_reports_replace_nothing_unasked(out, capsys):
    Path("told.json").write_text("mine")
    assert cli.main(["info", "cells.zarr", "--json", "told.json"]) == 2
    assert Path("told.json").read_text() == "mine"
    told(capsys, "--json", "told.json", "--overwrite")
    before = content(out)
    assert cli.main(["info", "cells.zarr", "--json", "cells.zarr/zarr.json", "--overwrite"]) == 2
    assert content(out) == before
    assert cli.main(["info", "movie.tif", "--json", "movie.tif", "--overwrite"]) == 2


# --- what is no movie and no result ----------------------------------------------------------------------------------


def test_half_a_result_says_how_to_go_on(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    frames = da.stack([da.from_array(frame) for frame in IMAGES[:3]] + [da.full((96, 96), np.nan)] * 2)
    broken = frames.map_blocks(_refusing_gaps, dtype=IMAGES.dtype)
    with pytest.raises(ValueError, match="frame 3"):
        track(broken, TWO[:1], out="half.zarr", model=FakeSegmenter(), config=QUICK, limits=(100, 1000))
    assert (
        told(capsys, path="half.zarr")["state"]
        == "stopped at frame 3 of 5; 'mosam track' with --resume goes on with it"
    )


def _refusing_gaps(block):
    if np.isnan(block).any():
        raise ValueError("no such frame")
    return block.astype(IMAGES.dtype)


def test_a_session_is_told_with_its_result(out, capsys):
    session = Session.open(out, IMAGES, model=FakeSegmenter(), recent=out.parent / "recent")
    session.mark(BoxPrompt(8, 2, (60, 60, 75, 75)))
    session.save()
    session.close()
    line = "marks of 2 objects: 3, 8; not followed yet as they are marked: 8"
    assert told(capsys)["session"] == line
    said = told(capsys, "--json", "told.json", path=out / "mosam_session.json")
    assert (said["session"], said["name"]) == (line, "cells.zarr (result of mosam track)")
    assert json.loads(Path("told.json").read_text())["session"]["not_followed"] == [8]


def test_prompts_are_described(tmp_path, capsys):
    (tmp_path / "p.csv").write_text("object;frame;y;x;y0;x0;y1;x1\n4;0;1;2;;;;\n4;0;;;1;2;3;4\n9;7;;;1;2;3;4\n")
    assert told(capsys, "--json", str(tmp_path / "told.json"), path=tmp_path / "p.csv") == {
        "name": "p.csv (prompts, for 'mosam track MOVIE --prompts p.csv')",
        "objects": "2: 4, 9",
        "frames": "2: 0, 7 (from 0)",
        "marks": "1 point, 2 boxes",
    }
    assert json.loads((tmp_path / "told.json").read_text())["marks"] == {"point": 1, "box": 2}


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("p.csv", "object,frame,y,x\n1,0,1,1\n1.5,0,1,1\n", "p.csv: record 2: 'object' is 1.5; give a whole number"),
        ("p.json", "[]", "p.json: marks no object"),
        ("settings.json", '{"window": {}}', "settings.json: record 1: unknown key 'window'; allowed: object, frame"),
        (
            "w.safetensors",
            "x",
            "w.safetensors is no movie: it may be the weights of a model, which 'mosam track --model'",
        ),
        ("run.toml", "x", "run.toml is no movie: it may be settings, which 'mosam track --config' takes"),
        ("notes.txt", "x", "notes.txt is of a kind that cannot be read (.txt); allowed: a TIFF file"),
    ],
)
def test_what_cannot_be_described_says_what_it_may_be(tmp_path, capsys, name, text, said):
    (tmp_path / name).write_text(text)
    assert cli.main(["info", str(tmp_path / name)]) == 2
    assert capsys.readouterr().err.startswith(f"mosam: error: {said}")


@pytest.mark.parametrize("suffix", [".tif", ".npy", ".png"])
def test_labels_are_told_from_images(tmp_path, capsys, suffix):
    labels = np.where(LABELS[0] == 2, 9, LABELS[0]).astype(np.uint8)
    image = np.random.default_rng(0).poisson(5, labels.shape).astype(np.uint8)
    for name, pixels in (("labels", labels), ("image", image)):
        np.save(tmp_path / name, pixels) if suffix == ".npy" else iio.imwrite(tmp_path / f"{name}{suffix}", pixels)
    assert cli.main(["info", str(tmp_path / f"labels{suffix}")]) == 0
    line = "labels  2 objects (1, 9) on the first frame, by the look of it; --prompts takes them\n"
    assert capsys.readouterr().out.endswith(line)
    assert cli.main(["info", str(tmp_path / f"image{suffix}")]) == 0
    assert "\nlabels" not in capsys.readouterr().out


def test_folders_of_several_movies_say_to_choose_one(tmp_path, capsys):
    for name in ("cells", "control"):
        (tmp_path / "several" / name).mkdir(parents=True)
        tifffile.imwrite(tmp_path / f"several/{name}/t0.tif", IMAGES[0])
    assert cli.main(["info", str(tmp_path / "several")]) == 2
    assert "several holds no image, but cells, control: give one of them; allowed" in capsys.readouterr().err
    for name in ("cells", "control"):
        tifffile.imwrite(tmp_path / f"several/{name}.tif", IMAGES, metadata={"axes": "TYX"})
    assert cli.main(["info", str(tmp_path / "several")]) == 0
    assert "where each of its files is a movie of its own, give one of them (for" in capsys.readouterr().out


def test_what_a_run_uses_on_this_machine(capsys):
    with pytest.raises(SystemExit) as left:
        cli.main(["info", "--machine"])
    told = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    compute = resolve(ComputeConfig(), load_model("nano"))
    assert left.value.code == 0
    assert told["calls"].startswith(f"up to {compute.chunk} windows, ")
    assert told["calls"].endswith(f"{compute.threads} thread(s) each")
    assert told["torch"] == torch.__version__
