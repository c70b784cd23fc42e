"""Small TIFF files and folders of every kind that labs have, each with what must be read of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from PIL import Image

T, Y, X = 5, 12, 16
STACK = np.random.default_rng(3).integers(100, 4000, (T, Y, X)).astype(np.uint16)
"""Frames (T, Y, X) that differ from each other in every pixel, nearly."""


@dataclass(frozen=True, eq=False)
class Sample:
    """A file, and what it holds.

    Attributes
    ----------
    path : Path or sequence of Path
    axes : str
        Of the stored array, as `Movie.source_axes` has them.
    frames : ndarray, shape (T, Y, X)
        As they must be read.
    options : mapping
        For `Movie.open`.
    told : str
        Part of what `Movie.absence` says; empty where it says nothing.
    bad : tuple of int
        Frames that are not there between others; their pixels are not looked at.
    """

    path: Any
    axes: str
    frames: np.ndarray = field(default_factory=lambda: STACK)
    options: Mapping[str, Any] = field(default_factory=dict)
    told: str = ""
    bad: tuple[int, ...] = ()


def plain(folder: Path) -> Sample:
    """Pages without any description."""
    tifffile.imwrite(folder / "a.tif", STACK, photometric="minisblack", metadata=None)
    return Sample(folder / "a.tif", "TYX")


def shaped(folder: Path) -> Sample:
    tifffile.imwrite(folder / "a.tif", STACK, photometric="minisblack")
    return Sample(folder / "a.tif", "TYX")


def appended(folder: Path) -> Sample:
    """Frames written one by one, each with a description of its own."""
    with tifffile.TiffWriter(folder / "a.tif") as tiff:
        for frame in STACK:
            tiff.write(frame, contiguous=False)
    return Sample(folder / "a.tif", "TYX")


def big_endian(folder: Path) -> Sample:
    """BigTIFF in the other byte order."""
    tifffile.imwrite(folder / "a.btf", STACK.astype(">u2"), byteorder=">", bigtiff=True)
    return Sample(folder / "a.btf", "TYX")


def tiled(folder: Path) -> Sample:
    tifffile.imwrite(folder / "a.tif", STACK, photometric="minisblack", tile=(16, 16), compression="zstd")
    return Sample(folder / "a.tif", "TYX")


def strips(folder: Path) -> Sample:
    """LZW with a predictor, five rows a strip."""
    options = {"compression": "lzw", "predictor": True, "rowsperstrip": 5}
    tifffile.imwrite(folder / "a.tif", STACK, photometric="minisblack", **options)
    return Sample(folder / "a.tif", "TYX")


def packed(folder: Path) -> Sample:
    """Twelve bits a pixel."""
    tifffile.imwrite(folder / "a.tif", STACK, photometric="minisblack", bitspersample=12)
    return Sample(folder / "a.tif", "TYX")


def white_is_zero(folder: Path) -> Sample:
    """As ImageJ shows it: the other way round."""
    tifffile.imwrite(folder / "a.tif", 65535 - STACK, photometric="miniswhite")
    return Sample(folder / "a.tif", "TYX")


def imagej(folder: Path) -> Sample:
    hyper = np.stack([STACK, STACK + 1], 1)
    tifffile.imwrite(folder / "a.tif", hyper, imagej=True, metadata={"axes": "TCYX"})
    return Sample(folder / "a.tif", "TCYX", STACK + 1, {"channel": 1})


def ome(folder: Path) -> Sample:
    hyper = np.stack([STACK, STACK + 1], 1)[:, None]
    tifffile.imwrite(folder / "a.ome.tif", hyper, metadata={"axes": "TZCYX"})
    return Sample(folder / "a.ome.tif", "TCYX", STACK, {"channel": 0})


def colours(folder: Path) -> Sample:
    rgb = np.repeat((STACK >> 4).astype(np.uint8)[..., None], 3, -1)
    tifffile.imwrite(folder / "a.tif", rgb, photometric="rgb")
    return Sample(folder / "a.tif", "TYXS", rgb[..., 0])


def preview_first(folder: Path) -> Sample:
    """A small picture of the first frame before the movie."""
    with tifffile.TiffWriter(folder / "a.tif") as tiff:
        tiff.write(STACK[0, ::2, ::2], metadata=None)
        for frame in STACK:
            tiff.write(frame, metadata=None, contiguous=False)
    return Sample(folder / "a.tif", "TYX")


def second_position(folder: Path) -> Sample:
    with tifffile.TiffWriter(folder / "a.ome.tif", ome=True) as tiff:
        for k in range(2):
            tiff.write(STACK + k, metadata={"axes": "TYX", "Name": f"Pos{k}"}, photometric="minisblack")
    return Sample(folder / "a.ome.tif", "TYX", STACK + 1, {"series": 1})


# ---- files that promise more than they hold


def aborted_ome(folder: Path) -> Sample:
    """The acquisition was stopped after three of five frames."""
    planes = "".join(f'<TiffData IFD="{t}" FirstT="{t}" PlaneCount="1"/>' for t in range(T))
    _write_pages(folder / "a.ome.tif", STACK[:3], ome_xml(planes), compression="zlib")
    return Sample(
        folder / "a.ome.tif", "TYX", STACK[:3], told="promises 5 frames and holds 3: frames 3 to 4 are not there"
    )


def aborted_imagej(folder: Path) -> Sample:
    _write_pages(folder / "a.tif", STACK[:3], "ImageJ=1.54f\nimages=5\nframes=5\nhyperstack=true\n")
    return Sample(folder / "a.tif", "TYX", STACK[:3], told="promises 5 frames and holds 3")


def aborted_imagej_in_one_block(folder: Path) -> Sample:
    """ImageJ's way with large movies: one page, all frames behind each other."""
    _write_pages(folder / "a.tif", STACK[:1], "ImageJ=1.54f\nimages=5\nframes=5\nhyperstack=true\n")
    with (folder / "a.tif").open("ab") as file:
        file.write(b"\0" * 3)  # what is left of the next frame is no frame
    return Sample(folder / "a.tif", "TYX", STACK[:1], told="promises 5 frames and holds 1")


