"""Damaged inputs of every kind, given to the command itself: what it says, and what it writes."""

import io
import json
import os
import resource
import shutil
import signal
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from random import Random
from typing import Any
from unittest.mock import patch

import numpy as np
import tifffile
import zarr
from tests.support import mutations as damage
from tests.support.fake_model import FakeSegmenter, disks
from tests.support.mutations import ANY_FILE, Mutation

from napari_mosam.cli.main import main
from napari_mosam.core.config.run import RunConfig
from napari_mosam.core.export.ctc import export_ctc
from napari_mosam.core.model.device import choose_device
from napari_mosam.core.runs import write

IMAGES, LABELS = disks([[(20, 20 + t), (44, 40 + t)] for t in range(3)], shape=(64, 64), radius=6)
LIMIT_S, LIMIT_MB = 15, 1500
TRACK = "track movie.tif -p prompts.tif -o out/new.zarr --motion off --device cpu"


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of input.

    Attributes
    ----------
    name : str
    make : callable
        Writes a sound one into the folder `input`, which is the present one.
    commands : tuple of str
        Run in the folder that holds `input`; those that change a result begin with '!'.
    mutations : tuple of callable
    """

    name: str
    make: Callable[[], None]
    commands: tuple[str, ...]
    mutations: tuple[Mutation, ...]


@dataclass(frozen=True, slots=True)
class JobEnd:
    """What came of one damaged input."""

    kind: str
    seed: int
    mutation: str
    hit: str
    command: str
    code: int
    said: str
    faults: tuple[str, ...] = ()
    same: bool = False


# --- sound inputs ----------------------------------------------------------------------------------------------------


def _result() -> None:
    track = "track ../movie.tif -p ../prompts.tif -o result.zarr --motion off"
    for line in (track, "lock result.zarr --object 1 --frames 1:3", "unlock result.zarr --object 1 --frames 2"):
        assert run(line)[0] == 0
    assert run("undo result.zarr")[0] == 0


def _half_result() -> None:
    class Stopping(FakeSegmenter):
        def decode_masks(self, *args: Any, **options: Any) -> Any:
            if self.encoded > 4:
                raise KeyboardInterrupt
            return super().decode_masks(*args, **options)

    with patch.object(write, "load", lambda config: Stopping()):
        assert run("track ../movie.tif -p ../prompts.tif -o result.zarr --motion off")[0] == 130


def _prompts_json() -> None:
    tifffile.imwrite("mask.tif", (LABELS[0] == 2).astype(np.uint8))
    records = [
        {"object": 1, "frame": 0, "point": [20, 20], "positive": True},
        {"object": 1, "frame": 1, "box": [12, 12, 30, 30]},
        {"object": 2, "frame": 0, "mask": "mask.tif"},
    ]
    Path("prompts.json").write_text(json.dumps(records))


def _prompts_csv() -> None:
    rows = ("object,frame,y,x,positive", "1,0,20,20,1", "2,0,44,40,1", "1,2,20,22,1", "1,2,50,50,0")
    Path("prompts.csv").write_text("\n".join(rows) + "\n")


def _prompts_labels() -> None:
    tifffile.imwrite("prompts.tif", LABELS[0], compression="zlib")


def _settings() -> None:
    content = RunConfig().to_dict()
    Path("settings.json").write_text(json.dumps(content))


def _settings_toml() -> None:
    lines = ("diameter = 12.0", 'direction = "both"', "[window]", "ratio = 5.0", "[memory]", "n_frames = 3")
    Path("settings.toml").write_text("\n".join(lines) + "\n")


def _tiff() -> None:
    tifffile.imwrite(
        "movie.tif", IMAGES, photometric="minisblack", compression="zlib", metadata={"axes": "TYX"}, rowsperstrip=16
    )


def _tiff_imagej() -> None:
    tifffile.imwrite("movie.tif", IMAGES, imagej=True, resolution=(2, 2), metadata={"axes": "TYX", "finterval": 5.0})


def _zarr() -> None:
    group = zarr.open_group("movie.zarr", mode="w", zarr_format=3)
    axes = [{"name": n, "type": "time" if n == "t" else "space"} for n in "tyx"]
    steps = [{"type": "scale", "scale": [1.0, 0.5, 0.5]}]
    images = {"axes": axes, "datasets": [{"path": "0", "coordinateTransformations": steps}]}
    group.attrs["ome"] = {"version": "0.5", "multiscales": [images]}
    group.create_array("0", data=IMAGES, chunks=(1, 32, 64), dimension_names=tuple("tyx"))


def _zarr_2() -> None:
    array = zarr.create_array("movie.zarr", shape=IMAGES.shape, chunks=(1, 64, 64), dtype="uint16", zarr_format=2)
    array[:] = IMAGES


def _ctc() -> None:
    export_ctc(LABELS, Path("TRA"))
    (Path("TRA") / "res_track.txt").rename(Path("TRA") / "man_track.txt")
    for path in sorted(Path("TRA").glob("mask*.tif")):
        path.rename(path.with_name(path.name.replace("mask", "man_track")))


_READ = (
    "info input/result.zarr",
    "explain input/result.zarr --object 1",
    "evaluate input/result.zarr truth.tif",
    "evaluate input/result.zarr truth.tif --partial --csv out/scores.csv",
    "track movie.tif -p input/result.zarr -o out/new.zarr --motion off",
)
_CHANGE = ("!lock input/result.zarr --object 2 --frames 1:3", "!undo input/result.zarr", "!redo input/result.zarr")
_AGAIN = "!track movie.tif -p prompts.tif -o input/result.zarr --motion off"
_STORE = (*ANY_FILE, *(damage.json_value,) * 8, *(damage.wrong_array,) * 2)
_IMAGE = (*ANY_FILE, *(damage.tiff_tag,) * 6, damage.description, damage.wrong_image)
_TABLE = (*ANY_FILE, *(damage.table,) * 10)

KINDS = (
    Kind("result", _result, (*_READ, *_CHANGE, f"{_AGAIN} --overwrite", f"{_AGAIN} --resume"), _STORE),
    Kind("half result", _half_result, (*_READ, *_CHANGE, *(f"{_AGAIN} --resume",) * 3), _STORE),
    Kind(
        "prompts JSON",
        _prompts_json,
        (TRACK.replace("prompts.tif", "input/prompts.json"),),
        (*ANY_FILE, *(damage.json_value,) * 14, damage.wrong_image),
    ),
    Kind("prompts CSV", _prompts_csv, (TRACK.replace("prompts.tif", "input/prompts.csv"),), _TABLE),
    Kind("prompts labels", _prompts_labels, (TRACK.replace("prompts.tif", "input/prompts.tif"),), _IMAGE),
    Kind(
        "settings JSON",
        _settings,
        ("track movie.tif -p prompts.tif -o out/new.zarr --config input/settings.json",),
        (*ANY_FILE, *(damage.json_value,) * 24),
    ),
    Kind(
        "settings TOML",
        _settings_toml,
        ("track movie.tif -p prompts.tif -o out/new.zarr --config input/settings.toml",),
        ANY_FILE,
    ),
    Kind("movie TIFF", _tiff, ("info input/movie.tif", TRACK.replace("movie.tif", "input/movie.tif")), _IMAGE),
    Kind("movie ImageJ", _tiff_imagej, ("info input/movie.tif", TRACK.replace("movie.tif", "input/movie.tif")), _IMAGE),
    Kind("movie OME-Zarr", _zarr, ("info input/movie.zarr", TRACK.replace("movie.tif", "input/movie.zarr")), _STORE),
    Kind("movie zarr 2", _zarr_2, ("info input/movie.zarr", TRACK.replace("movie.tif", "input/movie.zarr")), _STORE),
    Kind(
        "CTC folder",
        _ctc,
        ("evaluate result.zarr input/TRA", "evaluate input/TRA truth.tif", TRACK.replace("prompts.tif", "input/TRA")),
        (*_IMAGE, *(damage.table,) * 6),
    ),
)

# --- one case --------------------------------------------------------------------------------------------------------


@contextmanager
def engine() -> Iterator[None]:
    """A model without a network in place of the one that is asked for by its usual name; others are looked for."""
    load, usual = write.load, RunConfig().model

    def fake(config: RunConfig) -> Any:
        choose_device(config.device)
        return FakeSegmenter() if config.model == usual and config.checkpoint_config is None else load(config)

    with patch.object(write, "load", fake):
        yield


def run(line: str) -> tuple[int, str, str]:
    """Exit code, output and errors of a command."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        try:
            code = main(line.split())
        except SystemExit as stop:
            code = int(stop.code or 0)
    return code, out.getvalue(), err.getvalue()


