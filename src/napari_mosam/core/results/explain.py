"""Why an object is where it is: its timeline as text and as a picture."""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_mosam.core.config.whole_files import whole_file
from napari_mosam.core.results.columns import CUES
from napari_mosam.core.results.frame import Cue, ObjectState
from napari_mosam.core.results.timeline import Timeline

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

HEAD = (
    *("t", "state", "from", "IoU", "score", "consist", "area", "motion (dy, dx)", "decoded", "disagree", "divide"),
    *("kept", "memory read"),
)
_LEFT = {"state", "from", "motion (dy, dx)", "decoded", "memory read"}

STATE_COLORS = {ObjectState.PRESENT: "#009e73", ObjectState.LOST: "#e69f00", ObjectState.ENDED: "#7f7f7f"}
CUE_COLORS = dict(zip(CUES, ("#56b4e9", "#0072b2", "#cc79a7", "#d55e00", "#f0e442", "#009e73"), strict=True))
_INK, _SECOND, _WARNING = "#0072b2", "#e69f00", "#d55e00"

_PANELS = {"state": 0.35, "quality": 1.6, "score": 1.0, "area": 1.0, "motion": 1.0, "memory": 1.9}
"""Heights of the panels of the plot, by their names, as shares of a plain one; by eye."""


def timeline_text(timeline: Timeline) -> str:
    """A table, one line per frame on which the object was followed.

    Parameters
    ----------
    timeline : Timeline

    Returns
    -------
    str
        Columns are named in the first line; '-' stands for what is not known. 'kept' says whether the frame was
        written to memory (yes), not (no), or prompted.
    """
    rows = [HEAD, *(_row(timeline, k) for k in range(len(timeline)))]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(_aligned(row, widths) for row in rows)


def _aligned(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = zip(row, widths, HEAD, strict=True)
    return "  ".join(cell.ljust(w) if name in _LEFT else cell.rjust(w) for cell, w, name in cells).rstrip()


def _row(line: Timeline, k: int) -> tuple[str, ...]:
    return (
        str(line.t[k]),
        line.states[k].value,
        line.directions[k],
        _number(line.predicted_iou[k]),
        _number(line.object_score[k], 1),
        _number(line.consistency[k]),
        _number(line.area[k], 0),
        _motion(line.used[k]),
        line.decoded_with[k],
        _number(line.disagreement[k]),
        _number(line.division[k]),
        "prompted" if line.prompted[k] else "yes" if line.remembered[k] else "no",
        " ".join(str(read.t) for read in line.memory[k]) or "-",
    )


def _number(value: float, digits: int = 2) -> str:
    return "-" if isnan(value) else f"{value:.{digits}f}"


def _motion(cue: Cue | None) -> str:
    if cue is None:
        return "-"
    dy, dx = cue.shift_yx
    return f"{cue.name} {dy:+.1f} {dx:+.1f} ({cue.confidence:.2f})"


# ---- a picture


def plot_timeline(timeline: Timeline, path: str | Path | None = None) -> "Figure":
    """Draw a timeline: state, quality, object score, area, motion and memory, one panel each.

    Parameters
    ----------
    timeline : Timeline
        Of at least one frame.
    path : str or Path, optional
        Where to save the picture; its suffix chooses the format.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    ValueError
        If the object was not followed on any of the frames.
    """
    figure_class = _figure_class()
    if not len(timeline):
        raise ValueError(f"object {timeline.object_id} was not followed on these frames; there is nothing to draw")
    figure = figure_class(figsize=(10, 10), layout="constrained")
    axes = _axes(figure)
    draw = {
        "state": _draw_state,
        "quality": _draw_quality,
        "score": _draw_score,
        "area": _draw_area,
        "motion": _draw_motion,
    }
    for name, one in draw.items():
        one(axes[name], timeline)
    _draw_memory(axes["memory"], timeline, axes["rating"])
    if path is not None:
        with whole_file(Path(path)) as part:
            figure.savefig(part, dpi=120)
    return figure


def _figure_class() -> "type[Figure]":
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            "plots need matplotlib, which is not installed: pip install 'napari-mosam[plot]', or leave the plot out"
        ) from error
    return Figure


def _axes(figure: "Figure") -> dict[str, Any]:
    mosaic = [[name, "rating" if name == "memory" else "."] for name in _PANELS]
    axes: dict[str, Any] = figure.subplot_mosaic(mosaic, width_ratios=[60, 1], height_ratios=list(_PANELS.values()))
    for name in _PANELS:
        axes[name].sharex(axes["memory"])
        axes[name].tick_params(labelbottom=name == "memory", length=3)
        axes[name].spines[["top", "right"]].set_visible(False)
        if name != "state":
            axes[name].grid(axis="x", color="0.9")
            axes[name].set_axisbelow(True)
    return axes


