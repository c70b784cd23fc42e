import importlib
import json
import logging
import os
import re
import subprocess
import sys
from argparse import ArgumentTypeError
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

from napari_mosam.cli import entry
from napari_mosam.cli import main as cli
from napari_mosam.cli.checks import UsageError, check_outputs, check_report
from napari_mosam.cli.places import Input
from napari_mosam.cli.settings import FLAGS, load_config, parse_frames, run_config
from napari_mosam.core.config.checks import Refused
from napari_mosam.core.config.engine import EngineConfig, MemoryConfig, MotionConfig, WindowConfig
from napari_mosam.core.config.fields import settings_of
from napari_mosam.core.config.run import MovieConfig, RunConfig
from napari_mosam.core.export.ctc import export_ctc
from napari_mosam.core.files.places import ResultGoneError
from napari_mosam.core.prompts.files import load_prompts
from napari_mosam.core.runs.request import RunRequest
from napari_mosam.core.simulation import disk_moves


@pytest.fixture
def job(tmp_path: Path) -> SimpleNamespace:
    """A tiny simulated movie with a label image of its first frame as prompts."""
    truth = disk_moves()
    tifffile.imwrite(tmp_path / "movie.tif", truth.images, photometric="minisblack", metadata={"axes": "TYX"})
    tifffile.imwrite(tmp_path / "prompts.tif", truth.labels[0])
    paths = SimpleNamespace(
        movie=tmp_path / "movie.tif", prompts=tmp_path / "prompts.tif", out=tmp_path / "out.zarr", folder=tmp_path
    )
    paths.truth = truth
    paths.arguments = ["track", str(paths.movie), "--prompts", str(paths.prompts), "--out", str(paths.out)]
    return paths


