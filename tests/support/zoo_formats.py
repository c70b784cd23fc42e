"""Small movies in every format that is read, made here, and what is to be said of each."""

import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np
import tifffile
import zarr

T, Z, C, Y, X = 3, 4, 2, 8, 9
HYPER = np.random.default_rng(0).integers(0, 4000, (T, Z, C, Y, X)).astype(np.uint16)
STACK = HYPER[:, 0, 0]
GREYS = (40, 200, 90, 150, 60, 230, 120, 20, 180, 75, 210, 100)
"""Of the frames of films, far enough from one another for any codec."""


@dataclass(frozen=True)
class Specimen:
    """A file, and what is true of it.

    Parameters
    ----------
    name : str
        Of the file.
    make : callable
        Writes it to a path.
    source : tuple
        Shape and axes of the stored array.
    movie : tuple of int or None
        (T, Y, X); None where the axes must be said.
    frame : callable or None
        Frame 1 from what is stored; None for what is not compared.
    choice : dict
        What must be said to read it.
    needs : tuple of str
        What `info` says that must be said.
    """

    name: str
    make: Callable[[Path], Any]
    source: tuple[tuple[int, ...], str | None]
    movie: tuple[int, int, int] | None
    frame: Any = None
    choice: dict[str, Any] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    pixel_um: float | None = None
    interval_s: float | None = None
    n_series: int = 1

    def __str__(self) -> str:
        return self.name


# --- writers ---------------------------------------------------------------------------------------------------------


def save(array: np.ndarray) -> Callable[[Path], None]:
    return lambda path: np.save(path, array)


def savez(**arrays: np.ndarray) -> Callable[[Path], None]:
    return lambda path: np.savez_compressed(path, **arrays)


def tiff(array: np.ndarray, **settings: Any) -> Callable[[Path], None]:
    return lambda path: tifffile.imwrite(path, array, photometric=settings.pop("photometric", "minisblack"), **settings)


def picture(array: np.ndarray) -> Callable[[Path], None]:
    return lambda path: iio.imwrite(path, array)


def frames(array: np.ndarray) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        path.mkdir()
        for t, frame in enumerate(array):
            tifffile.imwrite(path / f"t{t:02d}.tif", frame)

    return write


def plain_zarr(array: np.ndarray, version: int, names: list[str] | None = None) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        if version == 3:
            zarr.create_array(path, data=array, zarr_format=3, dimension_names=names)
        else:
            zarr.create_array(path, data=array, zarr_format=2, attributes={"_ARRAY_DIMENSIONS": names} if names else {})

    return write


def zarr_group(**arrays: np.ndarray) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        group = zarr.open_group(path, mode="w")
        for name, array in arrays.items():
            group.create_array(name, data=array)

    return write


def ome_zarr(
    array: np.ndarray, axes: str, version: str = "0.4", channels: tuple[str, ...] = (), name: str = ""
) -> Callable[[Path], None]:
    """An image of .5 µm a pixel and 2 min a frame, and half as large a second level."""
    kinds = {"t": "time", "c": "channel"}
    units = {"t": {"unit": "minute"}, "y": {"unit": "micrometer"}, "x": {"unit": "micrometer"}}
    described = [{"name": a, "type": kinds.get(a, "space"), **units.get(a, {})} for a in axes]

    def scale(level: int) -> list[float]:
        return [{"t": 2.0, "y": 0.5 * 2**level, "x": 0.5 * 2**level}.get(a, 1.0) for a in axes]

    def write(path: Path) -> None:
        group = zarr.open_group(path, mode="w", zarr_format=3 if version == "0.5" else 2)
        for level in range(2):
            group.create_array(str(level), data=array[..., :: 2**level, :: 2**level])
        levels = [
            {"path": str(i), "coordinateTransformations": [{"type": "scale", "scale": scale(i)}]} for i in range(2)
        ]
        block: dict[str, Any] = {"multiscales": [{"axes": described, "datasets": levels, "name": name}]}
        if channels:
            block["omero"] = {"channels": [{"label": label} for label in channels]}
        block["version" if version == "0.5" else "none"] = version
        group.attrs.update({"ome": block} if version == "0.5" else block)

    return write


def bioformats2raw(*arrays: np.ndarray) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        root = zarr.open_group(path, mode="w", zarr_format=2)
        root.attrs["bioformats2raw.layout"] = 3
        root.create_group("OME").attrs["series"] = [str(i) for i in range(len(arrays))]
        for i, array in enumerate(arrays):
            ome_zarr(array, "tyx", name=f"field {i}")(path / str(i))

    return write


