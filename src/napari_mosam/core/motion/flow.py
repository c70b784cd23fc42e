"""Dense optical flow between two frames, at reduced resolution."""

import importlib.util
import math
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from napari_mosam.core.config.engine import FlowMethod
from napari_mosam.core.windows.canvas import Canvas
from napari_mosam.core.windows.devices import put

if TYPE_CHECKING:
    from collections.abc import Callable


Flow = NDArray[np.float32]

MIN_STEP = 2
"""Frame px per grid px at least: a quarter of the pixels to compute on. Full resolution was not compared."""

MIN_GRID = 16
"""Shortest side of a grid on which flow is computed; smaller frames move by their drift alone. Little more than the 11
px over which ILK fits; not measured."""

MAX_GRID = {"ilk": 512, "dis": 1024, "torch": 1024}
"""Longest side of the grid on which a method computes; larger frames are shrunk further, for time: the slower the
method, the more. Longer grids were not compared."""


WHOLE_PX = 1024
"""Longest side of a frame whose flow is computed as a whole; in larger ones it is computed around each object."""

AROUND = 1.0
"""How far around an object flow is computed, in sides of its box: it is seen whole where it moves by less."""

MIN_AROUND_PX = 32
"""The same at least."""

MAX_GRID_AROUND = 256
"""Longest side of the grid on which it is computed around an object: 8 ms there, and 85 px for the object itself."""