def fails(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Exit code and the one line on stderr."""
    try:
        code = cli.main(arguments)
    except SystemExit as stop:  # what argparse does
        code = stop.code
    message = capsys.readouterr().err
    assert message.startswith("mosam: ") and message.count("\n") == 1, message
    return code, message


# --- arguments -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [("2:5", (2, 5)), ("2:", (2, None)), (":5", (None, 5)), (":", (None, None)), ("3", (3, 4)), ("0", (0, 1))],
)
def test_frames_are_half_open(text, expected):
    assert parse_frames(text) == expected


@pytest.mark.parametrize("text", ["", "a:b", "5:5", "5:2", ":0", "-1:3", "1:2:3", "1.5", "1-4", "²"])
def test_other_frames_are_refused(text):
    with pytest.raises(ArgumentTypeError, match="give A:B"):
        parse_frames(text)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "COMMAND"),
        (["trak"], "invalid choice: 'trak'"),
        (["track", "m.tif"], "required: --prompts/-p, --out/-o"),
        (["track", "m.tif", "-p", "p.json", "-o", "o.zarr", "--frames", "5:2"], "'5:2' is no range of frames"),
        (
            ["track", "m.tif", "-p", "p.json", "-o", "o.zarr", "--prompt-frames", "last"],
            "'last' are no frames; give all",
        ),
        (["track", "m.tif", "-p", "p.json", "-o", "o.zarr", "--z", "top"], "'top' is no plane"),
        (["track", "m.tif", "-p", "p.json", "-o", "o.zarr", "--motion", "maybe"], "invalid choice: 'maybe'"),
        (["track", "m.tif", "-p", "p.json", "-o", "o.zarr", "--diameter", "big"], "invalid float value: 'big'"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(arguments, message, capsys):
    code, line = fails(arguments, capsys)
    assert code == 2
    assert message in line and "--help" in line


@pytest.mark.parametrize("arguments", [["--help"], ["track", "--help"], ["--version"]])
def test_help_and_version_leave_with_0(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(arguments)
    assert stop.value.code == 0
    assert "mosam" in capsys.readouterr().out


# --- from the options to the engine ----------------------------------------------------------------------------------


def half_result(path: Path, n_followed: int, n_frames: int = 3) -> None:
    """What a run leaves that was stopped: some frames of two objects that are to be followed on all of them."""
    group = zarr.open_group(
        path, mode="w", attributes={"napari_mosam": "0", "complete": False, "frames": [0, n_frames]}
    )
    for name in ("labels", "confidence"):
        group.create_array(name, shape=(n_frames, 8, 8), dtype="uint16")
    records = [{"object": i, "frame": 0, "point": [1, 1], "positive": True} for i in (1, 2)]
    group.create_group("prompts").attrs["records"] = records
    table = group.create_group("table")
    table.create_array("object_ids", data=np.array([1, 2], np.uint32))
    table.create_array("state", data=np.repeat(np.arange(n_frames)[:, None] < n_followed, 2, axis=1).astype(np.float32))


@pytest.fixture
def engine(monkeypatch) -> SimpleNamespace:
    """Stands in for ``write_run``: keeps what it was given and reports three frames of two objects."""
    calls = SimpleNamespace(options=None, error=None, frames=3, writes=True, paused=None, before_error=lambda: None)

    def write_run(request, out, *, overwrite, resume, progress):
        options = {"out": out, "overwrite": overwrite, "resume": resume}
        calls.request, calls.options = request, options
        if calls.frames and calls.writes:
            half_result(options["out"], calls.frames)
        for t in range(calls.frames):
            progress(SimpleNamespace(t=t, objects=(1, 2), skipped=""), t + 1, 3)
        if calls.error:
            calls.before_error()
            raise calls.error
        return SimpleNamespace(
            path=options["out"],
            labels=np.ones(request.movie.shape, np.uint16),
            object_ids=(1, 2),
            n_object_frames=6,
            parents={},
            area=np.array([[5, 5], [np.nan, 5], [0, np.nan]]),
            progress=SimpleNamespace(
                complete=True, paused=calls.paused, begun=(0, 1, 2), followed=np.ones((3, 2), bool)
            ),
            attrs={},
        )

    importlib.import_module("napari_mosam.core.store.result")
    monkeypatch.setitem(sys.modules, "napari_mosam.core.runs.write", SimpleNamespace(write_run=write_run))
    return calls


def test_a_run_that_stops_to_ask_says_why_and_how_to_go_on(job, engine, capsys):
    engine.paused = "object 2 was unsure for 2 frames at frame 5"
    assert cli.main([*job.arguments, "--stop-after-unsure", "2"]) == cli.HALF
    assert engine.request.config.stop_after_unsure == 2
    assert "error: stopped, since object 2 was unsure for 2 frames at frame 5" in capsys.readouterr().err


def test_without_options_the_engine_decides(job, engine):
    assert cli.main(job.arguments) == 0
    assert engine.options == {"out": job.out, "overwrite": False, "resume": False}
    assert engine.request == RunRequest.build(job.movie, load_prompts(job.prompts, job.truth.images.shape))


@pytest.mark.parametrize(("asked", "frames"), [("all", tuple(range(5))), ("first", (0,)), ("1,3", (1, 3)), ("2", (2,))])
def test_frames_of_a_label_stack_that_count_as_prompts_are_chosen(job, engine, asked, frames):
    tifffile.imwrite(job.prompts, job.truth.labels[:5], metadata={"axes": "TYX"})
    assert cli.main([*job.arguments, "--prompt-frames", asked]) == 0
    assert engine.request.prompts.frames == frames


def test_every_option_reaches_the_engine(job, engine):
    plain = EngineConfig.plain()
    (job.folder / "c.json").write_text(json.dumps(plain.to_dict()))
    line = (
        "--model big --device cpu --frames :3 --direction backward --diameter 12.5 --motion on --memory reliable "
        f"--compete on --overwrite --config {job.folder / 'c.json'}"
    )
    assert cli.main([*job.arguments, *line.split()]) == 0
    assert engine.options == {"out": job.out, "overwrite": True, "resume": False}
    memory = replace(plain.memory, selection="reliable")
    assert engine.request.config == RunConfig(
        model="big",
        device="cpu",
        frames=(None, 3),
        direction="backward",
        diameter=12.5,
        engine=replace(plain, motion=MotionConfig(), memory=memory, compete=True),
    )


def test_a_checkpoint_of_ones_own_is_named_with_its_configuration_and_folder(job, engine):
    line = f"--model mine.pt --model-config mine.yaml --model-folder {job.folder}"
    assert cli.main([*job.arguments, *line.split()]) == 0
    expected = RunConfig(model="mine.pt", checkpoint_config="mine.yaml", model_folder=str(job.folder))
    assert engine.request.config == expected


@pytest.mark.parametrize(
    ("flag", "expected"),
    [
        ("on", MotionConfig()),
        ("off", MotionConfig.off()),
        ("learned", MotionConfig(encoder="learned", flow=False, prompt="mask")),
    ],
)
def test_motion_sets_several_settings_at_once(job, engine, flag, expected):
    (job.folder / "c.toml").write_text('[motion]\nflow = false\nprompt = "mask"\n')
    assert cli.main([*job.arguments, "--config", str(job.folder / "c.toml"), "--motion", flag]) == 0
    assert engine.request.config.engine == EngineConfig(motion=expected)


def test_any_setting_can_be_set_and_wins_over_flags_and_file(job, engine):
    (job.folder / "c.json").write_text('{"window": {"ratio": 3, "rescale": 0.5}, "model": "tiny", "diameter": 9}')
    line = (
        "--memory sam2 --diameter 11 --set memory.selection=reliable --set window.ratio=4 --set compete=false "
        "--set memory.area_range=[0.5,2] --set movie.limits=[1,900.5] --set direction=forward --set frames=[null,2]"
    )
    assert cli.main([*job.arguments, "--config", str(job.folder / "c.json"), *line.split()]) == 0
    expected = EngineConfig(
        window=WindowConfig(ratio=4, rescale=0.5),
        memory=MemoryConfig(selection="reliable", area_range=(0.5, 2)),
        compete=False,
    )
    assert engine.request.config.engine == expected
    config = engine.request.config
    assert (config.model, config.diameter) == ("tiny", 11)
    assert (config.direction, config.frames) == ("forward", (None, 2))
    assert engine.request.movie.limits == (1, 900.5)


def test_a_motion_setting_can_be_set_beside_the_flag_and_is_not_kept_for_the_next_command(job, engine):
    line = [*job.arguments, "--overwrite", "--motion", "off"]
    assert cli.main([*line, "--set", "motion.kalman=true"]) == 0
    assert engine.request.config.engine.motion == replace(MotionConfig.off(), kalman=True)
    assert cli.main(line) == 0
    assert engine.request.config.engine.motion == MotionConfig.off()


@pytest.mark.parametrize("setting", settings_of(RunConfig), ids=lambda setting: setting.name)
def test_every_setting_can_be_set_to_its_default(setting):
    arguments = SimpleNamespace(set=[(setting.name, json.loads(json.dumps(setting.default)))])
    assert run_config(arguments) == RunConfig()


def test_every_flag_is_that_of_a_setting():
    assert set(FLAGS) < {setting.name for setting in settings_of(RunConfig)}


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("window.ratio", "'window.ratio' sets nothing; give NAME=VALUE"),
        ("=4", "'=4' sets nothing"),
        ("window.ratio=99", "window ratio = 99 is not possible; allowed: 1.5 to 20 object diameters"),
        ("window.ratio=wide", "window ratio = 'wide' is not possible; allowed: a number"),
        ("window.size=3", "unknown setting ['size'] in window; known: ['ladder_max'"),
        ("window.ratio.x=3", "window ratio = {'x': 3} is not possible"),
        ("speed=3", "unknown setting ['speed'] in config; known: ['checkpoint_config', 'compete'"),
        ("memory.n_frames=2.5", "memory n_frames = 2.5 is not possible; allowed: a whole number"),
        ("compete=on", "compete = 'on' is not possible; allowed: true or false"),
        ("direction=sideways", "direction = 'sideways' is not possible; allowed: 'forward', 'backward' or 'both'"),
        ("diameter=-2", "diameter = -2 is not possible; allowed: a positive number of px, or none"),
        (
            "movie.z=top",
            "movie z = 'top' is not possible; allowed: the number of a plane, counted from 0, or 'max', or none",
        ),
        ("frames=[5,2]", "frames = (5, 2) is not possible; allowed: a range (start, stop) of whole numbers from 0"),
        ("movie.limits=[3,1]", "movie limits = (3, 1) is not possible; allowed: two numbers, low and high, or 'exact'"),
        ("window.ratio=" + "[" * 5000, "allowed: a number"),
    ],
)
def test_what_cannot_be_set_is_refused_in_one_line(job, engine, capsys, assignment, message):
    code, line = fails([*job.arguments, "--set", assignment], capsys)
    assert code == 2 and message in line and len(line) < 400
    assert "pydantic" not in line and "http" not in line


def test_axes_channel_and_plane_choose_the_movie(job, engine):
    stack = np.zeros((2, 3, *job.truth.images.shape), np.uint16)
    stack[1, 2] = job.truth.images
    tifffile.imwrite(job.movie, stack, photometric="minisblack")
    assert cli.main([*job.arguments, "--axes", "CZTYX", "--channel", "1", "--z", "max"]) == 0
    assert np.array_equal(engine.request.movie.raw(0), job.truth.images[0])


def test_the_end_is_summed_up_in_one_line(job, engine, capsys):
    cli.main(job.arguments)
    printed = capsys.readouterr().out
    counted = r"2 objects, 3 frames \(2 with a mask, 1 without\), 6 object-frames"
    assert re.fullmatch(counted + r" in [\d.]+ s \([\d.]+ object-frames/s\): .*out\.zarr\n", printed)


def test_the_progress_bar_shows_frames_and_objects(job, engine, capsys):
    cli.main(job.arguments)
    bar = capsys.readouterr().err
    assert "3/3" in bar and "frame/s" in bar and "objects=2" in bar


def test_a_ctc_export_and_a_picture_are_written_on_request(job, engine):
    ctc, picture = job.folder / "ctc", job.folder / "o.png"
    assert cli.main([*job.arguments, "--export-ctc", str(ctc), "--overlay", str(picture)]) == 0
    assert (ctc / "res_track.txt").read_text() == "1 0 9 0\n"
    assert Image.open(picture).width > 0


# --- settings files --------------------------------------------------------------------------------------------------


def test_settings_come_from_json_or_toml(tmp_path):
    (tmp_path / "c.json").write_text('{"motion": {"flow": false}}')
    (tmp_path / "c.toml").write_text("[motion]\nflow = false\n")
    expected = RunConfig(engine=EngineConfig(motion=MotionConfig(flow=False)))
    assert load_config(tmp_path / "c.json") == load_config(tmp_path / "c.toml") == expected


def test_a_settings_file_may_hold_all_that_a_run_is_asked(tmp_path):
    asked = RunConfig(model="tiny", frames=(2, None), movie=MovieConfig(z="max"), engine=EngineConfig.plain())
    (tmp_path / "c.json").write_text(json.dumps(asked.to_dict()))
    assert load_config(tmp_path / "c.json") == asked
    (tmp_path / "c.toml").write_text('model = "tiny"\nframes = [2, 5]\nmovie.z = "max"\nwindow.ratio = 4\n')
    assert load_config(tmp_path / "c.toml") == RunConfig(
        model="tiny", frames=(2, 5), movie=MovieConfig(z="max"), engine=EngineConfig(window=WindowConfig(ratio=4))
    )


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("c.json", '{"speed": 1}', r"unknown setting \['speed'\]"),
        ("c.json", '{"window": {"ratio": 99}}', "window ratio = 99 is not possible; allowed: 1.5 to 20"),
        ("c.json", '{"window": {"ratio": "wide"}}', "window ratio = 'wide' is not possible; allowed: a number;"),
        ("c.json", '{"window": {"ratio": true}}', "window ratio = True is not possible; allowed: a number;"),
        ("c.json", '{"window": "wide"}', "window = 'wide' is not possible; allowed: settings by name"),
        ("c.json", '{"memory": {"n_frames": 2.5}}', "memory n_frames = 2.5 is not possible; allowed: a whole number;"),
        (
            "c.json",
            '{"memory": {"area_range": [1]}}',
            "area_range = .* a list of 2 numbers;",
        ),
        ("c.json", '{"motion": {"drift": 1}}', "motion drift = 1 is not possible; allowed: true or false;"),
        ("c.json", "[1]", r"config = \[1\] is not possible; allowed: settings by name"),
        ("c.json", "{", "c.json: not valid JSON: Expecting property name"),
        ("c.toml", "=", r"c.toml: Invalid statement \(at line 1, column 1\)"),
        ("c.yaml", "", "allowed are .json and .toml"),
        ("c.json", "[" * 10_000, "nested deeper than 32 levels"),
        ("c.json", '{"motion":' * 10_000, "nested deeper than 32 levels"),
        ("c.toml", "motion = " + "[" * 10_000, "nested too deeply"),
        ("c.json", '{"window": {"ratio": ' + "9" * 400 + "}}", "a whole number of 400 digits"),
        ("c.json", '{"window": {"ratio": ' + "9" * 5000 + "}}", "a whole number of 5000 digits"),
        ("c.toml", "window.ratio = " + "9" * 400, "1.5 to 20"),
        ("c.toml", "window.ratio = " + "9" * 5000, "c.toml: one of its whole numbers has thousands of digits;"),
        ("c.json", '{"compete": true, "compete": false}', "the key 'compete' stands twice"),
        ("c.toml", "compete = true\ncompete = false", "c.toml: Cannot overwrite a value"),
        ("c.json", b'{"a": "\xff"}', "not text in UTF-8"),
        ("c.toml", b"a = '\xff'", "not text in UTF-8"),
        ("c.json", " " * 1_000_001, "more than 1,000 kB"),
        ("c.toml", "#" * 1_000_001, "more than 1,000 kB"),
    ],
)
def test_bad_settings_are_refused(tmp_path, name, text, message):
    (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UsageError, match=message):
        load_config(tmp_path / name)


def test_a_missing_settings_file_is_bad_input(job, engine, capsys):
    code, line = fails([*job.arguments, "--config", "none.json"], capsys)
    assert code == 2 and "none.json" in line and engine.options is None


# --- refused before any work -----------------------------------------------------------------------------------------


def check(out: Path, ctc: Path | None = None, overlay: Path | None = None, *inputs: Path, overwrite: bool = False):
    check_outputs(out, ctc, overlay, inputs=[Input(path) for path in inputs], overwrite=overwrite)


def test_new_outputs_in_new_folders_are_fine_and_nothing_is_made(tmp_path):
    check(tmp_path / "a" / "o.zarr", tmp_path / "b" / "ctc", tmp_path / "c" / "o.gif", tmp_path / "m.tif")
    assert list(tmp_path.iterdir()) == []


def test_an_existing_result_is_replaced_only_with_overwrite(tmp_path):
    out = tmp_path / "o.zarr"
    zarr.open_group(out, mode="w")
    with pytest.raises(UsageError, match="already exists; .* --overwrite"):
        check(out)
    check(out, overwrite=True)


def test_a_folder_that_is_no_result_is_never_replaced(tmp_path):
    (tmp_path / "photos").mkdir()
    with pytest.raises(UsageError, match="is no zarr folder, so it is never replaced"):
        check(tmp_path / "photos", overwrite=True)


def test_an_existing_export_is_replaced_only_with_overwrite(tmp_path):
    (tmp_path / "ctc").mkdir()
    check(tmp_path / "o.zarr", tmp_path / "ctc")
    export_ctc(np.ones((1, 4, 4), np.uint16), tmp_path / "ctc")
    with pytest.raises(UsageError, match="ctc is not empty"):
        check(tmp_path / "o.zarr", tmp_path / "ctc")
    check(tmp_path / "o.zarr", tmp_path / "ctc", overwrite=True)


def test_masks_that_no_export_wrote_are_never_replaced(tmp_path):
    (tmp_path / "ctc").mkdir()
    (tmp_path / "ctc" / "mask000.tif").touch()
    with pytest.raises(UsageError, match=r"holds mask000\.tif, .* so it is not replaced"):
        check(tmp_path / "o.zarr", tmp_path / "ctc", overwrite=True)


def test_an_existing_picture_is_replaced_only_with_overwrite(tmp_path):
    (tmp_path / "o.gif").touch()
    with pytest.raises(UsageError, match=r"o\.gif already exists"):
        check(tmp_path / "o.zarr", None, tmp_path / "o.gif")
    check(tmp_path / "o.zarr", None, tmp_path / "o.gif", overwrite=True)


def test_only_gif_and_png_pictures_are_drawn(tmp_path):
    with pytest.raises(UsageError, match=r"allowed are \.gif and \.png files"):
        check(tmp_path / "o.zarr", None, tmp_path / "o.mp4")


@pytest.mark.parametrize(
    ("out", "ctc", "source", "said"),
    [
        ("m.zarr", None, "m.zarr", r"m\.zarr overlaps \S*m\.zarr, which is read"),
        (".", None, "m.zarr", r" overlaps \S*m\.zarr, which is read"),
        ("m.zarr/labels", None, "m.zarr", r"labels overlaps \S*m\.zarr, which is read"),
        ("o.zarr", "m", "m", r"m overlaps \S*m, which is read"),
        ("o.zarr", "o.zarr", "m", r"o\.zarr overlaps \S*o\.zarr, which is written too"),
        ("o.zarr", "o.zarr/ctc", "m", r"o\.zarr overlaps \S*ctc, which is written too"),
    ],
)
def test_outputs_never_touch_inputs_or_each_other(tmp_path, out, ctc, source, said):
    with pytest.raises(UsageError, match=said):
        check(tmp_path / out, tmp_path / ctc if ctc else None, None, tmp_path / source, overwrite=True)


@pytest.mark.parametrize("names", [("r.zarr/o.zarr",), ("o.zarr", "r.zarr/ctc"), ("o.zarr", "ctc", "r.zarr/o.gif")])
def test_outputs_never_lie_in_a_zarr_store(tmp_path, names):
    zarr.open_group(tmp_path / "r.zarr", mode="w")
    places = [tmp_path / name for name in names]
    with pytest.raises(Refused, match=r"would lie in '\S*r\.zarr', which is a zarr store"):
        check(*places, overwrite=True)
    with pytest.raises(Refused, match=r"would lie in '\S*r\.zarr', which is a zarr store"):
        check_report(tmp_path / "r.zarr" / "report.json", (".json",), inputs=(), overwrite=True)


def test_a_result_beside_the_images_of_a_folder_is_fine(tmp_path):
    (tmp_path / "images").mkdir()
    check(tmp_path / "images" / "o.zarr", None, None, tmp_path / "images")
    with pytest.raises(UsageError, match=r"images overlaps \S*images, which is read; inputs are never outputs"):
        check(tmp_path / "images", None, None, tmp_path / "images")
    assert list(tmp_path.rglob("*")) == [tmp_path / "images"]


def test_a_file_in_the_way_of_a_folder_is_reported(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot write"):
        check(tmp_path / "file" / "o.zarr")


def test_a_folder_that_cannot_be_written_is_reported(tmp_path):
    folder = Path("/proc") if os.getuid() == 0 else tmp_path
    if folder == tmp_path:
        tmp_path.chmod(0o500)
    elif not folder.exists():
        pytest.skip("root may write everywhere here")
    with pytest.raises(UsageError, match=r"cannot write .*o\.zarr"):
        check(folder / "o.zarr")


# --- exit codes ------------------------------------------------------------------------------------------------------


def test_bad_prompts_are_refused_before_any_work(job, engine, capsys):
    (job.folder / "p.json").write_text('[{"object": 1, "frame": 99, "point": [1, 1]}]')
    code, line = fails(["track", str(job.movie), "-p", str(job.folder / "p.json"), "-o", str(job.out)], capsys)
    assert (code, engine.options) == (2, None)
    assert "object 1 on frame 99: the movie has 10 frames" in line


@pytest.mark.parametrize("command", [["info", "none.tif"], ["track", "none.tif", "-p", "none.json", "-o", "o.zarr"]])
def test_a_missing_movie_is_bad_input(command, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, line = fails(command, capsys)
    assert code == 2 and "none.tif" in line


def last_line(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().err.strip().split("\n")[-1]


def test_bad_input_found_by_the_engine_is_exit_code_2(job, engine, capsys):
    engine.frames, engine.error = 0, ValueError("no GPU here\nuse --device cpu")
    assert cli.main(job.arguments) == 2
    assert last_line(capsys) == "mosam: error: no GPU here use --device cpu"


def test_an_error_in_the_middle_is_exit_code_1_and_says_what_is_kept(job, engine, capsys):
    engine.error = ValueError("odd")
    assert cli.main(job.arguments) == 1
    line = last_line(capsys)
    assert "unexpected ValueError: odd; 3 of 3 frames were finished and are kept in" in line


def test_a_bug_is_exit_code_1_without_a_traceback(job, engine, capsys):
    engine.frames, engine.error = 0, KeyError("oops")
    assert cli.main(job.arguments) == 1
    printed = capsys.readouterr().err
    assert "unexpected KeyError: 'oops'" in printed and "Traceback" not in printed


def test_debug_shows_the_traceback(job, engine, caplog):
    engine.error = KeyError("oops")
    assert cli.main([*job.arguments, "--debug"]) == 1
    assert "Traceback" in caplog.text


def test_ctrl_c_is_exit_code_130_and_says_what_is_kept(job, engine, capsys):
    engine.frames, engine.error = 2, KeyboardInterrupt()
    assert cli.main(job.arguments) == 130
    assert last_line(capsys) == f"mosam: stopped: 2 of 3 frames were finished and are kept in {job.out}"


# --- the real thing --------------------------------------------------------------------------------------------------


def test_info_describes_the_movie(job, capsys):
    assert cli.main(["info", str(job.movie)]) == 0
    assert "10 frames, 96 x 96 px" in capsys.readouterr().out


@pytest.mark.parametrize("text", ["5", "9:3", "nan:1", "1:inf", "1:2:3", "a:b", "", ":", "3:3", "Exact"])
def test_impossible_limits_are_refused(job, capsys, text):
    for command in (["info", str(job.movie)], job.arguments):
        code, message = fails([*command, f"--limits={text}"], capsys)
        assert code == 2 and "give LOW:HIGH" in message
    assert not job.out.exists()


def test_limits_can_be_given_or_exact(job, capsys):
    for text, said in (("-5:900.5", "-5 to 900.5 become 0 to 1 (given)"), ("exact", "become 0 to 1 (exact)")):
        assert cli.main(["info", str(job.movie), f"--limits={text}"]) == 0
        assert said in capsys.readouterr().out


def test_what_took_no_part_in_the_limits_is_said_once_and_stored(job, capsys):
    images = job.truth.images.copy()
    images[4] = np.iinfo(images.dtype).max
    tifffile.imwrite(job.movie, images, photometric="minisblack", metadata={"axes": "TYX"})
    note = "grey limits: frame 4 took no part (unlike all others)"
    assert cli.main(["info", str(job.movie)]) == 0
    assert note in capsys.readouterr().out
    assert cli.main([*job.arguments, "--frames", ":2"]) == 0
    said = capsys.readouterr().err
    assert said.count(note) == 1 and "mosam: movie.tif: 10 frames, 96 x 96 px (Y, X)\n" in said
    attrs = zarr.open_group(job.out, mode="r").attrs
    assert attrs["grey_limits"]["left_out"] == [4] and attrs["limits"][1] < images[0].max()
    assert cli.main([*job.arguments, "--frames", ":2", "--overwrite", "--limits", "7:4000"]) == 0
    assert "grey limits" not in capsys.readouterr().err
    assert zarr.open_group(job.out, mode="r").attrs["limits"] == [7, 4000]


def test_track_follows_a_simulated_cell(job):
    """From a click on the first frame to label frames, CTC files and an animation, in a process of its own."""
    centre = np.argwhere(job.truth.labels[0] == 1).mean(axis=0)
    (job.folder / "p.json").write_text(json.dumps([{"object": 7, "frame": 0, "point": centre.tolist()}]))
    extras = "--diameter 24 --device cpu --frames :5 --export-ctc ctc --overlay o.gif".split()
    command = [sys.executable, "-m", "napari_mosam", "track", "movie.tif", "-p", "p.json", "-o", "out.zarr", *extras]
    done = subprocess.run(command, cwd=job.folder, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("1 objects, 5 frames (5 with a mask, 0 without), 5 object-frames")
    labels = zarr.open_group(job.out, mode="r")["0"]
    assert labels.shape == job.truth.labels.shape
    assert labels.chunks == (1, *labels.shape[1:])
    for t in range(5):
        found, true = labels[t] == 7, job.truth.labels[t] == 1
        assert (found & true).sum() / (found | true).sum() > 0.7
    assert not labels[5:].any()
    assert (job.folder / "ctc" / "res_track.txt").read_text() == "7 0 4 0\n"
    assert Image.open(job.folder / "o.gif").n_frames == 5


# --- inputs are never outputs ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("movie", "options"),
    [
        ("frames", "--out frames/o.tif"),
        ("frames", "--out o.zarr --overlay frames/o.png"),
        ("frames", "--out o.zarr --export-ctc frames"),
        ("frames/t*.png", "--out o.zarr --overlay frames/t9.png"),
        ("frames/t*.png", "--out o.zarr --overlay link/t0.png"),
        ("frames/mask*.tif", "--out o.zarr --export-ctc frames"),
        ("movie.png", "--out o.zarr --overlay ./frames/../movie.png"),
        ("movie.png", "--out o.zarr --overlay symlink.png"),
        ("movie.png", "--out o.zarr --overlay hardlink.png"),
        ("frames", "--out o.zarr --overlay framelink.png"),
        ("movie.zarr", "--out movie.zarr"),
        ("movie.zarr", "--out symlink.zarr"),
        ("movie.zarr/0", "--out movie.zarr"),
        ("movie.zarr", "--out o.zarr --export-ctc movie.zarr/ctc"),
        ("movie.png", "--out o.zarr --overlay cell.png"),
        ("movie.png", "--out o.zarr --overlay o.zarr/o.png"),
        ("movie.png", "--out o.zarr --export-ctc o.zarr"),
    ],
)
def test_inputs_are_never_outputs_whichever_way_leads_there(tmp_path, monkeypatch, capsys, movie, options):
    monkeypatch.chdir(tmp_path)
    Path("frames").mkdir()
    for name in ("movie.png", "cell.png", "frames/t0.png", "frames/t1.png"):
        Image.fromarray(np.full((8, 8), 7, np.uint8)).save(name)
    zarr.open_group("movie.zarr", mode="w").create_array("0", data=np.zeros((2, 8, 8), np.uint8))
    Path("p.json").write_text(json.dumps([{"object": 1, "frame": 0, "mask": "cell.png"}]))
    for link, target in (("link", "frames"), ("symlink.png", "movie.png"), ("symlink.zarr", "movie.zarr")):
        Path(link).symlink_to(target)
    os.link("movie.png", "hardlink.png")
    os.link("frames/t1.png", "framelink.png")
    before = {path: path.read_bytes() for path in sorted(tmp_path.rglob("*")) if path.is_file()}
    code, line = fails(["track", movie, "-p", "p.json", *options.split(), "--overwrite"], capsys)
    assert code == 2 and "overlaps" in line and "choose another place" in line
    assert {path: path.read_bytes() for path in sorted(tmp_path.rglob("*")) if path.is_file()} == before


def test_settings_and_weights_are_inputs_too(job, engine, capsys):
    for option in ("--config", "--model", "--model-config"):
        (job.folder / "o.png").write_text("{}")
        line = [*job.arguments, option, str(job.folder / "o.png"), "--overlay", str(job.folder / "o.png")]
        assert "inputs are never outputs" in fails([*line, "--overwrite"], capsys)[1]
    assert engine.options is None


def test_weights_that_a_setting_names_are_an_input(job, engine, capsys):
    (job.folder / "o.png").write_bytes(b"")
    line = [*job.arguments, "--set", f"model={job.folder / 'o.png'}", "--overlay", str(job.folder / "o.png")]
    assert "inputs are never outputs" in fails([*line, "--overwrite"], capsys)[1]
    assert engine.options is None


def test_a_movie_of_mask_files_survives_an_export_into_its_folder(job, engine, capsys):
    for t, frame in enumerate(job.truth.images):
        tifffile.imwrite(job.folder / f"mask{t:03d}.tif", frame)
    arguments = [*job.arguments, "--export-ctc", str(job.folder), "--overwrite"]
    code, line = fails(arguments, capsys)
    assert code == 2 and "holds mask000.tif" in line
    assert len(list(job.folder.glob("mask*.tif"))) == len(job.truth.images)


# --- half results ----------------------------------------------------------------------------------------------------


def test_info_describes_a_result_and_how_far_it_came(tmp_path, capsys):
    half_result(tmp_path / "half.zarr", 13, 40)
    assert cli.main(["info", str(tmp_path / "half.zarr")]) == 0
    printed = capsys.readouterr().out
    assert "stopped at frame 13 of 40" in printed and "2: 1, 2" in printed


def test_a_result_is_no_movie(tmp_path, job, engine, capsys):
    half_result(tmp_path / "half.zarr", 2)
    code, line = fails(["track", str(tmp_path / "half.zarr"), *job.arguments[2:]], capsys)
    assert code == 2 and "half.zarr is a result of 'mosam track', not a movie" in line


def test_half_results_as_prompts_are_said_once(tmp_path, caplog):
    half_result(tmp_path / "half.zarr", 2)
    zarr.open_group(tmp_path / "half.zarr", mode="r+")["labels"][0, 2:4, 2:4] = 1
    assert len(load_prompts(tmp_path / "half.zarr", (3, 8, 8))) == 1
    assert [record.getMessage().endswith("is half a result: stopped at frame 2 of 3") for record in caplog.records] == [
        True
    ]


def test_a_result_that_went_away_is_not_said_to_be_kept(job, engine, capsys):
    engine.error = ResultGoneError("it was moved")
    engine.before_error = lambda: job.out.rename(job.folder / "moved.zarr")
    assert cli.main(job.arguments) == 1
    line = last_line(capsys)
    assert "3 of 3 frames were finished, but" in line and "holds no result any more" in line
    assert "are kept" not in line


def test_a_stop_under_overwrite_says_that_the_earlier_result_is_unchanged(job, engine, capsys):
    half_result(job.out, 3)
    engine.writes, engine.error = False, KeyboardInterrupt()
    assert cli.main([*job.arguments, "--overwrite"]) == 130
    assert f"the earlier result in {job.out} is unchanged; 3 of 3 frames were finished of the new one" in last_line(
        capsys
    )


# --- numbers and lists without end -----------------------------------------------------------------------------------

DEEP = "[" * 10_000 + "]" * 10_000
LONG = "9" * 400


@pytest.mark.parametrize(
    "text",
    [
        DEEP,
        f'[{{"object": {LONG}, "frame": 0, "point": [1, 1]}}]',
        f'[{{"object": 1, "frame": {LONG}, "point": [1, 1]}}]',
        f'[{{"object": 1, "frame": 0, "point": [1, {LONG}]}}]',
        f'[{{"object": 1, "frame": 0, "box": [1, 1, 5, {"9" * 5000}]}}]',
    ],
)
def test_prompts_without_end_are_refused_in_one_line(job, engine, capsys, text):
    (job.folder / "p.json").write_text(text)
    code, line = fails(["track", str(job.movie), "-p", str(job.folder / "p.json"), "-o", str(job.out)], capsys)
    assert code == 2 and "p.json: " in line and len(line) < 400
    assert engine.options is None


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("c.json", DEEP),
        ("c.toml", "a = " + DEEP),
        ("c.json", f'{{"memory": {{"n_frames": {LONG}}}}}'),
        ("c.toml", f"[window]\nratio = {LONG}"),
        ("c.json", f'{{"window": {{"ratio": {"9" * 5000}}}}}'),
    ],
)
def test_settings_without_end_are_refused_in_one_line(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    with pytest.raises(UsageError, match=f"--config .*{name}: ") as refused:
        load_config(tmp_path / name)
    assert len(str(refused.value)) < 600


def test_warnings_look_like_all_that_the_command_says(monkeypatch, capsys):
    ours = logging.getLogger("napari_mosam")
    monkeypatch.setattr(ours, "handlers", [])
    monkeypatch.setattr(entry, "StopSignals", lambda: SimpleNamespace(catch=lambda: None, end=lambda: None))
    monkeypatch.setattr(cli, "main", lambda stop: ours.getChild("core").warning("each is an object of its own") or 0)
    assert entry.main() == 0
    assert capsys.readouterr().err == "mosam: each is an object of its own\n"
