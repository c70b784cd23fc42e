"""What a person may choose of a movie, checked."""

import operator
from typing import Any, Literal

import numpy as np

from napari_mosam.core.images.axes import MovieError, ZChoice
from napari_mosam.core.images.grey.limits import GreyLimits

Limits = tuple[float, float] | Literal["exact"] | GreyLimits | None
"""What may be said of the limits: values, 'exact', those of an earlier run, or nothing."""


def as_index(given: Any, name: str) -> int:
    """A whole number; MovieError for anything else."""
    try:
        return operator.index(given)
    except TypeError as error:
        raise MovieError(f"{name}={given!r} is not possible; allowed: a whole number, counted from 0") from error


def as_plane(z: Any) -> ZChoice:
    """The number of a plane, 'max' or nothing; MovieError for anything else."""
    if z is None or z == "max":
        return z  # type: ignore[no-any-return]
    if isinstance(z, str):
        raise MovieError(f"z={z!r} is not possible; allowed: the number of a plane, counted from 0, or 'max'")
    return as_index(z, "z")


def checked_limits(limits: Limits) -> Literal["exact"] | GreyLimits | None:
    """Limits as a movie takes them; MovieError for values that are not possible."""
    if limits is None or isinstance(limits, GreyLimits):
        return limits
    if isinstance(limits, str) and limits == "exact":
        return "exact"
    try:
        low, high = (float(value) for value in limits)
    except (TypeError, ValueError) as error:
        raise MovieError(
            f"limits={limits!r} is not possible; allowed: two numbers, low and high, or 'exact'"
        ) from error
    if not (np.isfinite(low) and np.isfinite(high) and low < high):
        raise MovieError(
            f"limits {low:g} to {high:g} are not possible; allowed: two finite numbers, the first one smaller"
        )
    return GreyLimits(low, high, "given")
