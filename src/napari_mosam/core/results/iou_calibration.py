"""From evidence to the expected IoU: a logistic regression that was fitted to true masks, for certain weights alone.

It lies beside the weights as ``NAME_confidence.json`` and is made by ``make calibrate``.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from napari_mosam.core.results.track_evidence import FEATURES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

SUFFIX = "_confidence.json"
_WEIGHTS = "core/model/weights"
"""Where the networks of the package lie."""


@dataclass(frozen=True, slots=True)
class IouCalibration:
    """Logistic regression of the IoU on `FEATURES`.

    Attributes
    ----------
    weights : str
        SHA-256 of the file of the network whose masks it was fitted to.
    intercept : float
    coefficients : tuple of float
        One per feature.
    """

    weights: str
    intercept: float
    coefficients: tuple[float, ...]

    def expected(self, features: "Floats") -> "Floats":
        """The expected IoU in (0, 1) of features of shape (..., F), which it loses; NaN where one is."""
        return np.asarray(1 / (1 + np.exp(-(features @ np.array(self.coefficients) + self.intercept))))

    @classmethod
    def from_json(cls, said: Mapping[str, Any]) -> Self:
        """What was written."""
        coefficients = tuple(float(said["coefficients"][name]) for name in FEATURES)
        return cls(str(said["weights"]), float(said["intercept"]), coefficients)

    def to_json(self) -> dict[str, Any]:
        """What :meth:`from_json` reads."""
        named = dict(zip(FEATURES, self.coefficients, strict=True))
        return {"weights": self.weights, "intercept": self.intercept, "coefficients": named}


@lru_cache(maxsize=1)
def shipped() -> dict[str, IouCalibration]:
    """Those in the package, by the hash of the weights."""
    folder = files("napari_mosam").joinpath(_WEIGHTS)
    texts = [item.read_text(encoding="utf-8") for item in folder.iterdir() if item.name.endswith(SUFFIX)]
    found = [IouCalibration.from_json(json.loads(text)) for text in texts]
    return {one.weights: one for one in found}
