"""What can happen to files: seeded damage to a folder of any files, and to what is in JSON, tables and TIFF files."""

import json
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import tifffile

Mutation = Callable[[Random, Path], str]
"""Damages the folder; returns the name of what it damaged."""

DEEP = [[[]]]
for _ in range(60):
    DEEP = [DEEP]

EXTREMES: tuple[Any, ...] = (
    *(None, True, False, -1, 0, 1, 2, 3, 255, 65535, 65536, 2**31, 2**32, 2**53, 2**63, 2**64, 10**30, -(2**63)),
    *(0.5, -0.5, 1e-320, 1e308, float("nan"), float("inf"), -float("inf")),
    *("", "0", "nan", "é\u0000x", "\ud800", "a" * 5000, "../../elsewhere/precious.bin", "/etc/hostname", "."),
    *("file:///etc/hostname", "https://example.org/x.zarr", "*", "0/0"),
    *([], [0], [[0]], [1, 2, 3, 4], [0] * 2000, [None], ["x"], {}, {"a": 1}, {"": {}}, DEEP),
)

WRONG_ARRAYS: tuple[Callable[[], np.ndarray], ...] = (
    lambda: np.zeros((), np.uint8),
    lambda: np.zeros(5, np.uint8),
    lambda: np.zeros((0, 64, 64), np.uint16),
    lambda: np.zeros((3, 0, 64), np.uint16),
    lambda: np.zeros((2, 3, 4, 5, 6), np.uint16),
    lambda: np.full((3, 64, 64), np.nan, np.float32),
    lambda: np.full((3, 64, 64), np.inf, np.float64),
    lambda: np.full((3, 64, 64), 1e300),
    lambda: np.full((3, 64, 64), 0.5, np.float16),
    lambda: np.full((3, 64, 64), -5, np.int32),
    lambda: np.full((3, 64, 64), 2**62, np.int64),
    lambda: np.full((3, 64, 64), 2**64 - 1, np.uint64),
    lambda: np.ones((3, 64, 64), bool),
    lambda: np.ones((64, 64), np.complex64),
    lambda: np.ones((3, 64, 65), np.uint8),
    lambda: np.ones((1, 1, 1), np.uint8),
    lambda: np.ones((64, 64, 3), np.uint8),
    lambda: (np.arange(64 * 64, dtype=np.uint16) % 7).reshape(64, 64),
)


def files_of(folder: Path) -> list[Path]:
    """All files, sorted."""
    return sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def _pick(random: Random, folder: Path, *endings: str) -> Path:
    """Any file, those with one of the endings preferred."""
    files = files_of(folder)
    return random.choice([path for path in files if path.name.endswith(endings)] or files)


def _changed(random: Random, folder: Path, change: Callable[[bytearray], bytes]) -> str:
    path = _pick(random, folder, "")
    path.write_bytes(change(bytearray(path.read_bytes())))
    return path.relative_to(folder).as_posix()


# --- any file --------------------------------------------------------------------------------------------------------


def flip(random: Random, folder: Path) -> str:
    """Change a few bits."""

    def change(content: bytearray) -> bytes:
        for _ in range(random.choice((1, 1, 2, 8, 64)) if content else 0):
            content[random.randrange(len(content))] ^= 1 << random.randrange(8)
        return bytes(content)

    return _changed(random, folder, change)


def overwrite(random: Random, folder: Path) -> str:
    """Put a few bytes of the worst kind somewhere."""

    def change(content: bytearray) -> bytes:
        at = random.randrange(len(content) + 1)
        content[at : at + 8] = random.choice((b"\xff" * 8, b"\0" * 8, b"\x7f" + b"\xff" * 7, random.randbytes(8)))
        return bytes(content)

    return _changed(random, folder, change)


def truncate(random: Random, folder: Path) -> str:
    """Cut a file off."""
    return _changed(random, folder, lambda content: bytes(content[: random.randrange(len(content) + 1)]))


def empty(random: Random, folder: Path) -> str:
    """Leave nothing of a file."""
    return _changed(random, folder, lambda content: b"")


def append(random: Random, folder: Path) -> str:
    """Add rubbish."""
    return _changed(random, folder, lambda content: bytes(content) + random.randbytes(random.choice((1, 100, 5000))))


