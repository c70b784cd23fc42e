"""``mosam models``, from the first list to a run with downloaded weights, against a server on this machine."""

import io
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
import zarr
from tests.support.weights_server import Answer, serving

from napari_mosam.cli import main as cli
from napari_mosam.core.model.build import ModelError
from napari_mosam.core.model.catalogue import model_info
from napari_mosam.core.model.configs import build_official
from napari_mosam.core.model.registry import load_model
from napari_mosam.core.simulation import disk_moves

TINY = "sam2.1_hiera_tiny.pt"
CONTENT = bytes(range(256)) * 8000


@pytest.fixture
def server(local_mirror, monkeypatch, tmp_path):
    with serving(files={TINY: CONTENT}) as running:
        monkeypatch.setenv("MOSAM_MODELS_URL", running.url)
        monkeypatch.setenv("MOSAM_CACHE", str(tmp_path / "cache"))
        yield running


@pytest.fixture
def mosam(capsys):
    """A function that runs ``mosam models ...`` and returns the exit code, stdout and stderr."""

    def run(*arguments):
        try:
            code = cli.main(["models", *map(str, arguments)])
        except SystemExit as stop:
            code = stop.code
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


def lines_of(text):
    return {line.split()[0]: line for line in text.splitlines() if line.strip()}


# ---- list, path


def test_the_list_says_what_is_here_and_what_a_download_costs(server, mosam, tmp_path):
    code, out, _ = mosam()
    lines = lines_of(out)
    assert code == 0
    assert re.match(r"nano +7\.6 M +256 px +15 MB +BSD-3-Clause +shipped$", lines["nano"])
    assert re.match(r"sam2.1-tiny +38\.9 M +512 px +156 MB +Apache-2.0 +missing$", lines["sam2.1-tiny"])
    assert re.match(r"sam2.1-large +224\.4 M +512 px +898 MB +Apache-2.0 +missing$", lines["sam2.1-large"])
    assert out == mosam("list")[1]
    assert str(tmp_path / "cache") in out and not (tmp_path / "cache").exists()


def test_the_list_of_another_folder(server, mosam, tmp_path):
    (tmp_path / TINY).write_bytes(b"x" * 2_000_000)
    (tmp_path / "sam2.1_hiera_small.pt.part").write_bytes(b"x" * 3_000_000)
    lines = lines_of(mosam("--folder", tmp_path)[1])
    assert re.search(r" 2 MB +Apache-2.0 +present$", lines["sam2.1-tiny"])
    assert re.search(r" 184 MB +Apache-2.0 +incomplete, 3 MB are here$", lines["sam2.1-small"])