def cut_off(folder: Path) -> Sample:
    """Compressed frames, the copy ended in the fourth."""
    path = folder / "a.tif"
    tifffile.imwrite(path, STACK, photometric="minisblack", compression="zlib")
    with tifffile.TiffFile(path) as tiff:
        end = tiff.pages[3].dataoffsets[0] + 5
    path.write_bytes(path.read_bytes()[:end])
    return Sample(path, "TYX", STACK[:3], told="promises 5 frames and holds 3")


def last_channel_missing(folder: Path) -> Sample:
    """Stopped between the channels of the last frame: the first channel is whole."""
    planes = "".join(
        f'<TiffData IFD="{2 * t + c}" FirstT="{t}" FirstC="{c}" PlaneCount="1"/>' for t in range(T) for c in range(2)
    )
    pages = np.stack([STACK, STACK + 1], 1).reshape(-1, Y, X)[:-1]
    _write_pages(folder / "a.ome.tif", pages, ome_xml(planes, n_channels=2), compression="zlib")
    return Sample(folder / "a.ome.tif", "TCYX", STACK, {"channel": 0})


def hole(folder: Path) -> Sample:
    """One frame in the middle was never written."""
    places = [(ifd, t) for ifd, t in enumerate((0, 1, 3, 4))]
    planes = "".join(f'<TiffData IFD="{ifd}" FirstT="{t}" PlaneCount="1"/>' for ifd, t in places)
    _write_pages(folder / "a.ome.tif", STACK[[0, 1, 3, 4]], ome_xml(planes), compression="zlib")
    return Sample(folder / "a.ome.tif", "TYX", told="a.ome.tif: frame 2 is not there", bad=(2,))


# ---- sets of files


def set_of_files(folder: Path) -> Sample:
    """A file for each frame, opened from one that is not the first."""
    return Sample(_ome_set(folder)[2], "TYX")


def set_with_a_file_missing(folder: Path) -> Sample:
    files = _ome_set(folder)
    files[1].unlink()
    return Sample(
        files[3], "TYX", told="frame 1 is not there; 1 of the files of t3.ome.tif are not there: t1", bad=(1,)
    )


def set_with_a_companion(folder: Path) -> Sample:
    """The files only say which other file describes them."""
    return Sample(_companion_set(folder)[2], "TYX")


def companion(folder: Path) -> Sample:
    _companion_set(folder)
    return Sample(folder / "set.companion.ome", "TYX")


# ---- folders


def numbered(folder: Path) -> Sample:
    """Numbers without leading zeros, and files of others among them."""
    write_frames(folder / "frames", "f{}.tif", range(8, 8 + T))
    (folder / "frames" / "notes.txt").write_text("no image")
    return Sample(folder / "frames", "TYX")


def every_tenth(folder: Path) -> Sample:
    write_frames(folder / "frames", "f{:03d}.tif", range(0, 10 * T, 10))
    return Sample(folder / "frames", "TYX", told="go up by 10: each is taken for the next frame")