def prepare(root: Path, kinds: tuple[Kind, ...] = KINDS) -> None:
    """What the commands need besides the damaged input, and a sound input of every kind."""
    root.mkdir()
    with engine(), _in(root):
        tifffile.imwrite("movie.tif", IMAGES, photometric="minisblack", metadata={"axes": "TYX"})
        tifffile.imwrite("truth.tif", LABELS, photometric="minisblack", metadata={"axes": "TYX"})
        tifffile.imwrite("prompts.tif", LABELS[0])
        assert run("track movie.tif -p prompts.tif -o result.zarr --motion off")[0] == 0
        for kind in kinds:
            folder = root / "kinds" / kind.name
            folder.mkdir(parents=True)
            for name in ("movie.tif", "prompts.tif"):
                shutil.copy(name, root / "kinds")
            with _in(folder):
                kind.make()


def fuzz(root: Path, kind: Kind, seed: int) -> JobEnd:
    """Damage one input and give it to one command; `root` is prepared."""
    random = Random(f"{kind.name} {seed}")
    command = random.choice(kind.commands)
    case = root / "case"
    sound = _sound(root, kind, command)
    _lay_out(root, kind, case)
    mutation = random.choice(kind.mutations)
    try:
        hit = mutation(random, case / "input")
    except OSError as error:  # a file system that cannot
        hit = f"nothing ({error})"
    before = listing(case)
    outcome = JobEnd(kind.name, seed, mutation.__name__, hit, command, -1, "")
    with engine(), _in(case):
        return _judged(outcome, case, before, sound)