def _draw_state(ax: "Axes", line: Timeline) -> None:
    for state, color in STATE_COLORS.items():
        spans = [(t - 0.5, 1.0) for t, s in zip(line.t.tolist(), line.states, strict=True) if s is state]
        if spans:
            ax.broken_barh(spans, (0, 1), color=color, label=state.value, linewidth=0)
    prompted = line.t[line.prompted]
    ax.plot(prompted, np.full(len(prompted), 0.5), "kv", markersize=7, label="prompted")
    ax.set(ylim=(0, 1), yticks=[])
    ax.spines[["left"]].set_visible(False)
    ax.set_title(f"object {line.object_id}", loc="left", fontweight="bold")
    _legend(ax)


def _draw_quality(ax: "Axes", line: Timeline) -> None:
    _curve(ax, line.t, line.predicted_iou, _INK, "predicted IoU")
    _curve(ax, line.t, line.consistency, _SECOND, "consistency with motion")
    if np.isfinite(line.disagreement).any():
        _curve(ax, line.t, line.disagreement, _WARNING, "disagreement of directions", "--")
    ax.set(ylim=(-0.03, 1.03), ylabel="quality")
    _legend(ax)


def _draw_score(ax: "Axes", line: Timeline) -> None:
    ax.axhline(0, color="0.5", linewidth=1)
    _curve(ax, line.t, line.object_score, _INK)
    ax.set_ylabel("object score\n(> 0 visible)")


def _draw_area(ax: "Axes", line: Timeline) -> None:
    _curve(ax, line.t, line.area, _INK)
    forgotten = ~(line.remembered | line.prompted)
    ax.plot(line.t[forgotten], line.area[forgotten], "x", color=_WARNING, markersize=6, label="not remembered")
    divides = line.division > 0.5
    ax.plot(line.t[divides], line.area[divides], "*", color="#cc79a7", markersize=10, label="two pieces (division?)")
    ax.set_ylabel("area (px)")
    ax.set_ylim(bottom=0)
    if forgotten.any() or divides.any():
        shown = [h for h, any_ in zip(ax.lines[-2:], (forgotten.any(), divides.any()), strict=True) if any_]
        _legend(ax, shown)


def _draw_motion(ax: "Axes", line: Timeline) -> None:
    """Length of the shift that placed the window, by the cue that gave it."""
    length = np.hypot(*line.shift_yx.T)
    ax.plot(line.t, length, color="0.8", linewidth=1, zorder=1)
    names = [cue.name if cue is not None else "none" for cue in line.used]
    for name, color in {**CUE_COLORS, "none": "0.7"}.items():
        rows = [k for k, used in enumerate(names) if used == name]
        if rows:
            ax.scatter(line.t[rows], length[rows], s=16, color=color, label=name, zorder=2)
    ax.set_ylabel("shift (px)")
    ax.set_ylim(bottom=0)
    _legend(ax)


def _draw_memory(ax: "Axes", line: Timeline, bar: "Axes") -> None:
    read = [(t, r.t, r.rating) for t, reads in zip(line.t.tolist(), line.memory, strict=True) for r in reads]
    now, then, rating = np.array(read, float).reshape(-1, 3).T
    ax.plot(line.t, line.t, color="0.8", linewidth=1, zorder=1)
    size = float(np.clip((170 / max(int(line.t[-1] - line.t[0]), 1)) ** 2, 2, 36))
    dots = ax.scatter(now, then, c=rating, s=size, vmin=0, vmax=1, cmap="viridis", zorder=2)
    ax.set(xlabel="frame", ylabel="memory frame read", xlim=(line.t.min() - 0.5, line.t.max() + 0.5))
    ax.figure.colorbar(dots, cax=bar, label="rating")


def _legend(ax: "Axes", handles: Sequence[Any] | None = None) -> None:
    """Above the panel, where it hides nothing."""
    ax.legend(
        handles=handles, loc="lower right", bbox_to_anchor=(1, 1), ncols=6, frameon=False, fontsize=8, borderaxespad=0
    )


def _curve(
    ax: "Axes", t: "NDArray[Any]", values: "NDArray[Any]", color: str, label: str | None = None, style: str = "-"
) -> None:
    """A line with gaps where frames are missing or nothing is known; single frames stay visible."""
    for part in _runs(t):
        ax.plot(t[part], values[part], style, color=color, linewidth=1.4, marker=".", markersize=4, label=label)
        label = None


def _runs(t: "NDArray[Any]") -> Iterable[slice]:
    """Stretches of consecutive frames."""
    ends = [0, *(np.flatnonzero(np.diff(t) > 1) + 1).tolist(), len(t)]
    return (slice(a, b) for a, b in pairwise(ends) if a < b)
