import copy
import pickle
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
from tools.make_settings import PAGE, page

from napari_mosam.core.config.engine import EngineConfig, MemoryConfig, MotionConfig, WindowConfig
from napari_mosam.core.config.fields import Range, settings_of
from napari_mosam.core.config.run import ComputeConfig, MovieConfig, RunConfig

SETTINGS = settings_of(RunConfig)


def by_name(name):
    return next(setting for setting in SETTINGS if setting.name == name)


# --- the list of settings --------------------------------------------------------------------------------------------


def test_every_setting_is_named_once_and_says_what_it_means():
    names = [setting.name for setting in SETTINGS]
    assert len(names) == len(set(names)) > 45
    assert [s.name for s in SETTINGS if not s.description.endswith(".") or not s.allowed] == []


def test_a_setting_knows_where_it_is_and_what_it_may_be():
    ratio = by_name("window.ratio")
    assert ratio.path == ("engine", "window", "ratio")
    assert (ratio.kind, ratio.default, ratio.ranges) == (float, 5.0, (Range(1.5, 20),))
    assert ratio.allowed == "1.5 to 20 object diameters"
    assert by_name("memory.selection").choices == ("gated", "reliable", "sam2")
    assert by_name("memory.area_range").ranges == (Range(0, 1, high_open=True), Range(1, low_open=True))
    assert (by_name("diameter").value_kind, by_name("diameter").optional) == (float, True)
    assert by_name("window.ratio").optional is False


@pytest.mark.parametrize(
    ("given", "unit", "words"),
    [
        (Range(1.5, 20), "px", "1.5 to 20 px"),
        (Range(0, 1, high_open=True), "", "0 to below 1"),
        (Range(0, 1, low_open=True), "", "above 0 to 1"),
        (Range(1), "frames", "1 or more frames"),
        (Range(0, low_open=True), "px", "a positive number of px"),
        (Range(1, low_open=True), "", "above 1"),
        (Range(high=3), "px", "3 or less px"),
        (Range(high=3, high_open=True), "", "below 3"),
        (Range(), "px", "any number of px"),
        (Range(), "", "any number"),
    ],
)
def test_a_range_in_words(given, unit, words):
    assert given.words(unit) == words


def test_the_page_of_settings_is_current():
    assert PAGE.read_text(encoding="utf-8") == page(), "run python -m tools.make_settings"


def test_the_docstring_of_a_class_describes_its_fields():
    assert "ratio : float\n    Side of the window in object diameters." in (WindowConfig.__doc__ or "")
    assert "z : int or {'max'} or None" in (MovieConfig.__doc__ or "")
    assert "window : WindowConfig\n    See its class." in (EngineConfig.__doc__ or "")


# --- the classes -----------------------------------------------------------------------------------------------------


def test_settings_are_frozen_compared_hashed_copied_and_pickled():
    config = EngineConfig(window=WindowConfig(ratio=4))
    with pytest.raises(FrozenInstanceError):
        config.compete = False
    assert not hasattr(config, "__dict__")
    assert pickle.loads(pickle.dumps(config)) == copy.deepcopy(config) == config
    assert {config: 1}[EngineConfig(window=WindowConfig(ratio=4))] == 1


