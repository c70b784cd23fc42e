"""Arrays as numpy saves them: .npy is mapped, the only array of a .npz is unpacked."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_mosam.core.config.checks import require_room
from napari_mosam.core.images.axes import MovieError
from napari_mosam.core.images.formats.source import Source

SMALLER = "save it as .npy, zarr or TIFF, which are read piece by piece"
"""What to do about an archive that does not fit into memory."""


class ObjectsError(MovieError):
    """A file of numpy that holds Python objects, which are not read."""


def open_numpy(path: Path) -> Source:
    """The array of a .npy or .npz file; errors as in :func:`read_numpy`."""
    kind = "NumPy archive" if _is_packed(path) else "NumPy file"
    return Source(path.name, kind, read_numpy(path), is_file=True)


def read_numpy(path: Path) -> NDArray[Any]:
    """The array of a .npy file, mapped, or the only one of a .npz file.

    Raises
    ------
    ObjectsError
        For Python objects.
    MovieError
        For an archive of several arrays.
    """
    try:
        return _only_member(path) if _is_packed(path) else np.load(path, mmap_mode="r", allow_pickle=False)
    except ValueError as error:
        if isinstance(error, MovieError) or not any(word in str(error) for word in ("pickle", "Python objects")):
            raise
        raise ObjectsError(
            f"{path.name} holds Python objects, which could run any program when they are loaded, so it is not read; "
            "save an array of numbers"
        ) from error


def _is_packed(path: Path) -> bool:
    return path.suffix.lower() == ".npz"


def _only_member(path: Path) -> NDArray[Any]:
    with np.load(path, allow_pickle=False) as archive:
        names = archive.files
        if len(names) != 1:
            raise MovieError(f"{path.name} holds {len(names)} arrays ({', '.join(names[:6])}); give a file with one")
        require_room(max(member.file_size for member in archive.zip.infolist()), f"the array in {path.name}", SMALLER)
        return np.asarray(archive[names[0]])