def test_paths(server, mosam, tmp_path):
    assert mosam("path", "nano")[:2] == (0, f"{model_info('nano').path}\n")
    code, out, err = mosam("path", "sam2.1-tiny")
    assert (code, out) == (2, "") and f"download sam2.1-tiny' puts them at {tmp_path / 'cache' / TINY}" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["lists"], "invalid choice: 'lists'"),
        (["list", "nano"], "'mosam models list' takes no names"),
        (["path"], "'mosam models path' needs one name"),
        (["path", "nano", "nano"], "needs one name"),
        (["download"], "needs the name of a model, such as sam2.1-tiny"),
        (["download", "micro"], "there is no model 'micro'; choose one of nano, sam2.1-tiny"),
        (["verify", "micro"], "there is no model 'micro'"),
        (["download", "sam2.1-tiny", "--url", "ftp://x"], "no address to download from"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(server, mosam, arguments, message):
    code, _, err = mosam(*arguments)
    assert code == 2 and message in err.splitlines()[-1] and err.splitlines()[-1].startswith("mosam: error: ")


# ---- download


def test_a_download_shows_its_progress_and_prints_the_path(server, mosam, tmp_path, publish):
    publish(CONTENT)
    code, out, err = mosam("download", "sam2.1-tiny")
    assert (code, out) == (0, f"{tmp_path / 'cache' / TINY}\n")
    assert f"sam2.1-tiny: Apache-2.0, from {server.url}/{TINY}" in err
    assert "2.05M/2.05M" in err and "100%" in err
    assert (tmp_path / "cache" / TINY).read_bytes() == CONTENT
    assert mosam("download", "sam2.1-tiny", "nano")[0] == 0
    assert len(server.requests) == 1


def test_a_hash_that_nobody_published_is_told_on_a_line_of_its_own(server, publish, tmp_path):
    """In a process of its own, since pytest takes the log."""
    code = (
        "import sys; from dataclasses import replace; from napari_mosam.cli import main as cli;"
        "from napari_mosam.core.model import catalogue as c;"
        "c._MODELS = tuple(replace(m, sha256=None, size=None) for m in c._MODELS);"
        "sys.exit(cli.main(['models', 'download', 'sam2.1-tiny']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[-1].startswith(f"no SHA-256 is known for '{TINY}'; that of this first download")
    assert done.stdout == f"{tmp_path / 'cache' / TINY}\n"


def test_a_wrong_file_is_exit_code_2(server, mosam, tmp_path, publish):
    publish(CONTENT[::-1])
    code, _, err = mosam("download", "sam2.1-tiny")
    assert code == 2 and "its SHA-256 differs) and was removed" in err
    assert not (tmp_path / "cache" / TINY).exists()


def test_a_missing_file_is_exit_code_2(server, mosam):
    code, _, err = mosam("download", "sam2.1-small")
    assert code == 2 and f"there is no file at {server.url}/sam2.1_hiera_small.pt (404)" in err


INTERRUPTIBLE = """
import signal, sys
from napari_mosam.cli.main import main
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.exit(main(sys.argv[1:]))
"""
"""The command; processes that a shell starts in the background ignore SIGINT, and so do their children."""


@pytest.mark.skipif(os.name == "nt", reason="needs SIGINT")
def test_ctrl_c_keeps_what_came_and_the_same_command_continues(server, tmp_path):
    """In a process of its own; the server only pretends to have 156 MB, and sends them slowly."""
    server.files[TINY], server.usual = bytes(156_008_466), Answer(seconds_per_mb=1)
    part = tmp_path / "cache" / f"{TINY}.part"
    command = [sys.executable, "-c", INTERRUPTIBLE, "models", "download", "sam2.1-tiny"]
    kept = 0
    for _ in range(2):
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        end = time.monotonic() + 60
        while time.monotonic() < end and not (part.exists() and part.stat().st_size > kept):
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
        assert process.returncode == 130
        assert err.splitlines()[-1] == (
            f"mosam: stopped: what came of {TINY} is kept, and the same command continues there"
        )
        assert part.stat().st_size > kept
        kept = part.stat().st_size
    assert [request.get("range", "").startswith("bytes=") for request in server.requests] == [False, True]
    assert not (tmp_path / "cache" / TINY).exists()


# ---- verify


def test_verify_names_what_is_damaged(server, mosam, tmp_path, publish):
    publish(CONTENT)
    mosam("download", "sam2.1-tiny")
    code, out, err = mosam("verify")
    lines = lines_of(out)
    assert code == 0 and err == ""
    assert " ok " in lines["nano"] and " ok " in lines["sam2.1-tiny"] and " missing " in lines["sam2.1-large"]
    (tmp_path / "cache" / TINY).write_bytes(CONTENT[:-1] + b"x")
    code, out, err = mosam("verify", "sam2.1-tiny")
    assert code == 2 and " damaged " in lines_of(out)["sam2.1-tiny"]
    assert "damaged: sam2.1-tiny; 'mosam models download sam2.1-tiny' gets the weights again" in err
    assert mosam("download", "sam2.1-tiny")[0] == 0
    assert mosam("verify", "sam2.1-tiny")[0] == 0


def test_verify_of_named_models_wants_them_here(server, mosam):
    assert mosam("verify", "nano")[0] == 0
    code, _, err = mosam("verify", "nano", "sam2.1-large")
    assert code == 2 and "not here: sam2.1-large" in err


# ---- from the list to the labels, with an official size (random weights)


@pytest.fixture
def tiny_weights():
    """sam2.1-tiny with random weights, saved as the official checkpoints are."""
    torch.manual_seed(0)
    file = io.BytesIO()
    torch.save({"model": build_official("sam2.1_hiera_t.yaml", 256).state_dict()}, file)
    return file.getvalue()


def test_an_official_size_from_the_mirror_to_masks(server, mosam, tmp_path, publish, tiny_weights):
    from tests.support.fake_model import disks

    from napari_mosam.core.api import segment
    from napari_mosam.core.prompts.collection import MaskPrompt

    server.files[TINY] = tiny_weights
    server.answers = [Answer(cut=100_000_000), Answer(500)]  # cut off, an error, and then the rest
    publish(tiny_weights)
    code, _, err = mosam("download", "sam2.1-tiny")
    assert code == 0, err
    assert server.requests[-1]["range"] == "bytes=100000000-"
    assert re.search(r"sam2.1-tiny .* present", mosam("list")[1])
    assert " ok " in mosam("verify", "sam2.1-tiny")[1]
    model = load_model("sam2.1-tiny", image_size=256, dtype="float32")
    images, labels = disks([[(40, 40 + t)] for t in range(2)])
    results = list(segment(images, [MaskPrompt.from_frame(1, 0, labels[0] == 1)], model=model))
    assert [result.t for result in results] == [0, 1]
    assert all(np.isfinite(o.logits).all() for result in results for o in result.objects)


def test_a_script_downloads_only_where_it_says_so(server, publish, tmp_path):
    publish(CONTENT)
    with pytest.raises(ModelError, match="run 'mosam models download sam2.1-tiny'"):
        load_model("sam2.1-tiny")
    assert server.requests == []
    with pytest.raises(ModelError, match=f"'{TINY}' is damaged or not a tensors-only file"):
        load_model("sam2.1-tiny", download=True, image_size=64)
    assert (tmp_path / "cache" / TINY).read_bytes() == CONTENT


@pytest.mark.slow
def test_an_official_size_tracks_on_the_command_line(server, tmp_path, publish, tiny_weights):
    server.files[TINY] = tiny_weights
    publish(tiny_weights)
    (tmp_path / "mine.pt").write_bytes(tiny_weights)
    truth = disk_moves()
    tifffile.imwrite(tmp_path / "movie.tif", truth.images[:2], photometric="minisblack", metadata={"axes": "TYX"})
    tifffile.imwrite(tmp_path / "prompts.tif", truth.labels[0])
    track = ["track", str(tmp_path / "movie.tif"), "-p", str(tmp_path / "prompts.tif"), "--overwrite", "-o"]
    assert cli.main([*track, str(tmp_path / "a.zarr"), "--model", "sam2.1-tiny"]) == 2
    assert cli.main(["models", "download", "sam2.1-tiny"]) == 0
    assert cli.main([*track, str(tmp_path / "a.zarr"), "--model", "sam2.1-tiny"]) == 0
    own = ["--model", str(tmp_path / "mine.pt"), "--model-config", "sam2.1_hiera_t"]
    assert cli.main([*track, str(tmp_path / "b.zarr"), *own]) == 0
    assert zarr.open_group(tmp_path / "b.zarr", mode="r")["0"].shape == truth.labels[:2].shape


def test_track_says_how_missing_weights_get_here(server, tmp_path, capsys):
    truth = disk_moves()
    tifffile.imwrite(tmp_path / "movie.tif", truth.images, photometric="minisblack", metadata={"axes": "TYX"})
    tifffile.imwrite(tmp_path / "prompts.tif", truth.labels[0])
    line = f"track {tmp_path}/movie.tif -p {tmp_path}/prompts.tif -o {tmp_path}/out.zarr --model sam2.1-tiny"
    assert cli.main(line.split()) == 2
    assert "run 'mosam models download sam2.1-tiny'" in capsys.readouterr().err
    assert cli.main([*line.split(), "--model-folder", str(tmp_path / "usb")]) == 2
    assert f"into '{tmp_path / 'usb'}'" in capsys.readouterr().err
    assert not Path(tmp_path / "out.zarr").exists()


def test_track_with_a_checkpoint_and_a_configuration(tmp_path, capsys):
    """nano's own weights as if they were somebody else's."""
    nano, truth = model_info("nano").path, disk_moves()
    (tmp_path / "mine.safetensors").write_bytes(nano.read_bytes())
    tifffile.imwrite(tmp_path / "movie.tif", truth.images[:2], photometric="minisblack", metadata={"axes": "TYX"})
    tifffile.imwrite(tmp_path / "prompts.tif", truth.labels[0])
    line = f"track {tmp_path}/movie.tif -p {tmp_path}/prompts.tif -o {tmp_path}/out.zarr"
    own = ["--model", str(tmp_path / "mine.safetensors")]
    assert cli.main([*line.split(), *own]) == 2
    assert "--model-config on the command line" in capsys.readouterr().err
    assert cli.main([*line.split(), *own, "--model-config", str(nano.with_suffix(".yaml"))]) == 0
    group = zarr.open_group(tmp_path / "out.zarr", mode="r")
    assert group["0"][1].any() and group.attrs.asdict()