def test_a_replaced_setting_is_checked_again():
    assert replace(WindowConfig(), ratio=3).ratio == 3
    with pytest.raises(ValueError, match=r"window ratio = 30 is not possible; allowed: 1\.5 to 20 object diameters"):
        replace(WindowConfig(), ratio=30)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: MemoryConfig(n_frames=2.5), "memory n_frames = 2.5 is not possible; allowed: a whole number"),
        (lambda: MemoryConfig(n_frames=True), "memory n_frames = True is not possible; allowed: a whole number"),
        (lambda: MemoryConfig(n_frames="2"), "memory n_frames = '2' is not possible; allowed: a whole number"),
        (lambda: MotionConfig(drift="on"), "motion drift = 'on' is not possible; allowed: true or false"),
        (lambda: MotionConfig(drift=1), "motion drift = 1 is not possible; allowed: true or false"),
        (lambda: WindowConfig("full", "wide"), "window ratio = 'wide' is not possible; allowed: a number"),
        (lambda: WindowConfig(ratio=np.inf), r"window ratio = inf is not possible; allowed: 1.5 to 20"),
        (lambda: EngineConfig(window={}), "window = {} is not possible; allowed: a WindowConfig"),
        (lambda: MovieConfig(limits=(3, 1)), r"movie limits = \(3, 1\) .*two numbers, low and high, or 'exact'"),
        (
            lambda: MovieConfig(z=-1),
            "movie z = -1 is not possible; allowed: the number of a plane, counted from 0, or 'max', or none",
        ),
        (lambda: ComputeConfig(chunk=0), "compute chunk = 0 is not possible; allowed: 1 or more windows, or none"),
        (lambda: RunConfig(model=3), "model = 3 is not possible; allowed: text"),
        (lambda: RunConfig(frames=(7, 4)), r"frames = \(7, 4\) is not possible; allowed: a range .*, start below stop"),
        (lambda: RunConfig(frames=(4, 4)), r"frames = \(4, 4\) is not possible; allowed: a range"),
        (lambda: RunConfig(frames=(-1, 4)), r"frames = \(-1, 4\) is not possible; allowed: a range .* from 0"),
        (lambda: RunConfig(frames=(None, 0)), r"frames = \(None, 0\) is not possible; allowed: a range"),
        (lambda: RunConfig(direction="up"), "direction = 'up' .*'forward', 'backward' or 'both'"),
    ],
)
def test_a_refusal_is_one_plain_sentence(build, message):
    with pytest.raises(ValueError, match=message) as refused:
        build()
    assert type(refused.value) is ValueError and refused.value.__cause__ is None
    assert "pydantic" not in str(refused.value) and "http" not in str(refused.value)


@pytest.mark.parametrize(
    ("frames", "expected"),
    [(None, range(10)), ((2, None), range(2, 10)), ((None, 3), range(3)), ((0, 1), range(1)), ((9, 10), range(9, 10))],
)
def test_a_range_of_frames_may_be_open(frames, expected):
    assert RunConfig(frames=frames).range_in(10) == expected


@pytest.mark.parametrize(
    ("frames", "said"), [((2, 11), "2:11"), ((10, None), "10:"), ((None, 11), ":11"), ((12, 14), "12:14")]
)
def test_frames_that_a_movie_does_not_have_are_refused(frames, said):
    with pytest.raises(ValueError, match=f"frames {said} are not possible; the movie has frames 0:10 "):
        RunConfig(frames=frames).range_in(10)


def test_unknown_names_are_refused_by_python_itself():
    with pytest.raises(TypeError, match="unexpected keyword argument 'size'"):
        WindowConfig(size=3)


def test_thousands_of_unknown_names_are_not_all_listed():
    with pytest.raises(ValueError, match=r"unknown setting \['a0', .* and 4994 more in window; known: ") as refused:
        EngineConfig.from_dict({"window": {f"a{n}": 1 for n in range(5000)}})
    assert len(str(refused.value)) < 200


# --- JSON ------------------------------------------------------------------------------------------------------------


def test_a_run_survives_json_and_the_engine_may_stand_without_its_section():
    asked = RunConfig(
        model="tiny", frames=(2, None), diameter=8.5, movie=MovieConfig(limits=(1, 2.5)), engine=EngineConfig.plain()
    )
    assert RunConfig.from_dict(asked.to_dict()) == asked
    assert asked.to_dict()["movie"]["limits"] == [1.0, 2.5]
    flat = {"model": "tiny", "window": {"ratio": 4}, "compete": False}
    engine = EngineConfig(window=WindowConfig(ratio=4), compete=False)
    assert RunConfig.from_dict(flat) == RunConfig(model="tiny", engine=engine)


def test_settings_that_stand_in_and_beside_the_engine_are_refused():
    with pytest.raises(ValueError, match=r"unknown setting \['window'\] in config"):
        RunConfig.from_dict({"engine": {"compete": False}, "window": {"ratio": 4}})
