"""Random settings of simulated movies, by kind: what cells look like, how they move and what befalls them."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from napari_mosam.core.simulation import SimulationConfig
from napari_mosam.core.simulation.optics import Camera, Optics

Rng = np.random.Generator
Settings = dict[str, Any]

_MAX_CELLS = 36


def _log_uniform(rng: Rng, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def _chance(rng: Rng, share: float) -> bool:
    return bool(rng.random() < share)


# --- kinds ----------------------------------------------------------------------------------------------------------


def _stained(rng: Rng) -> Settings:
    """Light of a fluorescence microscope."""
    light = {"background": rng.uniform(0.02, 0.25), "contrast": rng.uniform(0.2, 0.7)}
    return light | {"blur": _log_uniform(rng, 0.6, 2), "brightness": (rng.uniform(0.25, 0.8), 1.0)}


def _transmitted(rng: Rng) -> Settings:
    """Light of a microscope without stains."""
    thick = _log_uniform(rng, 0.4, 1)
    light = {"background": rng.uniform(0.4, 0.6), "contrast": rng.uniform(0.3, 0.7)}
    return light | {"blur": _log_uniform(rng, 0.5, 1.2), "brightness": (0.7 * thick, thick)}


def _nuclei(rng: Rng) -> Settings:
    optics = {"flatness": rng.uniform(0.2, 0.8), "grain": rng.uniform(0.1, 0.8), "granules": rng.uniform(0, 0.5)}
    looks = {
        "modality": str(rng.choice(["fluorescence", "cytoplasm"])),
        "optics": optics | {"nucleus": 0, "seam": -0.1},
    }
    shape = {"cell_shape": str(rng.choice(["ellipse", "lobed", "round"])), "deformation": rng.uniform(0.03, 0.12)}
    return looks | shape | _stained(rng)


def _cytoplasm(rng: Rng) -> Settings:
    optics = {"flatness": rng.uniform(0, 0.5), "grain": rng.uniform(0.3, 1), "granules": rng.uniform(0, 1)}
    optics |= {"nucleus": rng.uniform(-0.8, 0.6), "seam": rng.uniform(-0.3, 0.2)}
    looks = {"modality": "cytoplasm", "cell_shape": "lobed", "deformation": rng.uniform(0.08, 0.2), "optics": optics}
    return looks | _stained(rng)


def _membranes(rng: Rng) -> Settings:
    optics = {"grain": rng.uniform(0, 1), "granules": rng.uniform(0, 1), "nucleus": rng.uniform(-0.5, 0.8)}
    looks = {"modality": "membrane", "cell_shape": "lobed", "deformation": rng.uniform(0.03, 0.12), "optics": optics}
    return looks | _stained(rng) | {"confluent": True}


def _phase(rng: Rng) -> Settings:
    optics = {"flatness": rng.uniform(0.1, 0.7), "grain": rng.uniform(0.3, 1), "granules": rng.uniform(0.4, 2)}
    optics |= {"nucleus": rng.uniform(-0.3, 0.5), "seam": rng.uniform(0.0, 0.6), "halo": rng.uniform(0.7, 1.4)}
    optics |= {"halo_width": _log_uniform(rng, 0.07, 0.3), "droplets": rng.uniform(0, 1.2)}
    looks = {"modality": "zernike", "cell_shape": str(rng.choice(["lobed", "amoeboid"])), "optics": optics}
    return looks | {"deformation": rng.uniform(0.06, 0.16)} | _transmitted(rng)


def _dic(rng: Rng) -> Settings:
    optics = {"flatness": rng.uniform(0.1, 1), "grain": rng.uniform(0.2, 0.8), "granules": rng.uniform(0.4, 2)}
    optics |= {"nucleus": rng.uniform(-0.4, 0.4), "seam": rng.uniform(-0.6, 0.8), "droplets": rng.uniform(0, 1.8)}
    optics |= {"halo": rng.uniform(0, 1.8), "halo_width": rng.uniform(0.03, 0.1)}
    looks = {"modality": "nomarski", "cell_shape": str(rng.choice(["lobed", "amoeboid"])), "optics": optics}
    return looks | {"deformation": rng.uniform(0.06, 0.16)} | _transmitted(rng)


def _brightfield(rng: Rng) -> Settings:
    optics = {"flatness": rng.uniform(0.3, 1), "grain": rng.uniform(0.2, 0.8), "granules": rng.uniform(0.4, 2)}
    optics |= {"nucleus": rng.uniform(-0.3, 0.5), "seam": rng.uniform(-0.8, 0.8), "halo_width": rng.uniform(0.03, 0.1)}
    looks = {"modality": "brightfield", "cell_shape": str(rng.choice(["round", "ellipse", "lobed"])), "optics": optics}
    return looks | {"deformation": rng.uniform(0.03, 0.12)} | _transmitted(rng)


def _rods(rng: Rng) -> Settings:
    long = rng.uniform(2.2, 6)
    looks = (_phase, _brightfield, _cytoplasm)[rng.choice(3, p=[0.6, 0.15, 0.25])](rng)
    optics = looks["optics"] | {"nucleus": 0.0, "droplets": 0.0, "granules": rng.uniform(0, 0.4), "flatness": 0.6}
    shape = {"cell_shape": "rod", "aspect": (0.75 * long, 1.2 * long), "bend": float(rng.choice([0, 0.05, 0.15]))}
    return looks | shape | {"optics": optics, "solid": True, "diameter_spread": 0.1}


def _yeast(rng: Rng) -> Settings:
    looks = (_phase, _dic, _brightfield, _cytoplasm)[rng.choice(4, p=[0.5, 0.15, 0.25, 0.1])](rng)
    optics = looks["optics"] | {"granules": rng.uniform(0, 0.5), "nucleus": rng.uniform(-1, 0.1), "droplets": 0.0}
    return looks | {"cell_shape": "yeast", "optics": optics | {"flatness": rng.uniform(0.3, 0.9)}, "solid": True}


def _thin(rng: Rng) -> Settings:
    looks = (_phase, _cytoplasm, _dic)[rng.choice(3, p=[0.5, 0.35, 0.15])](rng)
    shape = {"cell_shape": str(rng.choice(["ellipse", "lobed", "amoeboid"])), "spikes": _log_uniform(rng, 0.5, 3.5)}
    return looks | shape | {"aspect": (1.0, rng.uniform(1.2, 4)), "bend": rng.uniform(0, 0.25)}


def _amoeboid(rng: Rng) -> Settings:
    looks = (_phase, _cytoplasm, _dic, _brightfield)[rng.integers(4)](rng)
    return looks | {"cell_shape": "amoeboid", "deformation": rng.uniform(0.1, 0.25), "rotation": rng.uniform(0, 0.1)}


_LOOKS: Mapping[str, Callable[[Rng], Settings]] = {
    "nuclei": _nuclei,
    "cytoplasm": _cytoplasm,
    "membranes": _membranes,
    "phase": _phase,
    "dic": _dic,
    "brightfield": _brightfield,
    "rods": _rods,
    "yeast": _yeast,
    "thin": _thin,
    "amoeboid": _amoeboid,
}
KINDS: tuple[str, ...] = tuple(_LOOKS)
_STAINED = ("fluorescence", "cytoplasm", "membrane")
_SLOW = ("membranes", "rods", "yeast")


# --- what all kinds share -------------------------------------------------------------------------------------------


def _layout(rng: Rng, shape: tuple[int, int], looks: Settings) -> Settings:
    """Size and number of cells: from a few that stand alone to a closed sheet."""
    high = max(min(shape) / 3.2, 9.0)
    diameter = _log_uniform(rng, min(12.0, high / 2), high)
    sheets = not (looks.get("solid") or looks.get("spikes") or looks["cell_shape"] == "amoeboid")
    share = 0.6 if looks["modality"] == "nomarski" else 0.35
    confluent = looks.get("confluent", False) or (sheets and _chance(rng, share))
    margin = diameter * rng.uniform(0.3, 1)
    room = (shape[0] + 2 * margin) * (shape[1] + 2 * margin) / (np.pi / 4 * diameter**2)
    cover = rng.uniform(0.8, 1.3) if confluent else rng.uniform(0.05, 0.6)
    if confluent and cover * room > _MAX_CELLS:
        diameter = min(diameter * np.sqrt(cover * room / _MAX_CELLS), high)
        room = (shape[0] + 2 * margin) * (shape[1] + 2 * margin) / (np.pi / 4 * diameter**2)
    n_cells = int(np.clip(round(cover * room), 1, _MAX_CELLS))
    touching = _chance(rng, 0.3)
    return {
        "diameter": diameter,
        "blur": min(looks["blur"], 0.06 * diameter),
        "spikes": min(looks.get("spikes", 0.0), 0.08 * diameter),
        "n_cells": n_cells,
        "margin": margin,
        "confluent": confluent,
        "touching": touching and not confluent,
        "repulsion": rng.uniform(0.3, 0.9),
        "identical": looks["cell_shape"] in ("round", "yeast", "rod") and _chance(rng, 0.15),
    }


def _motion(rng: Rng, kind: str, diameter: float, n_frames: int) -> Settings:
    speed = diameter * _log_uniform(rng, 0.005, 0.08 if kind in _SLOW else 0.5)
    drift = rng.normal(0, 1, 2) * _log_uniform(rng, 0.05, 2) * _chance(rng, 0.5)
    jumps = []
    if n_frames > 1 and _chance(rng, 0.15):
        leap = rng.normal(0, 1, 2) * diameter * rng.uniform(0.2, 1)
        jumps = [(int(rng.integers(1, n_frames)), float(leap[0]), float(leap[1]))]
    turning = {"rotation": _log_uniform(rng, 0.005, 0.12), "persistence": rng.uniform(0, 0.95)}
    return {"speed": speed, "stage_drift": tuple(drift), "stage_jumps": jumps, **turning}


def _events(rng: Rng, kind: str, n_cells: int, n_frames: int) -> Settings:
    """Each cell may go out of sight, die, divide or bud, at most one of these."""
    events: Settings = {"vanish": [], "deaths": [], "divisions": [], "buds": []}
    if n_frames < 2:
        return events
    busy = rng.uniform(0, 0.3)
    for cell in range(1, n_cells + 1):
        if kind == "yeast" and _chance(rng, 0.5):
            first = int(rng.integers(0, n_frames))
            events["buds"].append((cell, first, int(first + rng.integers(1, n_frames + 4))))
        elif _chance(rng, busy):
            _befall(rng, events, cell, n_frames, can_divide=kind != "yeast")
    return events


def _befall(rng: Rng, events: Settings, cell: int, n_frames: int, *, can_divide: bool) -> None:
    t = int(rng.integers(1, n_frames))
    event = rng.choice(["vanish", "appear", "die", "divide"], p=[0.4, 0.15, 0.15, 0.3])
    if event == "vanish":
        events["vanish"].append((cell, t, min(t + int(rng.integers(0, max(n_frames // 2, 1))), n_frames - 1)))
    elif event == "appear":
        events["vanish"].append((cell, 0, t - 1))
    elif event == "die" or not can_divide:
        events["deaths"].append((cell, t))
    else:
        events["divisions"].append((cell, t))


def _camera(rng: Rng, strongest: float, fewest: float) -> Settings:
    low = rng.uniform(0, 0.6) if _chance(rng, 0.3) else 0.0
    camera = Camera(
        photons=_log_uniform(rng, fewest, 20000) if _chance(rng, 0.4) else None,
        flicker=rng.uniform(0, 0.06) if _chance(rng, 0.3) else 0.0,
        stretch=(rng.uniform(0, 1.5), rng.uniform(98.5, 99.9)),
        gamma=_log_uniform(rng, 0.5, 1.8),
        inverted=_chance(rng, 0.1),
        grey_range=(low, low + rng.uniform(0.4, 1) * (1 - low)) if low or _chance(rng, 0.3) else (0.0, 1.0),
    )
    bleaching = rng.uniform(0, 0.5) if _chance(rng, 0.3) else 0.0
    return {"camera": camera, "noise": _log_uniform(rng, 0.005, strongest), "bleaching": bleaching}


def random_config(
    rng: np.random.Generator, *, n_frames: int, shape: tuple[int, int], kind: str | None = None
) -> SimulationConfig:
    """Draw the settings of a movie.

    Parameters
    ----------
    rng : numpy.random.Generator
        Decides everything, the movie's own seed too.
    n_frames, shape : int, tuple of int
        Frames and (Y, X) of the movie.
    kind : str, optional
        One of `KINDS`; drawn by default.

    Returns
    -------
    SimulationConfig

    Raises
    ------
    ValueError
        For an unknown kind.
    """
    kind = str(rng.choice(KINDS)) if kind is None else kind
    if kind not in _LOOKS:
        raise ValueError(f"kind = {kind!r} is not known; allowed: {KINDS}")
    looks = _LOOKS[kind](rng)
    looks |= _layout(rng, shape, looks)
    shared = {
        "angle": rng.uniform(0, 2 * np.pi),
        "churn": _log_uniform(rng, 0.02, 0.6),
        "litter": rng.exponential(0.15),
    }
    shared |= {"shading": rng.uniform(0, 0.6) * _chance(rng, 0.5), "defocus": rng.exponential(0.6) * _chance(rng, 0.3)}
    shared["litter"] = min(shared["litter"], 1.0)
    stained, thick = looks["modality"] in _STAINED, looks["brightness"][1]
    motion = _motion(rng, kind, looks["diameter"], n_frames)
    rest = (
        motion
        | looks
        | _events(rng, kind, looks["n_cells"], n_frames)
        | _camera(rng, *((0.2, 200) if stained else (0.08 * thick, 2000)))
    )
    optics = looks.get("optics", {}) | shared
    if not stained:
        optics["seam"] = thick * optics["seam"]
    rest["optics"] = Optics(**optics)
    return SimulationConfig(seed=int(rng.integers(2**31)), n_frames=n_frames, shape=shape, **rest)
