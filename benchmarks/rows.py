"""The rows of the ablation: names and settings of the engine."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from napari_mosam.core.config.engine import MOTION_PROMPTS, EngineConfig, LifecycleConfig

Change = Callable[[EngineConfig], EngineConfig]


def digest(config: EngineConfig) -> str:
    """Short hash of all settings: rows with equal settings share their results."""
    return hashlib.sha256(json.dumps(config.to_dict(), sort_keys=True).encode()).hexdigest()[:12]


def motion(**settings: Any) -> Change:
    """Change the motion settings."""
    return lambda config: replace(config, motion=replace(config.motion, **settings))


def memory(**settings: Any) -> Change:
    """Change the memory settings."""
    return lambda config: replace(config, memory=replace(config.memory, **settings))


def whole(**settings: Any) -> Change:
    """Change settings of the engine itself."""
    return lambda config: replace(config, **settings)


CAP = EngineConfig().memory.max_conditioning
"""Objects that are prompted once, as here, do not notice it."""

PARTS: dict[str, tuple[Change, Change]] = {
    "drift": (motion(drift=True), motion(drift=False)),
    "flow": (motion(flow=True), motion(flow=False)),
    "write gate": (
        lambda c: c if c.memory.selection != "sam2" else memory(selection="gated", max_conditioning=CAP)(c),
        memory(selection="sam2"),
    ),
    "ranked frames": (
        memory(selection="reliable"),
        lambda c: c if c.memory.selection != "reliable" else memory(selection="gated")(c),
    ),
    "competition": (whole(compete=True), whole(compete=False)),
    "pruning": (whole(prune=True), whole(prune=False)),
    "life": (whole(life=LifecycleConfig()), whole(life=LifecycleConfig.off())),
    "Kalman": (motion(kalman=True), motion(kalman=False)),
    "key points": (motion(keypoints=True), motion(keypoints=False)),
    "velocity window": (motion(velocity=True), motion(velocity=False)),
}
"""Name -> how to switch a part on and off, whatever the other parts are."""

LADDER = ("drift", "flow", "write gate", "competition", "pruning", "life", "Kalman")
"""The order in which parts are added to plain."""

CHOICES: dict[str, Change] = {
    **{f"pixels {kind}": memory(pixels=kind) for kind in ("off", "bias", "feature")},
    **{f"prompt {kind}": motion(prompt=kind, negatives=0) for kind in MOTION_PROMPTS},
    "prompt box+points, negatives": motion(prompt="box+points", negatives=3),
    **{f"{n} frames read": memory(n_frames=n) for n in (2, 4)},
}
"""Settings with more than two values."""

PROMPTED_ROWS = ("plain", "default")
"""The rows that are also run with clicks and boxes."""


def engine_rows() -> dict[str, EngineConfig]:
    """Every row by name: plain, parts added one after the other, then the default and one change at a time."""
    default = EngineConfig()
    rows = ladder_rows() | {"default": default} | single_changes(default)
    rows["default, ST-MS and life off"] = without_stms(default)
    rows["everything on"] = everything(default)
    return rows | learned_rows(default)


def learned_rows(default: EngineConfig) -> dict[str, EngineConfig]:
    """The default with the trained encoders, without and with prompts from motion."""
    learned = motion(encoder="learned")(default)
    rows = {"default, learned motion": learned}
    for name in ("prompt mask", "prompt box+points, negatives"):
        rows[f"default, {name}, learned motion"] = CHOICES[name](learned)
    return rows


def ladder_rows() -> dict[str, EngineConfig]:
    """Plain, its velocity window, then one more part per row; beside the gate, what else the memory can do."""
    plain = EngineConfig.plain()
    rows = {"plain": plain, "plain, velocity window": PARTS["velocity window"][0](plain)}
    config = plain
    for part in LADDER:
        config = PARTS[part][0](config)
        rows[f"+ {part}"] = config
        if part == "write gate":
            ranked = PARTS["ranked frames"][0](config)
            rows["+ write gate, ranked frames"] = ranked
            rows["+ write gate, ranked frames, pixels bias"] = CHOICES["pixels bias"](ranked)
            rows["+ write gate, ranked frames, pixels feature"] = CHOICES["pixels feature"](ranked)
    return rows


def single_changes(default: EngineConfig) -> dict[str, EngineConfig]:
    """The default without each part it has, with each part it has not, and with every other choice."""
    rows = {}
    for part, (on, off) in PARTS.items():
        there = on(default) == default
        rows[f"default {'-' if there else '+'} {part}"] = (off if there else on)(default)
    for name, change in CHOICES.items():
        if change(default) != default:
            rows[f"default, {name}"] = change(default)
    return {name: config for name, config in rows.items() if config != default}


def without_stms(default: EngineConfig) -> EngineConfig:
    """The default with SAM 2's memory: every frame remembered, the last six read, the object score believed."""
    return CHOICES["pixels off"](PARTS["write gate"][1](PARTS["life"][1](default)))


def everything(default: EngineConfig) -> EngineConfig:
    """Every part of MoSAM at once: all cues, ranked frames, pixel bias, box, points and negatives."""
    for part, (on, _) in PARTS.items():
        if part != "velocity window":
            default = on(default)
    return CHOICES["prompt box+points, negatives"](CHOICES["pixels bias"](default))
