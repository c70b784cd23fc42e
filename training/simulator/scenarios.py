"""Random settings of simulated movies, by kind: what cells look like, how they move and what befalls them."""

from collections.abc import Callable, Mapping, Sequence
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
    return light | {"blur": _log_uniform(rng, 0.6, 4), "brightness": (rng.uniform(0.1, 0.8), 1.0)}


def _transmitted(rng: Rng) -> Settings:
    """Light of a microscope without stains."""
    thick = _log_uniform(rng, 0.4, 1)
    light = {"background": rng.uniform(0.4, 0.6), "contrast": rng.uniform(0.4, 1)}
    return light | {"blur": _log_uniform(rng, 0.3, 2), "brightness": (rng.uniform(0.3, 0.9) * thick, thick)}


def _nuclei(rng: Rng) -> Settings:
    optics = {"flatness": rng.uniform(0, 0.8), "grain": rng.uniform(0.1, 0.8), "granules": rng.uniform(0, 0.5)}
    looks = {
        "modality": str(rng.choice(["fluorescence", "cytoplasm"])),
        "optics": optics | {"nucleus": 0, "seam": rng.uniform(-0.6, 0)},
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
    optics = {"flatness": rng.uniform(0.1, 0.9), "grain": rng.uniform(0.1, 0.8), "granules": rng.uniform(0.6, 2)}
    optics |= {"nucleus": rng.uniform(-0.2, 0.3), "seam": rng.uniform(0.0, 0.4), "halo": rng.uniform(0.9, 1.15)}
    optics |= {"halo_width": _log_uniform(rng, 0.03, 0.2), "droplets": rng.uniform(0, 1.6)}
    looks: Settings = {"modality": "zernike", "cell_shape": str(rng.choice(["lobed", "amoeboid"])), "optics": optics}
    looks |= {"aspect": (1.0, rng.uniform(1.2, 3)), "spikes": _log_uniform(rng, 0.3, 2) * _chance(rng, 0.5)}
    return looks | {"deformation": rng.uniform(0.06, 0.16)} | _transmitted(rng)


def _dic(rng: Rng) -> Settings:
    fine = rng.beta(0.5, 0.5)  # from smooth and domed to flat and granular: real ones are either
    optics = {"flatness": fine, "grain": 0.8 * (1 - fine), "granules": 0.2 + 1.8 * fine}
    optics |= {"nucleus": rng.uniform(-0.3, 0.3), "seam": rng.uniform(-0.3, 0.3), "droplets": rng.uniform(0, 2)}
    optics |= {"halo": rng.uniform(0, 1.8) * (1 - fine), "halo_width": _log_uniform(rng, 0.015, 0.1)}
    looks: Settings = {
        "modality": "nomarski",
        "cell_shape": str(rng.choice(["lobed", "ellipse", "amoeboid"])),
        "optics": optics,
    }
    looks |= {"aspect": (1.0, rng.uniform(1.2, 2.5)), "spikes": _log_uniform(rng, 0.3, 1) * _chance(rng, 0.2)}
    return looks | {"deformation": rng.uniform(0.06, 0.16)} | _transmitted(rng) | {"blur": 0.15 + 1.6 * (1 - fine)}


def _brightfield(rng: Rng) -> Settings:
    optics = {"flatness": rng.uniform(0.3, 1), "grain": rng.uniform(0.2, 0.8), "granules": rng.uniform(0.4, 2)}
    optics |= {"nucleus": rng.uniform(-0.3, 0.5), "seam": rng.uniform(-0.8, 0.8), "halo_width": rng.uniform(0.03, 0.1)}
    looks = {"modality": "brightfield", "cell_shape": str(rng.choice(["round", "ellipse", "lobed"])), "optics": optics}
    return looks | {"deformation": rng.uniform(0.03, 0.12)} | _transmitted(rng)


def _rods(rng: Rng) -> Settings:
    long = rng.uniform(2.2, 6)
    looks = (_phase, _brightfield, _cytoplasm)[rng.choice(3, p=[0.4, 0.4, 0.2])](rng)
    optics = looks["optics"] | {"nucleus": 0.0, "droplets": 0.0, "granules": rng.uniform(0, 0.4)}
    optics |= {"flatness": rng.uniform(0, 0.9), "halo": rng.uniform(0.6, 1.4)}
    optics |= {"halo_width": _log_uniform(rng, 0.05, 0.6)}
    shape = {"cell_shape": "rod", "aspect": (0.75 * long, 1.2 * long), "bend": float(rng.choice([0, 0.05, 0.15]))}
    return looks | shape | {"optics": optics, "solid": True, "spikes": 0.0}


def _yeast(rng: Rng) -> Settings:
    looks = (_phase, _dic, _brightfield, _cytoplasm)[rng.choice(4, p=[0.5, 0.15, 0.25, 0.1])](rng)
    optics = looks["optics"] | {"granules": rng.uniform(0, 0.5), "nucleus": rng.uniform(-1, 0.1), "droplets": 0.0}
    optics |= {"flatness": rng.uniform(0, 0.9), "halo": rng.uniform(0.6, 1.4)}
    optics |= {"halo_width": _log_uniform(rng, 0.04, 0.3)}
    shape = {"cell_shape": "yeast", "aspect": (1.0, rng.uniform(1.1, 1.5)), "spikes": 0.0}
    return looks | shape | {"optics": optics, "solid": _chance(rng, 0.25)}


def _thin(rng: Rng) -> Settings:
    looks = (_phase, _cytoplasm, _dic)[rng.choice(3, p=[0.5, 0.35, 0.15])](rng)
    shape = {"cell_shape": str(rng.choice(["ellipse", "lobed", "amoeboid"])), "spikes": _log_uniform(rng, 0.5, 4)}
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
_SHARES = {"dic": 1.5, "phase": 1.5, "thin": 1.5, "rods": 1.2, "membranes": 0.6}
"""How often kinds are drawn, relative to the others at 1: what is hard to see and not stained more often."""
_STAINED = ("fluorescence", "cytoplasm", "membrane")
_SLOW = ("membranes", "rods", "yeast")
_SOFTEST = {"fluorescence": 0.12, "cytoplasm": 0.12, "membrane": 0.12, "zernike": 0.02, "nomarski": 0.06}
"""Widest blur in diameters, where that is not usual."""
_SMALLEST = {"zernike": 18.0, "nomarski": 24.0}
"""Least diameter, px, where that is not usual."""
_NOISE = {"zernike": (0.001, 0.03), "nomarski": (0.008, 0.15), "brightfield": (0.003, 0.08)}
"""Of label-free pictures, as a share of the contrast of the thickest cell."""
_SHEETS = {"fluorescence": 0.1, "nomarski": 0.5}
"""How often cells form a closed sheet, where that is not usual."""


# --- what all kinds share -------------------------------------------------------------------------------------------


def _layout(rng: Rng, shape: tuple[int, int], looks: Settings) -> Settings:
    """Size and number of cells: from a few that stand alone to a closed sheet."""
    high = max(min(shape) / 3.2, 9.0)
    modality, compact = looks["modality"], looks["cell_shape"] in ("rod", "yeast")
    diameter = _log_uniform(rng, min(12.0 if compact else _SMALLEST.get(modality, 12.0), high / 2), high)
    sheets = not (compact or looks.get("spikes") or looks["cell_shape"] == "amoeboid")
    closed = looks.get("confluent", False) or (sheets and _chance(rng, _SHEETS.get(modality, 0.35)))
    touching = not closed and _chance(rng, 0.8 if looks["cell_shape"] == "yeast" else 0.35)
    share_borders = touching and not looks.get("solid") and _chance(rng, 0.7)
    margin = diameter * rng.uniform(0.3, 1)
    room = (shape[0] + 2 * margin) * (shape[1] + 2 * margin) / (np.pi / 4 * diameter**2)
    cover = rng.uniform(0.8, 1.3) if closed else _log_uniform(rng, 0.05 if touching else 0.02, 0.6)
    if closed and cover * room > _MAX_CELLS:
        diameter = min(diameter * np.sqrt(cover * room / _MAX_CELLS), high)
        room = (shape[0] + 2 * margin) * (shape[1] + 2 * margin) / (np.pi / 4 * diameter**2)
    n_cells = int(np.clip(round(cover * room), 1, _MAX_CELLS))
    softest = 0.08 if compact else _SOFTEST.get(modality, 0.06)
    return {
        "diameter": diameter,
        "blur": min(looks["blur"], softest * diameter),
        "diameter_spread": _log_uniform(rng, 0.06, 0.2 if compact else 0.5),
        "spikes": min(looks.get("spikes", 0.0), 0.08 * diameter),
        "n_cells": n_cells,
        "margin": margin,
        "confluent": closed or share_borders,
        "touching": touching,
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


def _grey_range(rng: Rng, modality: str) -> tuple[float, float]:
    """Part of the camera's range; of label-free pictures often what a few bright and dark specks leave to the rest."""
    if modality in _STAINED:
        low = rng.uniform(0, 0.6) if _chance(rng, 0.3) else 0.0
        return (low, low + rng.uniform(0.4, 1) * (1 - low)) if low or _chance(rng, 0.3) else (0.0, 1.0)
    width = _log_uniform(rng, 0.25, 1) if _chance(rng, 0.7 if modality == "nomarski" else 0.3) else 1.0
    low = rng.uniform(0, 1 - width)
    return low, low + width


def _camera(rng: Rng, modality: str, thick: float) -> Settings:
    stained = modality in _STAINED
    noise = _log_uniform(rng, *((0.001, 0.2) if stained else _NOISE[modality])) * (1 if stained else thick)
    camera = Camera(
        photons=_log_uniform(rng, 200 if stained else 4000, 20000) if _chance(rng, 0.3) else None,
        flicker=rng.uniform(0, 0.06) if _chance(rng, 0.3) else 0.0,
        stretch=(rng.uniform(0, 1.5), rng.uniform(98.5, 99.9)),
        gamma=_log_uniform(rng, 0.5, 1.8),
        inverted=_chance(rng, 0.1),
        grey_range=_grey_range(rng, modality),
    )
    bleaching = rng.uniform(0, 0.5) if _chance(rng, 0.3) else 0.0
    return {"camera": camera, "noise": noise, "bleaching": bleaching}


def random_kind(rng: np.random.Generator, kinds: Sequence[str] | None = None) -> str:
    """Draw one of some kinds, by default of `KINDS`, each as often as it is worth."""
    kinds = list(kinds or KINDS)
    weights = np.array([_SHARES.get(kind, 1.0) for kind in kinds])
    return str(rng.choice(kinds, p=weights / weights.sum()))


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
    kind = random_kind(rng) if kind is None else kind
    if kind not in _LOOKS:
        raise ValueError(f"kind = {kind!r} is not known; allowed: {KINDS}")
    looks = _LOOKS[kind](rng)
    looks |= _layout(rng, shape, looks)
    shared = {
        "angle": rng.uniform(0, 2 * np.pi),
        "churn": _log_uniform(rng, 0.02, 0.6),
        "ground": _log_uniform(rng, 0.05, 2),
    }
    stained, thick = looks["modality"] in _STAINED, looks["brightness"][1]
    shared |= {"shading": rng.uniform(0, 0.6 if stained else 0.3) * _chance(rng, 0.5 if stained else 0.3)}
    shared |= {"litter": min(rng.exponential(0.15), 1.0), "defocus": rng.exponential(0.6) * _chance(rng, 0.3)}
    motion = _motion(rng, kind, looks["diameter"], n_frames)
    rest = motion | looks | _events(rng, kind, looks["n_cells"], n_frames) | _camera(rng, looks["modality"], thick)
    optics = looks.get("optics", {}) | shared
    if not stained:
        optics["seam"] = thick * optics["seam"]
    rest["optics"] = Optics(**optics)
    return SimulationConfig(seed=int(rng.integers(2**31)), n_frames=n_frames, shape=shape, **rest)
