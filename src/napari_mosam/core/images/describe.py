"""What a movie is and how it is read: as plain facts, and in words; of one that cannot be read yet, what it needs."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from napari_mosam.core.images.axes import FramePlan
from napari_mosam.core.images.calibration import Calibration
from napari_mosam.core.images.formats.source import Source
from napari_mosam.core.images.grey.limits import GreyLimits


def summary(source: Source, plan: FramePlan) -> str:
    """One line on what was understood: frames, channels, planes, size of a frame, calibration."""
    return ", ".join(filter(None, (plan.summary(source.channels), source.calibration.words())))


def facts(
    source: Source,
    plan: FramePlan | None,
    *,
    limits: GreyLimits | None = None,
    absence: str = "",
    needs: Sequence[str] = (),
    halvings: Sequence[int] = (),
) -> dict[str, Any]:
    """All that is told of a movie, as JSON types.

    Parameters
    ----------
    source : Source
    plan : FramePlan or None
        How frames are cut out; of a movie that needs a choice, with the first of all choices. None where not even the
        axes are known.
    limits : GreyLimits or None
        Where a frame can be read.
    absence : str
        Which frames are not there.
    needs : sequence of str
        What must be said before it can be read, as arguments of the command line.
    halvings : sequence of int
        By how many times smaller the levels are in which large objects are looked at.
    """
    return {
        "name": source.name,
        "kind": source.kind,
        "summary": summary(source, plan) if plan and not needs else "",
        "shape": list(plan.shape if plan else source.shape),
        "series": [{"number": s.number, "name": s.name, "shape": list(s.shape), "axes": s.axes} for s in source.series],
        "series_read": source.chosen,
        "axes": plan.axes if plan else source.axes,
        "axes_from": "given" if plan and plan.asked.get("axes") else "file" if source.axes else "shape",
        "dtype": str(source.dtype),
        "movie": [plan.n_frames, *plan.frame_shape] if plan else None,
        "channels": list(source.channels),
        "pixel_size_um": source.calibration.pixel_um,
        "interval_s": source.calibration.interval_s,
        "limits": None if limits is None else [limits.low, limits.high],
        "limits_origin": "" if limits is None else limits.origin,
        "note": "" if limits is None else limits.note(),
        "absent": absence,
        "frame_bytes": math.prod(plan.frame_shape) * source.dtype.itemsize if plan else None,
        "memory_bytes": plan.bytes_of_frame(source.dtype.itemsize) + source.chunk_bytes if plan else None,
        "chunks": list(source.chunks or ()),
        "levels": [list(level.shape) for level in source.levels],
        "halvings": list(halvings),
        "needs": list(needs),
    }


def in_words(told: Mapping[str, Any]) -> str:
    """Several aligned lines of what :func:`facts` tells."""
    rows = {
        "name": f"{told['name']} ({told['kind']})",
        "series": f"\n{'':8}".join(_series(told)),
        "source": f"{tuple(told['shape'])}, {_axes(told)}",
        "names": ", ".join(f"{i} {name}" for i, name in enumerate(told["channels"])),
        "movie": told["summary"] or _movie(told),
        "dtype": told["dtype"],
        "scale": "" if told["summary"] else Calibration(told["pixel_size_um"], told["interval_s"]).words(),
        "limits": _limits(told),
        "note": told["note"],
        "absent": told["absent"],
        "frame": _frame(told),
        "chunks": str(tuple(told["chunks"]) or ""),
        "levels": _levels(told),
        "needs": "; ".join(told["needs"]) + " (for 'mosam track')" if told["needs"] else "",
    }
    return "\n".join(f"{key:<8}{value}" for key, value in rows.items() if value)


def _series(told: Mapping[str, Any]) -> list[str]:
    """A line on each image where there are several."""
    listed = [
        f"{one['number']} {one['name'] + ' ' if one['name'] else ''}{tuple(one['shape'])} {one['axes']}"
        f"{' (read)' * (one['number'] == told['series_read'])}"
        for one in told["series"]
    ]
    return listed if len(listed) > 1 else []


def _axes(told: Mapping[str, Any]) -> str:
    origins = {"given": " (as given)", "file": "", "shape": " (by its shape)"}
    return f"axes {told['axes']}{origins[told['axes_from']]}" if told["axes"] else "axes unknown"


def _movie(told: Mapping[str, Any]) -> str:
    if told["movie"] is None:
        return ""
    n_frames, height, width = told["movie"]
    return f"{n_frames} frame{'s' * (n_frames != 1)} of {height} x {width} px (Y, X)"


def _limits(told: Mapping[str, Any]) -> str:
    if told["limits"] is None:
        return ""
    low, high = told["limits"]
    return f"{low:g} to {high:g} become 0 to 1 ({told['limits_origin']})"


def _levels(told: Mapping[str, Any]) -> str:
    shapes = ", ".join(str(tuple(shape)) for shape in told["levels"])
    steps = " and ".join(f"1/{step}" for step in told["halvings"])
    return f"{shapes}{f'; large objects are looked at in {steps}' if steps else ''}"


def _frame(told: Mapping[str, Any]) -> str:
    if told["frame_bytes"] is None:
        return ""
    return f"{told['frame_bytes'] / 2**10:,.0f} KiB stored, {told['memory_bytes'] / 2**20:,.1f} MiB while it is read"
