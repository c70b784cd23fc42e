"""How large a pixel is and how long a frame lasts, as formats say it, in one pair of units."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_MICROMETERS = {
    **dict.fromkeys(("µm", "μm", "um", "\\u00b5m", "micron", "microns", "micrometer", "micrometre"), 1.0),
    **dict.fromkeys(("nm", "nanometer", "nanometre"), 1e-3),
    **dict.fromkeys(("mm", "millimeter", "millimetre"), 1e3),
    **dict.fromkeys(("cm", "centimeter", "centimetre"), 1e4),
    **dict.fromkeys(("m", "meter", "metre"), 1e6),
}
_SECONDS = {
    **dict.fromkeys(("s", "sec", "second", "seconds"), 1.0),
    **dict.fromkeys(("ms", "msec", "millisecond", "milliseconds"), 1e-3),
    **dict.fromkeys(("min", "minute", "minutes"), 60.0),
    **dict.fromkeys(("h", "hour", "hours"), 3600.0),
}
_LONG_UNITS = (("h", 3600), ("min", 60), ("s", 1))


@dataclass(frozen=True, slots=True)
class Calibration:
    """How large a pixel is and how long a frame lasts, where that is known.

    Attributes
    ----------
    pixel_um : tuple of float or None
        (y, x), µm.
    interval_s : float or None
        From frame to frame, s.
    """

    pixel_um: tuple[float, float] | None = None
    interval_s: float | None = None

    @classmethod
    def of(cls, y: Any, x: Any, unit: str, interval: Any, time_unit: str) -> "Calibration":
        """From what a file says; what is missing, not positive or of an unknown unit is not known."""
        pixel = _in_units(y, unit, _MICROMETERS), _in_units(x, unit, _MICROMETERS)
        known = (pixel[0], pixel[1]) if pixel[0] is not None and pixel[1] is not None else None
        return cls(known, _in_units(interval, time_unit, _SECONDS))

    @classmethod
    def of_ome(cls, xml: str) -> "Calibration":
        """From the metadata of an OME-TIFF file: those of its first image."""
        found = re.search(r"<(?:\w+:)?Pixels\b([^>]*)>", xml)
        said = dict(re.findall(r'(\w+)\s*=\s*"([^"]*)"', found[1])) if found else {}
        return cls.of(
            said.get("PhysicalSizeY"),
            said.get("PhysicalSizeX"),
            said.get("PhysicalSizeXUnit", "µm"),
            said.get("TimeIncrement"),
            said.get("TimeIncrementUnit", "s"),
        )

    @classmethod
    def of_scale(cls, axes: Sequence[Any], scale: Sequence[float]) -> "Calibration":
        """From the axes of an OME-Zarr image and the size of a step along each."""
        steps = {a["name"]: (step, a.get("unit", "")) for a, step in zip(axes, scale, strict=False) if "name" in a}
        (y, _), (x, unit), (t, time_unit) = (steps.get(name, (None, "")) for name in "yxt")
        return cls.of(y, x, unit, t, time_unit)

    def words(self) -> str:
        """For a person; empty where nothing is known."""
        return ", ".join(filter(None, (self._pixel_words(), self._interval_words())))

    def _pixel_words(self) -> str:
        sides = [f"{side:.4g}" for side in self.pixel_um or ()]
        square = len(set(sides)) == 1
        return "" if not sides else f"{sides[0]} µm a pixel" if square else " x ".join(sides) + " µm a pixel (Y, X)"

    def _interval_words(self) -> str:
        if self.interval_s is None:
            return ""
        unit, seconds = next((u, s) for u, s in _LONG_UNITS if self.interval_s >= 2 * s or s == 1)
        return f"{self.interval_s / seconds:.4g} {unit} a frame"


UNKNOWN = Calibration()
"""Of a movie that does not say."""


def _in_units(value: Any, unit: str, units: Mapping[str, float]) -> float | None:
    try:
        size = float(value) * units[unit.strip().lower()]
    except (TypeError, ValueError, KeyError):
        return None
    return size if 0 < size < math.inf else None