def plate(array: np.ndarray) -> Callable[[Path], None]:
    """Two wells of two fields each; that of A/2/1 is one brighter."""

    def write(path: Path) -> None:
        root = zarr.open_group(path, mode="w", zarr_format=2)
        root.attrs["plate"] = {"wells": [{"path": "A/1"}, {"path": "A/2"}]}
        for well in ("A/1", "A/2"):
            root.create_group(well).attrs["well"] = {"images": [{"path": "0"}, {"path": "1"}]}
            for i in range(2):
                ome_zarr(array + (well == "A/2" and i == 1), "tyx")(path / well / str(i))

    return write


def imaris(array: np.ndarray, promised: int | None = None) -> Callable[[Path], None]:
    """(T, C, Z, Y, X) as Imaris stores it: attributes letter by letter, volumes larger than the image; .25 µm, 30 s."""
    import h5py

    def say(node: Any, **attributes: str) -> None:
        for key, value in attributes.items():
            node.attrs[key] = np.frombuffer(value.encode(), "S1")

    def write(path: Path) -> None:
        n_frames, n_channels, *volume = array.shape
        padded = np.pad(array, [(0, 0), (0, 0), (0, 2), (0, 8), (0, 7)])
        with h5py.File(path, "w") as file:
            for t in range(n_frames):
                for c in range(n_channels):
                    group = file.create_group(f"DataSet/ResolutionLevel 0/TimePoint {t}/Channel {c}")
                    group.create_dataset("Data", data=padded[t, c], chunks=(2, 8, 8), compression="gzip")
            image = file.create_group("DataSetInfo/Image")
            sizes = dict(zip("ZYX", map(str, volume), strict=True))
            say(image, **sizes, Unit="um", ExtMin0="10", ExtMin1="20")
            say(image, ExtMax0=str(10 + volume[2] * 0.25), ExtMax1=str(20 + volume[1] * 0.25))
            for c, name in enumerate(("DAPI", "GFP")[:n_channels]):
                say(file.create_group(f"DataSetInfo/Channel {c}"), Name=name)
            times = {f"TimePoint{t + 1}": f"2024-05-01 10:{t // 2:02d}:{t % 2 * 30:02d}.000" for t in range(n_frames)}
            say(file.create_group("DataSetInfo/TimeInfo"), **times, DatasetTimePoints=str(promised or n_frames))

    return write


def film(codec: str, pixel_format: str, **options: str) -> Callable[[Path], None]:
    """Frames of one grey value each, see `GREYS`."""
    import av

    def write(path: Path) -> None:
        with av.open(str(path), "w") as container:
            stream = container.add_stream(codec, rate=10, options=options)
            stream.width, stream.height, stream.pix_fmt = 48, 32, pixel_format
            for grey in GREYS:
                pixels = np.full((32, 48), grey, np.uint8)
                picture = av.VideoFrame.from_ndarray(pixels, format="gray").reformat(format=pixel_format)
                container.mux(stream.encode(picture))
            container.mux(stream.encode())

    return write


def lif(*images: np.ndarray, pixel_um: float = 0.5, interval_s: float = 60) -> Callable[[Path], None]:
    """Images (T, C, Y, X), .5 µm a pixel and 60 s a frame unless it is said, in the layout that liffile reads."""

    def block(content: bytes) -> bytes:
        return struct.pack("<II", 0x70, len(content)) + content

    def text(words: str) -> bytes:
        return b"\x2a" + struct.pack("<I", len(words)) + words.encode("utf-16-le")

    def element(number: int, array: np.ndarray) -> str:
        n_frames, n_channels, height, width = array.shape
        plane, size = height * width * array.itemsize, array.itemsize
        sides = [
            (1, width, (width - 1) * pixel_um * 1e-6, "m", size),
            (2, height, (height - 1) * pixel_um * 1e-6, "m", size * width),
            (4, n_frames, (n_frames - 1) * interval_s, "s", plane * n_channels),
        ]
        dimensions = "".join(
            f'<DimensionDescription DimID="{i}" NumberOfElements="{n}" Origin="0" Length="{length}" Unit="{unit}" '
            f'BytesInc="{step}" BitInc="0"/>'
            for i, n, length, unit, step in sides
        )
        channels = "".join(
            f'<ChannelDescription DataType="0" ChannelTag="0" Resolution="{8 * size}" NameOfMeasuredQuantity="" '
            f'Min="0" Max="1" Unit="" LUTName="{name}" IsLUTInverted="0" BytesInc="{c * plane}" BitInc="0"/>'
            for c, name in enumerate(("Blue", "Green")[:n_channels])
        )
        return (
            f'<Element Name="Series{number}" Visibility="1"><Data><Image><ImageDescription><Channels>{channels}'
            f"</Channels><Dimensions>{dimensions}</Dimensions></ImageDescription></Image></Data>"
            f'<Memory Size="{array.nbytes}" MemoryBlockID="MemBlock_{number}"/></Element>'
        )

    def write(path: Path) -> None:
        inside = "".join(element(i, array) for i, array in enumerate(images))
        header = (
            f'<LMSDataContainerHeader Version="2"><Element Name="{path.name}" Visibility="1"><Data><Experiment/></Data>'
            f'<Memory Size="0" MemoryBlockID="MemBlock_x"/><Children>{inside}</Children></Element>'
            "</LMSDataContainerHeader>"
        )
        memory = [
            block(b"\x2a" + struct.pack("<Q", a.nbytes) + text(f"MemBlock_{i}")) + a.tobytes()
            for i, a in enumerate(images)
        ]
        path.write_bytes(block(text(header)) + b"".join(memory))

    return write