def noise(random: Random, folder: Path) -> str:
    """Replace a file by noise."""
    return _changed(random, folder, lambda content: random.randbytes(len(content)))


def delete(random: Random, folder: Path) -> str:
    """Remove a file."""
    path = _pick(random, folder, "")
    path.unlink()
    return path.relative_to(folder).as_posix()


def delete_folder(random: Random, folder: Path) -> str:
    """Remove a folder, or all there is."""
    path = random.choice(sorted(path for path in folder.rglob("*") if path.is_dir()) or [folder])
    shutil.rmtree(path)
    return path.relative_to(folder).as_posix()


def swap(random: Random, folder: Path) -> str:
    """Exchange two files."""
    a, b = random.choice(files_of(folder)), random.choice(files_of(folder))
    one, other = a.read_bytes(), b.read_bytes()
    a.write_bytes(other)
    b.write_bytes(one)
    return f"{a.relative_to(folder).as_posix()} = {b.relative_to(folder).as_posix()}"


def rename(random: Random, folder: Path) -> str:
    """Give a file or folder another name."""
    path = random.choice(sorted(folder.rglob("*")))
    path.rename(path.with_name(random.choice(("x", path.name + "~", "0", "zarr.json.old", "9999.done", "é\udcff"))))
    return path.relative_to(folder).as_posix()


def link(random: Random, folder: Path) -> str:
    """Replace a file or folder by a link: to a file elsewhere, to nothing, to itself, to a folder that it lies in."""
    path = random.choice(sorted(folder.rglob("*")))
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    path.symlink_to(random.choice((folder.parent / "elsewhere/precious.bin", "nothing", path.name, "..", "/dev/null")))
    return path.relative_to(folder).as_posix()


def exchange_kind(random: Random, folder: Path) -> str:
    """Make a folder of a file, or a file of a folder."""
    path = random.choice(sorted(folder.rglob("*")))
    if path.is_dir():
        shutil.rmtree(path)
        path.write_bytes(b"a file")
    else:
        path.unlink()
        path.mkdir()
    return path.relative_to(folder).as_posix()


ANY_FILE: tuple[Mutation, ...] = (
    *(flip, flip, overwrite, truncate, empty, append, noise, delete, delete_folder, swap),
    *(rename, link, exchange_kind),
)

# --- JSON ------------------------------------------------------------------------------------------------------------


def json_value(random: Random, folder: Path) -> str:
    """Change a value anywhere in a JSON file, or take it out, or double it, or rename its key."""
    path = _pick(random, folder, ".json", "log")
    content = path.read_bytes()
    lines = content.split(b"\n") if path.name == "log" else [content]
    at = random.randrange(len(lines))
    try:
        lines[at] = json.dumps(_edited(random, json.loads(lines[at]))).encode("utf-8", "surrogatepass")
    except ValueError:  # an empty line
        lines[at] = b"[]"
    path.write_bytes(b"\n".join(lines))
    return path.relative_to(folder).as_posix()


def _edited(random: Random, tree: Any) -> Any:
    spots = list(_spots(tree))
    if not spots or random.random() < 0.02:
        return random.choice(EXTREMES)
    node, key = random.choice(spots)
    way = random.randrange(10)
    if way == 0:
        del node[key]
    elif way == 1 and isinstance(node, dict):
        node[random.choice(("", "x", "Object", str(key).upper()))] = node.pop(key)
    elif way == 2:
        other, there = random.choice(spots)
        node[key] = json.loads(json.dumps(other[there])) if other is not node else random.choice(EXTREMES)
    elif way == 3 and isinstance(node, list):
        node.extend([node[key]] * random.choice((1, 3, 1000)))
    else:
        node[key] = random.choice(EXTREMES)
    return tree


def _spots(tree: Any) -> Any:
    keys = tree if isinstance(tree, dict) else range(len(tree)) if isinstance(tree, list) else ()
    for key in keys:
        yield tree, key
        yield from _spots(tree[key])


# --- tables ----------------------------------------------------------------------------------------------------------

CELLS = (
    "",
    "nan",
    "inf",
    "-1",
    "1e400",
    "9" * 400,
    "0x1",
    "1,5",
    '"',
    '"a\nb"',
    "=1+1",
    "é",
    "\0",
    "1" * 70000,
    "TRUE",
)