@cache
def _sound(root: Path, kind: Kind, command: str) -> tuple[int, str, str]:
    """What the command says of the input as it was."""
    _lay_out(root, kind, root / "case")
    with engine(), _in(root / "case"):
        return run(command.removeprefix("!"))


def _judged(outcome: JobEnd, case: Path, before: dict[str, Any], sound: tuple[int, str, str]) -> JobEnd:
    faults = []
    peak, started = _peak_mb(), time.monotonic()
    with warnings.catch_warnings(record=True) as warned, _alarm():
        warnings.simplefilter("always")
        try:
            code, out, err = run(outcome.command.removeprefix("!"))
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            code, out, err = -1, "", f"{type(error).__name__}: {error}"
            faults.append("an exception came through")
    if _peak_mb() - peak > LIMIT_MB:
        faults.append(f"it took {_peak_mb() - peak:.0f} MB")
    if time.monotonic() - started > LIMIT_S:
        faults.append("it took too long")
    faults += [f"a warning was shown: {w.message}" for w in warned if _is_shown(w)]
    if code not in (0, 2, 3):
        faults.append(f"exit code {code}")
    if "error: unexpected " in err or "Traceback" in err:
        faults.append("unexpected")
    last = err.rstrip("\n").rpartition("\n")[2].rpartition("\r")[2]
    if code and (not last.startswith("mosam: error: ") or len(last) < 25 or len(last) > 1500):
        faults.append("no sentence, or one too long")
    faults += written(before, listing(case), outcome.command)
    same = code == sound[0] and _timeless(out) == _timeless(sound[1])
    return replace(outcome, code=code, said=last or out.strip()[:300], faults=tuple(faults), same=same)


def written(before: dict[str, Any], after: dict[str, Any], command: str) -> list[str]:
    """Files that a command may not touch and did."""
    mine = ("out/", "input/result.zarr/", "input/.result.zarr.mosam") if command.startswith("!") else ("out/",)
    touched = [name for name in before.keys() | after.keys() if before.get(name) != after.get(name)]
    return [f"{name} was touched" for name in sorted(touched) if not name.startswith(mine)]


def listing(folder: Path) -> dict[str, Any]:
    """Every file and link below a folder, and what it holds."""
    found: dict[str, Any] = {}
    for place, folders, names in os.walk(folder):
        for name in (*names, *folders):
            path = Path(place) / name
            key = path.relative_to(folder).as_posix()
            if path.is_symlink():
                found[key] = ("link", os.readlink(path))
            elif path.is_file():
                found[key] = path.read_bytes()
            elif not path.is_dir():
                found[key] = "special"
    return found


def _is_shown(warning: warnings.WarningMessage) -> bool:
    hidden = (DeprecationWarning, PendingDeprecationWarning, ResourceWarning)
    return not issubclass(warning.category, hidden)


def _timeless(text: str) -> str:
    return text.split(" object-frames in ")[0]


def _lay_out(root: Path, kind: Kind, case: Path) -> None:
    shutil.rmtree(case, ignore_errors=True)
    shutil.copytree(root / "kinds" / kind.name, case / "input")
    for name in ("movie.tif", "truth.tif", "prompts.tif"):
        shutil.copy(root / name, case)
    shutil.copytree(root / "result.zarr", case / "result.zarr")
    (case / "out").mkdir()
    (case / "elsewhere").mkdir()
    (case / "elsewhere/precious.bin").write_bytes(b"precious")


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


@contextmanager
def _in(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


class Hangs(BaseException):
    """A command that does not end."""


@contextmanager
def _alarm() -> Iterator[None]:
    def ring(*_: Any) -> None:
        raise Hangs(f"no end after {2 * LIMIT_S} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(2 * LIMIT_S)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
