"""Films (MP4, AVI, MOV and so on), through PyAV: any frame is read without those before its key frame."""

import bisect
import threading
import weakref
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mosam.core.config.checks import require_room
from napari_mosam.core.images.axes import MovieError
from napari_mosam.core.images.formats.planes import Index, package_of
from napari_mosam.core.images.formats.source import Source

CONTAINERS = {
    ".mp4": "mp4",
    ".m4v": "mp4",
    ".mov": "mov",
    ".avi": "avi",
    ".mkv": "matroska",
    ".webm": "matroska",
}
"""The only reader for each suffix: what FFmpeg would guess from the content may be a list of addresses to open."""

_BYTE = 8
"""Bits of a sample, up to which it lies in one byte."""

_DECODED_BYTES = 8
"""Of a pixel of a frame: three colours of two bytes, and its grey."""


def open_video(path: Path) -> Source:
    """A film as grey frames (T, Y, X): its luminance as it is stored, or that of its colours.

    Raises
    ------
    MovieError
        For a film without pictures.
    """
    film = Film(path, package_of("av", "video", path.name))
    return Source(path.name, film.kind, film, "TYX", (1, *film.shape[1:]), is_file=True, note=film.note)


class Film:
    """An array (T, Y, X) of the frames of a film; where each one lies is found out once, without decoding.

    Parameters
    ----------
    path : Path
    av : module
        PyAV.
    """

    def __init__(self, path: Path, av: Any) -> None:
        # An open file, because FFmpeg would take some names for addresses.
        file = path.open("rb")
        self._close = weakref.finalize(self, file.close)
        self._container = av.open(file, format=CONTAINERS[path.suffix.lower()], options={"protocol_whitelist": ""})
        if not self._container.streams.video:
            raise MovieError(f"{path.name} is a film without pictures")
        self._stream, self._lock = self._container.streams.video[0], threading.Lock()
        packets = _packets(self._container, self._stream)
        self._keys = sorted(_time(packet) for packet in packets if packet.is_keyframe)
        if not self._keys:
            raise MovieError(f"{path.name} is a film without a frame that stands for itself; save it as TIFF")
        self._times = sorted(time for time in map(_time, packets) if time >= self._keys[0])
        size = self._stream.codec_context
        require_room(size.width * size.height * _DECODED_BYTES, f"a frame of {path.name}", "make it smaller")
        self._frames: Any = iter(())
        self._last: Any = None
        first = self._seen(self._times[0])
        self.kind = f"film, {self._stream.codec_context.name}"
        promised, held = self._stream.frames, len(self._times)
        self.note = f"its head promises {promised} frames, {held} are there" if promised > held else ""
        self.shape, self.dtype = (len(self._times), *first.shape), first.dtype

    def __getitem__(self, index: Index, /) -> NDArray[Any]:
        """Read the part named by integers and slices, one for each axis."""
        at, *inside = index
        with self._lock:
            if not isinstance(at, slice):
                return self._seen(self._times[at])[tuple(inside)]
            return np.stack([self._seen(time)[tuple(inside)] for time in self._times[at]])

    def _seen(self, time: int) -> NDArray[Any]:
        """The frame that is shown at a time, read on from the last one where that comes first."""
        frame, self._last = self._last, None  # nothing is kept of a read that fails
        if frame is None or _time(frame) > time or self._key(_time(frame)) != self._key(time):
            frame = self._sought(time)
        while frame is not None and _time(frame) < time:
            frame = next(self._frames, None)
        if frame is None or _time(frame) != time:
            raise MovieError("a frame is not where the film's index says; save it as MP4 without B-frames, or as TIFF")
        self._last = frame
        return _grey(frame)

    def _key(self, time: int) -> int:
        """Number of the key frame from which a time is reached."""
        return max(bisect.bisect_right(self._keys, time) - 1, 0)

    def _sought(self, time: int) -> Any:
        """The key frame from which a time is reached, or one before where a container leads too far; None for none."""
        for key in range(self._key(time), -1, -1):
            self._container.seek(self._keys[key], stream=self._stream, backward=True)
            self._frames = self._container.decode(self._stream)
            frame = next(self._frames, None)
            if frame is not None and _time(frame) <= time:
                return frame
        return None


def _packets(container: Any, stream: Any) -> list[Any]:
    """All that hold a frame which is shown, up to the last that is whole."""
    found = [packet for packet in container.demux(stream) if packet.size and not packet.is_discard]
    whole = max((i for i, packet in enumerate(found) if not packet.is_corrupt), default=-1)
    return found[: whole + 1]


def _time(one: Any) -> int:
    """Of a packet or a frame: when it is shown, in the units of its film; AVI knows only the order of packets."""
    return int(one.pts if one.pts is not None else one.dts)


def _grey(frame: Any) -> NDArray[Any]:
    """Luminance (Y, X) as it is stored, where it is; uint8, or uint16 of more than 8 bits."""
    kind, bits = frame.format, frame.format.components[0].bits
    apart = kind.is_planar or len(kind.components) == 1
    if kind.is_rgb or kind.has_palette or kind.is_big_endian or bits < _BYTE or not apart:
        return np.asarray(frame.to_ndarray(format="gray"))
    plane = frame.planes[0]
    rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[: frame.height]
    return (rows.view("<u2") if bits > _BYTE else rows)[:, : frame.width].copy()
