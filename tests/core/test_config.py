import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_mosam.core.config import EngineConfig, MemoryConfig, MotionConfig, WindowConfig

CONFIGS = st.builds(
    EngineConfig,
    window=st.builds(
        WindowConfig,
        mode=st.sampled_from(["object", "full"]),
        ratio=st.floats(1.5, 20),
        rescale=st.floats(0, 1),
        ladder_max=st.floats(0.1, 4),
    ),
    motion=st.builds(MotionConfig, st.booleans(), st.booleans(), st.sampled_from(["auto", "ilk", "dis"])),
    memory=st.builds(
        MemoryConfig,
        selection=st.sampled_from(["gated", "sam2"]),
        n_frames=st.integers(1, 6),
        max_conditioning=st.integers(0, 9),
        area_range=st.tuples(st.floats(0, 0.99), st.floats(1.01, 9)),
        area_history=st.integers(1, 30),
        min_consistency=st.floats(0, 0.99),
    ),
    compete=st.booleans(),
    prune=st.booleans(),
)


@given(CONFIGS)
def test_a_config_survives_json(config):
    assert EngineConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_what_is_left_out_keeps_its_default():
    read = EngineConfig.from_dict({"memory": {"n_frames": 2}, "compete": False})
    assert read == EngineConfig(memory=MemoryConfig(n_frames=2), compete=False)
    assert EngineConfig.from_dict({}) == EngineConfig()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"windows": {}}, r"\['windows'\] in config"),
        ({"window": {"size": 3}}, r"\['size'\] in window"),
        ({"memory": {"area_range": [2, 3]}}, r"area_range = \(2, 3\)"),
        ({"compete": "off"}, "compete = 'off'.*true or false"),
        ({"motion": {"flow_method": "farneback"}}, "flow_method = 'farneback'.*'auto', 'ilk' or 'dis'"),
    ],
)
def test_what_cannot_be_read_is_named(given, message):
    with pytest.raises(ValueError, match=message):
        EngineConfig.from_dict(given)


@pytest.mark.parametrize(
    ("part", "settings", "message"),
    [
        (WindowConfig, {"mode": "half"}, "window mode = 'half'.*'object' or 'full'"),
        (WindowConfig, {"ratio": 1.4}, "ratio = 1.4"),
        (WindowConfig, {"ratio": float("nan")}, "ratio = nan"),
        (WindowConfig, {"rescale": 1.1}, "rescale = 1.1"),
        (WindowConfig, {"ladder_max": 0}, "ladder_max = 0"),
        (MemoryConfig, {"selection": "all"}, "selection = 'all'.*'gated' or 'sam2'"),
        (MemoryConfig, {"n_frames": 7}, "n_frames = 7.*1 to 6"),
        (MemoryConfig, {"n_frames": 0}, "n_frames = 0"),
        (MemoryConfig, {"max_conditioning": -1}, "max_conditioning = -1"),
        (MemoryConfig, {"area_range": (0.5, 0.9)}, "area_range"),
        (MemoryConfig, {"area_history": 0}, "area_history = 0"),
        (MemoryConfig, {"min_consistency": 1}, "min_consistency = 1"),
    ],
)
def test_values_outside_their_range_are_refused(part, settings, message):
    with pytest.raises(ValueError, match=message):
        part(**settings)


def test_plain_is_sam2_without_additions():
    plain = EngineConfig.plain()
    assert not plain.compete
    assert not plain.prune
    assert plain.motion == MotionConfig.off() == MotionConfig(drift=False, flow=False)
    assert (plain.memory.selection, plain.memory.max_conditioning) == ("sam2", 0)