# --- the zoo ---------------------------------------------------------------------------------------------------------

TYX, TZCYX = ((T, Y, X), "TYX"), ((T, Z, C, Y, X), "TZCYX")
BYTES = (STACK // 16).astype(np.uint8)
RGB = np.random.default_rng(1).integers(0, 255, (T, 24, 33, 3)).astype(np.uint8)
GREY = np.rint(RGB @ np.array([0.299, 0.587, 0.114])).astype(np.uint8)
BOTH = ("--z 0 to 3 or max", "--channel 0 to 1")
CHANNEL, PLANE = ("--channel 0 to 1",), ("--z 0 to 3 or max", "--axes TYX if they are time points")
ONE = {"channel": 1, "z": 2}
TCYX = HYPER[:, 0]
MOVIE = (T, Y, X)
CALIBRATED = {"pixel_um": 0.5, "interval_s": 120.0}
OME = {"axes": "TZCYX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5, "TimeIncrement": 120.0, "TimeIncrementUnit": "s"}
NAMED = {"Channel": {"Name": ["DAPI", "GFP & more"]}}
IMAGEJ = {"axes": "TZCYX", "unit": "um", "finterval": 120.0, "tunit": "s"}

ZOO = (
    Specimen("movie.npy", save(STACK), TYX, MOVIE, STACK[1]),
    Specimen(
        "hyper.npy", save(HYPER), (HYPER.shape, None), None, HYPER[1, 2, 1], ONE | {"axes": "TZCYX"}, ("--axes,",)
    ),
    Specimen("swapped.npy", save(STACK.astype(">u2")), TYX, MOVIE, STACK[1]),
    Specimen("movie.npz", savez(cells=STACK), TYX, MOVIE, STACK[1]),
    Specimen("v2.zarr", plain_zarr(STACK, 2), TYX, MOVIE, STACK[1]),
    Specimen("v3.zarr", plain_zarr(STACK.T, 3, ["x", "y", "t"]), (STACK.T.shape, "XYT"), MOVIE, STACK[1]),
    Specimen(
        "cyx.zarr",
        plain_zarr(TCYX[0], 2, ["c", "y", "x"]),
        ((C, Y, X), "CYX"),
        (1, Y, X),
        None,
        {"channel": 1},
        (*CHANNEL, PLANE[1]),
    ),
    Specimen("group.zarr", zarr_group(only=STACK), TYX, MOVIE, STACK[1]),
    Specimen(
        "v4.ome.zarr",
        ome_zarr(HYPER.swapaxes(1, 2), "tczyx", "0.4", ("DAPI", "GFP")),
        ((T, C, Z, Y, X), "TCZYX"),
        MOVIE,
        HYPER[1, 2, 1],
        ONE,
        BOTH,
        ("DAPI", "GFP"),
        **CALIBRATED,
    ),
    Specimen(
        "v5.ome.zarr",
        ome_zarr(TCYX, "tcyx", "0.5", ("DAPI", "GFP")),
        ((T, C, Y, X), "TCYX"),
        MOVIE,
        TCYX[1, 1],
        {"channel": 1},
        CHANNEL,
        ("DAPI", "GFP"),
        **CALIBRATED,
    ),
    Specimen(
        "long.ome.zarr",
        ome_zarr(STACK[:, None, None], "tczyx"),
        ((T, 1, 1, Y, X), "TCZYX"),
        MOVIE,
        STACK[1],
        **CALIBRATED,
    ),
    Specimen("raw.zarr", bioformats2raw(STACK[:2], STACK, STACK[:1]), TYX, MOVIE, STACK[1], n_series=3, **CALIBRATED),
    Specimen("plate.zarr", plate(STACK), TYX, MOVIE, STACK[1], n_series=4, **CALIBRATED),
    Specimen(
        "movie.ims",
        imaris(HYPER.swapaxes(1, 2)),
        ((T, C, Z, Y, X), "TCZYX"),
        MOVIE,
        HYPER[1, 2, 1],
        ONE,
        (BOTH[0], BOTH[1]),
        ("DAPI", "GFP"),
        0.25,
        30.0,
    ),
    Specimen(
        "flat.ims",
        imaris(STACK[:, None, None]),
        ((T, 1, 1, Y, X), "TCZYX"),
        MOVIE,
        STACK[1],
        {},
        (),
        ("DAPI",),
        0.25,
        30.0,
    ),
    Specimen(
        "two.lif",
        lif(TCYX[:1], TCYX),
        ((T, C, Y, X), "TCYX"),
        MOVIE,
        TCYX[1, 1],
        {"channel": 1},
        CHANNEL,
        ("Blue", "Green"),
        0.5,
        60.0,
        n_series=2,
    ),
    Specimen("film.mp4", film("mpeg4", "yuv420p", g="5", bf="2"), ((12, 32, 48), "TYX"), (12, 32, 48)),
    Specimen(
        "film.avi", film("mjpeg", "yuvj420p"), ((12, 32, 48), "TYX"), (12, 32, 48), np.full((32, 48), 200, np.uint8)
    ),
    Specimen(
        "grey.avi", film("rawvideo", "gray"), ((12, 32, 48), "TYX"), (12, 32, 48), np.full((32, 48), 200, np.uint8)
    ),
    Specimen(
        "movie.ome.tif",
        tiff(HYPER, ome=True, metadata=OME | NAMED),
        TZCYX,
        MOVIE,
        HYPER[1, 2, 1],
        ONE,
        BOTH,
        ("DAPI", "GFP & more"),
        **CALIBRATED,
    ),
    Specimen(
        "ctyx.ome.tif",
        tiff(TCYX.swapaxes(0, 1), ome=True, metadata=OME | {"axes": "CTYX"}),
        ((C, T, Y, X), "CTYX"),
        MOVIE,
        TCYX[1, 1],
        {"channel": 1},
        CHANNEL,
        **CALIBRATED,
    ),
    Specimen(
        "hyper.tif",
        tiff(HYPER, imagej=True, resolution=(2, 2), metadata=IMAGEJ),
        TZCYX,
        MOVIE,
        HYPER[1, 2, 1],
        ONE,
        BOTH,
        **CALIBRATED,
    ),
    Specimen(
        "z-is-time.tif",
        tiff(HYPER[0, :, 0], imagej=True, metadata={"axes": "ZYX"}),
        ((Z, Y, X), "ZYX"),
        (1, Y, X),
        HYPER[0, 1, 0],
        {"axes": "TYX"},
        PLANE,
    ),
    Specimen("imagej.tif", tiff(STACK, imagej=True, metadata={"axes": "TYX"}), TYX, MOVIE, STACK[1]),
    Specimen("shaped.tif", tiff(STACK, metadata={"axes": "TYX"}), TYX, MOVIE, STACK[1]),
    Specimen("plain.tif", tiff(STACK, metadata=None), ((T, Y, X), None), MOVIE, STACK[1]),
    Specimen("big.btf", tiff(STACK, bigtiff=True, metadata={"axes": "TYX"}), TYX, MOVIE, STACK[1]),
    Specimen("real.tif", tiff(STACK.astype(np.float32), metadata={"axes": "TYX"}), TYX, MOVIE, STACK[1]),
    Specimen("long.tif", tiff(STACK[:, None, None], imagej=True, metadata={"axes": "TZCYX"}), TYX, MOVIE, STACK[1]),
    Specimen(
        "colours.tif",
        tiff(RGB, photometric="rgb", metadata={"axes": "TYXS"}),
        (RGB.shape, "TYXS"),
        RGB.shape[:3],
        GREY[1],
    ),
    Specimen("picture.png", picture(RGB[0]), ((1, 24, 33, 3), "TYXS"), (1, 24, 33)),
    Specimen("grey.png", picture(BYTES[0]), ((1, Y, X), "TYX"), (1, Y, X)),
    Specimen("picture.jpg", picture(RGB[0]), ((1, 24, 33, 3), "TYXS"), (1, 24, 33)),
    Specimen("folder", frames(STACK), TYX, MOVIE, STACK[1]),
)