def table(random: Random, folder: Path) -> str:
    """Change a table of comma-separated values as people and programs do."""
    path = _pick(random, folder, ".csv", ".txt")
    text = path.read_bytes().decode("latin-1")
    rows = [line.split(",") for line in text.splitlines()] or [[""]]
    row = random.choice(rows)
    way = random.randrange(9)
    if way == 0:
        text = text.replace(",", random.choice(";\t| :"))
    elif way == 1:
        text = text.replace("\n", random.choice(("\r", "\r\n", "\n\n", " ")))
    elif way == 2:
        path.write_bytes(text.encode(random.choice(("utf-16", "utf-32", "utf-16-le", "cp500", "utf-8-sig"))))
        return path.name
    elif way == 3:
        random.shuffle(rows)
    elif way == 4:
        random.shuffle(rows[0])
    elif way == 5:
        row.pop(random.randrange(len(row)))
    elif way == 6:
        row.insert(random.randrange(len(row) + 1), random.choice(CELLS))
    else:
        row[random.randrange(len(row))] = random.choice(CELLS)
    changed = text if way < 2 else "\n".join(",".join(row) for row in rows) + "\n"
    path.write_bytes(changed.encode("utf-8" if random.random() < 0.8 else "latin-1", "replace"))
    return path.name


# --- images ----------------------------------------------------------------------------------------------------------


def tiff_tag(random: Random, folder: Path) -> str:
    """Change the code, type, count or value of a tag of a TIFF file, or where the next page lies."""
    path = _pick(random, folder, ".tif")
    content = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as file:
        order, tags = file.byteorder, list(random.choice(file.pages).tags)
    tag = random.choice(tags)
    where, code = random.choice(((0, "H"), (2, "H"), (4, "I"), (8, "I"), (8, "I"), (8, "I")))
    number = random.choice((0, 1, 2, 3, 8, 16, 64, 255, 4096, 65535, 2**31, 2**32 - 1, random.randrange(len(content))))
    struct.pack_into(order + code, content, tag.offset + where, number % (65536 if code == "H" else 2**32))
    path.write_bytes(content)
    return f"{path.name}: {tag.name}"


def description(random: Random, folder: Path) -> str:
    """Say something else in the description of a TIFF file."""
    path = _pick(random, folder, ".tif")
    try:
        words = (
            *("ImageJ=1.11a\nimages=999999\nframes=999999\n", "ImageJ=\nimages=x\nslices=-1\n", "<OME/>", "<OME"),
            *('{"shape": [3, 64, 64]}', '{"shape": [1000000, 64, 64]}', '{"shape": "x", "axes": 5}', '{"axes": "QQQ"}'),
            '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0">'
            '<Pixels DimensionOrder="XYZCT" ID="Pixels:0" SizeC="1" SizeT="-3" SizeX="64" SizeY="64" SizeZ="9" '
            'Type="uint16" PhysicalSizeX="nan"><TiffData/></Pixels></Image></OME>',
            *("", "spacing=nan\nunit=\\u00B5m", "ImageJ=1.5\nframes=3\nfinterval=-1\nunit=parsec\n"),
        )
        tifffile.tiffcomment(path, random.choice(words).encode())
    except Exception:  # no TIFF file: then the whole of it is something else
        path.write_bytes(b"II*\0")
    return path.name


def wrong_image(random: Random, folder: Path) -> str:
    """An image of another shape or type under the same name."""
    path = _pick(random, folder, ".tif")
    array = random.choice(WRONG_ARRAYS)()
    try:
        tifffile.imwrite(path, array, photometric="minisblack")
    except Exception:  # what tifffile does not write
        np.save(path.with_suffix(".npy"), array)
        path.write_bytes(path.with_suffix(".npy").read_bytes())
        path.with_suffix(".npy").unlink()
    return f"{path.name}: {array.dtype} {array.shape}"


def wrong_array(random: Random, folder: Path) -> str:
    """A zarr array of another shape or type in the place of one."""
    import zarr

    place = random.choice([path.parent for path in files_of(folder) if path.name in ("zarr.json", ".zarray")])
    array = random.choice(WRONG_ARRAYS)()
    shutil.rmtree(place)
    zarr.create_array(place, data=array, zarr_format=random.choice((2, 3)))
    return f"{place.relative_to(folder).as_posix()}: {array.dtype} {array.shape}"
