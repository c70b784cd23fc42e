import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_mosam.core.config.engine import (
    FLOW_METHODS,
    MOTION_ENCODERS,
    MOTION_PROMPTS,
    PIXEL_FILTERS,
    SELECTIONS,
    EngineConfig,
    LifecycleConfig,
    MemoryConfig,
    MotionConfig,
    WindowConfig,
)

CONFIGS = st.builds(
    EngineConfig,
    window=st.builds(
        WindowConfig,
        mode=st.sampled_from(["object", "full"]),
        ratio=st.floats(1.5, 20),
        rescale=st.floats(0, 1),
        ladder_max=st.floats(0.1, 4),
    ),
    motion=st.builds(
        MotionConfig,
        encoder=st.sampled_from(MOTION_ENCODERS),
        drift=st.booleans(),
        flow=st.booleans(),
        flow_method=st.sampled_from(FLOW_METHODS),
        keypoints=st.booleans(),
        kalman=st.booleans(),
        velocity=st.booleans(),
        prompt=st.sampled_from(MOTION_PROMPTS),
        negatives=st.integers(0, 8),
        box_weight=st.floats(0, 0.5),
        mask_weight=st.floats(0, 0.5),
        overlap_weight=st.floats(0, 1),
    ),
    memory=st.builds(
        MemoryConfig,
        selection=st.sampled_from(SELECTIONS),
        n_frames=st.integers(1, 6),
        n_candidates=st.integers(1, 64),
        stride=st.integers(1, 32),
        min_iou=st.floats(0, 0.99),
        pixels=st.sampled_from(PIXEL_FILTERS),
        pixel_range=st.tuples(st.floats(0, 0.49), st.floats(0.5, 1)),
        max_conditioning=st.integers(0, 9),
        area_range=st.tuples(st.floats(0, 0.99), st.floats(1.01, 9)),
        area_history=st.integers(1, 30),
        min_consistency=st.floats(0, 0.99),
    ),
    life=st.builds(
        LifecycleConfig,
        confirm=st.integers(0, 10),
        gate_area=st.tuples(st.floats(0, 0.99), st.floats(1.01, 9)),
        gate_sigmas=st.floats(0.1, 9),
        return_iou=st.tuples(st.floats(0, 1), st.floats(0, 1)),
        min_contrast=st.floats(0, 0.99),
        widen=st.floats(1, 2),
        max_widen=st.floats(1, 4),
        end_at_border=st.integers(0, 9),
        max_hidden=st.integers(0, 99),
    ),
    compete=st.booleans(),
    prune=st.booleans(),
    duplicate_iou=st.floats(0, 1),
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
        ({"motion": {"flow_method": "farneback"}}, "flow_method = 'farneback'.*'auto', 'ilk', 'dis' or 'torch'"),
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
        (MemoryConfig, {"selection": "all"}, "selection = 'all'.*'gated', 'reliable' or 'sam2'"),
        (MemoryConfig, {"n_frames": 7}, "n_frames = 7.*1 to 6"),
        (MemoryConfig, {"n_frames": 0}, "n_frames = 0"),
        (MemoryConfig, {"max_conditioning": -1}, "max_conditioning = -1"),
        (MemoryConfig, {"area_range": (0.5, 0.9)}, "area_range"),
        (MemoryConfig, {"area_history": 0}, "area_history = 0"),
        (MemoryConfig, {"min_consistency": 1}, "min_consistency = 1"),
        (MemoryConfig, {"n_candidates": 0}, "n_candidates = 0"),
        (MemoryConfig, {"stride": 0}, "stride = 0"),
        (MemoryConfig, {"min_iou": 1}, "min_iou = 1"),
        (MemoryConfig, {"pixels": "on"}, "pixels = 'on'.*'off', 'bias' or 'feature'"),
        (MemoryConfig, {"pixel_range": (0.6, 0.2)}, "pixel_range"),
        (MotionConfig, {"encoder": "neural"}, "motion encoder = 'neural'.*'classical' or 'learned'"),
        (MotionConfig, {"prompt": "circle"}, "motion prompt = 'circle'"),
        (MotionConfig, {"negatives": -1}, "negatives = -1"),
        (MotionConfig, {"box_weight": 0.8, "mask_weight": 0.3}, r"box_weight \+ mask_weight"),
        (MotionConfig, {"overlap_weight": 2}, "overlap_weight = 2"),
        (LifecycleConfig, {"confirm": -1}, "confirm = -1"),
        (LifecycleConfig, {"gate_area": (1, 2)}, "gate_area"),
        (LifecycleConfig, {"gate_sigmas": 0}, "gate_sigmas = 0"),
        (LifecycleConfig, {"min_contrast": 1}, "min_contrast = 1"),
        (LifecycleConfig, {"widen": 0.9}, "widen = 0.9"),
        (LifecycleConfig, {"max_widen": 5}, "max_widen = 5"),
        (LifecycleConfig, {"end_at_border": -1}, "end_at_border = -1"),
        (LifecycleConfig, {"return_iou": (0.5, 1.1)}, "return_iou"),
        (LifecycleConfig, {"max_hidden": -1}, "max_hidden = -1"),
        (EngineConfig, {"duplicate_iou": 1.1}, "duplicate_iou = 1.1"),
    ],
)
def test_values_outside_their_range_are_refused(part, settings, message):
    with pytest.raises(ValueError, match=message):
        part(**settings)


def test_plain_is_sam2_without_additions():
    plain = EngineConfig.plain()
    assert not plain.compete
    assert not plain.prune
    assert plain.motion == MotionConfig.off()
    assert not any((plain.motion.drift, plain.motion.flow, plain.motion.kalman, plain.motion.keypoints))
    assert plain.motion.prompt == plain.memory.pixels == "off"
    assert plain.life == LifecycleConfig.off()
    assert (plain.memory.selection, plain.memory.max_conditioning) == ("sam2", 0)