def gap(folder: Path) -> Sample:
    write_frames(folder / "frames", "f{:03d}.tif", range(1, T + 1))
    (folder / "frames" / "f003.tif").unlink()
    return Sample(folder / "frames", "TYX", told="has no file with number 3", bad=(2,))


def one_of_two_channels(folder: Path) -> Sample:
    write_frames(folder / "frames", "exp_w1Red_t{}.TIF", range(1, T + 1))
    write_frames(folder / "frames", "exp_w2Phase_t{}.TIF", range(1, T + 1), STACK + 1)
    return Sample(folder / "frames" / "exp_w2*.TIF", "TYX", STACK + 1)


def listed_by_a_shell(folder: Path) -> Sample:
    write_frames(folder / "frames", "f{}.tif", range(8, 8 + T))
    return Sample(sorted((folder / "frames").iterdir()), "TYX")


def white_is_zero_files(folder: Path) -> Sample:
    (folder / "frames").mkdir()
    for t, frame in enumerate(STACK):
        tifffile.imwrite(folder / "frames" / f"f{t}.tif", 65535 - frame, photometric="miniswhite")
    return Sample(folder / "frames", "TYX")


def pngs(folder: Path) -> Sample:
    (folder / "frames").mkdir()
    for t, frame in enumerate(STACK):
        Image.fromarray(frame).save(folder / "frames" / f"f{t}.png")
    return Sample(folder / "frames", "TYX")


def set_described_by_its_first_file(folder: Path) -> Sample:
    """The other files say nothing of it."""
    return Sample(_ome_set(folder, described=1)[3], "TYX")


ZOO = (
    *(plain, shaped, appended, big_endian, tiled, strips, packed, white_is_zero, imagej, ome, colours, preview_first),
    *(second_position, aborted_ome, aborted_imagej, aborted_imagej_in_one_block, cut_off, last_channel_missing, hole),
    *(set_of_files, set_described_by_its_first_file, set_with_a_file_missing, set_with_a_companion, companion),
    *(numbered, every_tenth, gap, one_of_two_channels, listed_by_a_shell, white_is_zero_files, pngs),
)


# ---- how they are written


def write_frames(folder: Path, pattern: str, numbers: range, stack: np.ndarray = STACK) -> None:
    """One TIFF file for each frame."""
    folder.mkdir(exist_ok=True)
    for number, frame in zip(numbers, stack, strict=True):
        tifffile.imwrite(folder / pattern.format(number), frame)


def ome_xml(planes: str, n_channels: int = 1, uuid: str = "") -> str:
    """The description of an image of T frames."""
    of = f' UUID="{uuid}"' if uuid else ""
    return (
        f'<?xml version="1.0" encoding="UTF-8"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"{of}>'
        f'<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint16" SizeX="{X}" SizeY="{Y}" '
        f'SizeC="{n_channels}" SizeZ="1" SizeT="{T}" BigEndian="false">{planes}</Pixels></Image></OME>'
    )


def _write_pages(path: Path, pages: np.ndarray, description: str, **options: Any) -> None:
    with tifffile.TiffWriter(path, ome=False) as tiff:
        for i, page in enumerate(pages):
            said = description if i == 0 else None
            tiff.write(page, description=said, metadata=None, contiguous=False, **options)


def _planes_in_files() -> str:
    return "".join(
        f'<TiffData IFD="0" FirstT="{t}" PlaneCount="1"><UUID FileName="t{t}.ome.tif">urn:uuid:{t}</UUID></TiffData>'
        for t in range(T)
    )


def _ome_set(folder: Path, described: int = T) -> list[Path]:
    for t, frame in enumerate(STACK):
        xml = ome_xml(_planes_in_files(), uuid=f"urn:uuid:{t}") if t < described else ""
        _write_pages(folder / f"t{t}.ome.tif", frame[None], xml)
    return [folder / f"t{t}.ome.tif" for t in range(T)]


def _companion_set(folder: Path) -> list[Path]:
    (folder / "set.companion.ome").write_text(ome_xml(_planes_in_files(), uuid="urn:uuid:set"))
    pointer = '<OME><BinaryOnly MetadataFile="set.companion.ome" UUID="urn:uuid:set"/></OME>'
    for t, frame in enumerate(STACK):
        _write_pages(folder / f"t{t}.ome.tif", frame[None], pointer)
    return [folder / f"t{t}.ome.tif" for t in range(T)]