class FlowField:
    """Motion of every pixel of a frame, or of a part of it, on a coarser grid.

    Parameters
    ----------
    vectors : ndarray of float32, shape (2, h, w)
        (dy, dx) in frame px per frame: a pixel of the earlier frame moves by this much.
    step : int
        Frame px per grid px.
    shape_yx : tuple of int
        Shape of the frame.
    origin_yx : tuple of int
        Where in the frame the grid begins, px.
    """

    def __init__(
        self, vectors: Flow, step: int, shape_yx: tuple[int, int], origin_yx: tuple[int, int] = (0, 0)
    ) -> None:
        self.vectors = vectors
        self.step = step
        self.shape_yx = shape_yx
        self.origin_yx = origin_yx

    def full(self) -> Flow:
        """The field at frame resolution, shape (2, Y, X)."""
        dense = self.vectors.repeat(self.step, 1).repeat(self.step, 2)
        _, height, width = dense.shape
        missing = (max(0, self.shape_yx[0] - height), max(0, self.shape_yx[1] - width))
        if any(missing):
            dense = np.pad(dense, ((0, 0), (0, missing[0]), (0, missing[1])), mode="edge")
        return np.asarray(dense[:, : self.shape_yx[0], : self.shape_yx[1]], np.float32)

    def median(self, mask: NDArray[np.bool_], origin_yx: tuple[int, int]) -> tuple[float, float]:
        """Median (dy, dx) over the pixels of a mask whose first pixel lies at `origin_yx`, px."""
        y, x = np.nonzero(mask)
        _, height, width = self.vectors.shape
        rows = np.clip((y + origin_yx[0] - self.origin_yx[0]) // self.step, 0, height - 1)
        columns = np.clip((x + origin_yx[1] - self.origin_yx[1]) // self.step, 0, width - 1)
        dy, dx = np.median(self.vectors[:, rows, columns], axis=1)
        return float(dy), float(dx)


class FrameFlow:
    """Motion from one frame to the next, computed where and when somebody asks.

    Parameters
    ----------
    before, after : Canvas
        Frames in [0, 1].
    drift_yx, method, device
        See :func:`dense_flow`.
    """

    def __init__(
        self,
        before: Canvas,
        after: Canvas,
        drift_yx: tuple[float, float] = (0.0, 0.0),
        method: FlowMethod = "auto",
        device: "torch.device | None" = None,
    ) -> None:
        self._before, self._after, self._drift = before, after, drift_yx
        self._method, self._device = choose_flow(method, device), device

    @cached_property
    def field(self) -> FlowField:
        """That of the whole frame."""
        return dense_flow(self._before, self._after, self._drift, self._method, self._device)

    def full(self) -> Flow:
        """That of the whole frame at its resolution, shape (2, Y, X)."""
        return self.field.full()

    def median(self, mask: NDArray[np.bool_], origin_yx: tuple[int, int]) -> tuple[float, float]:
        """Median (dy, dx) over the pixels of a mask whose first pixel lies at `origin_yx`, px.

        Of frames larger than :data:`WHOLE_PX` only what lies around the mask is looked at, so that it takes as long
        in a frame of any size and is the same whatever else is followed.
        """
        whole = max(self._before.shape) <= WHOLE_PX or self._method == "torch"
        field = self.field if whole else self._around(mask.shape, origin_yx)
        return field.median(mask, origin_yx)

    def _around(self, side_yx: tuple[int, ...], origin_yx: tuple[int, int]) -> FlowField:
        margin = max(round(AROUND * max(side_yx)), MIN_AROUND_PX)
        ends = [(start - margin, start + side + margin) for start, side in zip(origin_yx, side_yx, strict=True)]
        longest = min(max(stop - start for start, stop in ends), max(self._before.shape))
        before, step = self._before.level(max(1, math.ceil(math.log2(longest / MAX_GRID_AROUND))))
        after, _ = self._after.level(step.bit_length() - 1)
        rows, columns = (
            np.arange(max(0, start // step), min(-(-stop // step), side))
            for (start, stop), side in zip(ends, before.shape, strict=True)
        )
        drift = round(self._drift[0] / step), round(self._drift[1] / step)
        parts = _read(before, rows, columns), _read(after, rows + drift[0], columns + drift[1])
        vectors = _moved_between(*parts, drift, self._method, self._device)
        return FlowField(vectors * step, step, self._before.shape, (int(rows[0]) * step, int(columns[0]) * step))


def _read(frame: Canvas, rows: NDArray[np.intp], columns: NDArray[np.intp]) -> Flow:
    """Some rows and columns in a row, the edges of the frame repeated beyond it."""
    rows, columns = (np.clip(at, 0, side - 1) for at, side in zip((rows, columns), frame.shape, strict=True))
    seen = frame[int(rows[0]) : int(rows[-1]) + 1, int(columns[0]) : int(columns[-1]) + 1]
    return np.ascontiguousarray(seen[rows[:, None] - rows[0], columns[None] - columns[0]])


def choose_flow(method: FlowMethod, device: "torch.device | None" = None) -> Literal["ilk", "dis", "torch"]:
    """The method that 'auto' stands for: 'torch' on a CUDA device, else 'dis', or 'ilk' where OpenCV is missing.

    Parameters
    ----------
    method : {'auto', 'ilk', 'dis', 'torch'}
        What is asked for.
    device : torch.device, optional
        Where 'torch' would compute.

    Raises
    ------
    ValueError
        If 'dis' is asked for and OpenCV is not installed.
    """
    has_opencv = importlib.util.find_spec("cv2") is not None
    if method == "auto" and device is not None and device.type == "cuda":
        return "torch"
    if method == "auto":
        return "dis" if has_opencv else "ilk"
    if method == "dis" and not has_opencv:
        raise ValueError("flow_method 'dis' needs OpenCV: pip install opencv-python-headless, or use 'ilk'")
    return method


def dense_flow(
    before: NDArray[np.float32] | Canvas,
    after: NDArray[np.float32] | Canvas,
    drift_yx: tuple[float, float] = (0.0, 0.0),
    method: FlowMethod = "auto",
    device: "torch.device | None" = None,
) -> FlowField:
    """Motion from one frame to the next.

    Parameters
    ----------
    before, after : ndarray of float32, shape (Y, X)
        Frames in [0, 1].
    drift_yx : tuple of float
        Shift of the whole frame, px; taken out first and added to the result.
    method : {'auto', 'ilk', 'dis', 'torch'}
        ILK: Le Besnerais and Champagnat 2005. DIS: Kroeger et al. 2016. torch: as ILK, see
        :func:`~napari_mosam.core.motion.lucas_kanade.lucas_kanade_flow`. 'auto': see :func:`choose_flow`.
    device : torch.device, optional
        Where 'torch' computes, by default the CPU; the other methods have no choice.

    Raises
    ------
    ValueError
        If 'dis' is asked for and OpenCV is not installed.
    """
    chosen = choose_flow(method, device)
    wanted = min(max(MIN_STEP, -(-max(before.shape) // MAX_GRID[chosen])), *before.shape)
    (small_before, step), (shrunk_after, _) = (Canvas.of(frame).shrunk(wanted) for frame in (before, after))
    drift = round(drift_yx[0] / step), round(drift_yx[1] / step)
    small_after = _moved_back(shrunk_after, drift)
    vectors = _moved_between(small_before, small_after, drift, chosen, device)
    return FlowField(vectors * step, step, (before.shape[0], before.shape[1]))


def _moved_between(
    before: Flow, after: Flow, drift: tuple[int, int], method: str, device: "torch.device | None"
) -> Flow:
    """Motion (2, h, w) between two images of which the second is read where a drift takes it, px of theirs."""
    vectors = np.zeros((2, *before.shape), np.float32) + np.asarray(drift, np.float32)[:, None, None]
    if min(before.shape) >= MIN_GRID:
        vectors += _METHODS[method](before, after, device)
    return vectors


def _moved_back(image: Flow, shift: tuple[int, int]) -> Flow:
    """`image` read at +shift, its edges repeated."""
    rows = np.clip(np.arange(image.shape[0]) + shift[0], 0, image.shape[0] - 1)
    columns = np.clip(np.arange(image.shape[1]) + shift[1], 0, image.shape[1] - 1)
    return image[rows[:, None], columns[None]]


def _ilk(before: Flow, after: Flow, _: "torch.device | None" = None) -> Flow:
    from skimage.registration import optical_flow_ilk

    return np.asarray(optical_flow_ilk(before, after, radius=5), np.float32)


def _dis(before: Flow, after: Flow, _: "torch.device | None" = None) -> Flow:
    import cv2

    solver = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    as_bytes = [np.asarray(np.clip(frame, 0, 1) * 255, np.uint8) for frame in (before, after)]
    flow_xy = solver.calc(as_bytes[0], as_bytes[1], None)
    return np.asarray(np.moveaxis(flow_xy, -1, 0)[::-1], np.float32)


def _torch(before: Flow, after: Flow, device: "torch.device | None" = None) -> Flow:
    from napari_mosam.core.motion.lucas_kanade import lucas_kanade_flow

    pair = put(np.stack([before, after]), device or torch.device("cpu"))
    with torch.inference_mode():
        return np.asarray(lucas_kanade_flow(pair[:1], pair[1:])[0].cpu().numpy(), np.float32)


_METHODS: dict[str, "Callable[[Flow, Flow, torch.device | None], Flow]"] = {"ilk": _ilk, "dis": _dis, "torch": _torch}
