"""Real stills with instance masks: which may be used, how they are split, how they are read.

Folders hold ``tNNN_image.tif`` and ``tNNN_mask.tif`` (ids, 0 = background). Only the folders of :data:`SOURCES` are
ever read: their licences allow weights that are shipped. The split is by sample and fixed: see :func:`is_test`.
"""

import os
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

DATA_VARIABLE = "MOSAM_DATA"
TEST_SHARE = 5
"""One image in so many belongs to the test part."""

MIN_OBJECT = 30
"""Pieces with fewer pixels are specks, not cells."""


@dataclass(frozen=True, slots=True)
class Source:
    """A folder of stills that may train weights that ship.

    Attributes
    ----------
    folder, licence : str
    modality : str
    share : float
        How often it is drawn, relative to the others.
    samples : tuple of (str, int)
        Names of samples and how many images of each follow one another, such as the planes of one stack; all images
        of a sample are on one side of the split. Empty: every image is a sample of its own.
    left_out : tuple of range
        Numbers of images that are frames of movies by which weights are judged.
    """

    folder: str
    licence: str
    modality: str
    share: float
    samples: tuple[tuple[str, int], ...] = ()
    left_out: tuple[range, ...] = ()

    def sample_of(self, name: str) -> str:
        """The sample of an image, ``tNNN``; the image's own name where it is one by itself."""
        if not self.samples:
            return name
        in_order = [sample for sample, n in self.samples for _ in range(n)]
        return in_order[int(name[1:])]

    def holds(self, name: str) -> bool:
        """Whether an image may be used."""
        return not any(int(name[1:]) in numbers for numbers in self.left_out)


_GLIA = (("1_1", 6), ("1_3", 6), ("2_3", 5), ("2_4", 6), ("2_5", 6), ("5_2", 2), ("5_4", 4))
_TISSUE = (
    *((sample, 2) for sample in ("1_2", "1_3", "1_4", "1_5", "1_6", "2_1", "2_2")),
    *(("2_3", 3), ("2_4", 2), ("2_5", 2), ("3_1", 2), ("3_2", 1), ("3_3", 2), ("3_4", 2), ("3_5", 4)),
)

SOURCES = (
    Source("dsb2018", "CC0-1.0", "nuclei, fluorescence and some histology", 0.20),
    Source("dsb2018_b", "CC0-1.0", "nuclei, fluorescence and some histology", 0.08),
    Source("bbbc039", "CC0-1.0", "nuclei, fluorescence", 0.08),
    Source("t98g", "MIT", "whole cells, phase contrast", 0.25),
    Source("microglia", "MIT", "branched cells in tissue, fluorescence", 0.13, _GLIA),
    Source("tissue_nuclei", "MIT", "nuclei in tissue, fluorescence", 0.06, _TISSUE),
    Source("ecoli_bf", "MIT", "rods, bright field", 0.09),
    Source("mother_machine", "MIT", "rods packed in a channel", 0.03),
    Source("yeast_bf", "MIT", "budding yeast, bright field", 0.03, left_out=(range(3, 8), range(9, 14))),
    Source("yeast_phase", "MIT", "budding yeast, phase contrast", 0.05),
)


class StillsError(ValueError):
    """Stills cannot be used."""


@dataclass(frozen=True, slots=True)
class StillFile:
    """One image with its masks on disk."""

    source: Source
    name: str
    image: Path
    mask: Path

    @property
    def is_test(self) -> bool:
        """Whether it belongs to the test part."""
        return is_test(self.source.folder, self.source.sample_of(self.name))


@dataclass(frozen=True, slots=True, eq=False)
class Still:
    """One image in memory.

    Attributes
    ----------
    source : Source
    image : ndarray of float32, shape (Y, X)
        In [0, 1], between its own percentiles 0.5 and 99.8.
    labels : ndarray of int32, shape (Y, X)
        One id per connected object, from 1 without gaps.
    """

    source: Source
    image: NDArray[np.float32]
    labels: NDArray[np.int32]


def is_test(folder: str, sample: str) -> bool:
    """Whether a sample is held out: the SHA-256 of ``folder/sample`` (``t98g/t003``) is divisible by five.

    It depends on nothing but the name, so it never changes, whatever else lies in the folder.
    """
    return int(sha256(f"{folder}/{sample}".encode()).hexdigest(), 16) % TEST_SHARE == 0


def stills_folder(given: str | Path | None) -> Path | None:
    """Where stills lie: the given folder, or ``$MOSAM_DATA/stills``; None if neither is at hand.

    Raises
    ------
    StillsError
        If a folder is given that holds none of the sources.
    """
    if given is None:
        root = os.environ.get(DATA_VARIABLE)
        folder = Path(root) / "stills" if root else None
        return folder if folder is not None and _present(folder) else None
    folder = Path(given)
    for candidate in (folder, folder / "stills"):
        if _present(candidate):
            return candidate
    raise StillsError(f"'{folder}' holds none of the folders {', '.join(s.folder for s in SOURCES)}")


def _present(folder: Path) -> bool:
    return any((folder / source.folder).is_dir() for source in SOURCES)


def find_stills(folder: Path, part: str) -> list[StillFile]:
    """The images of one part of the split, in a fixed order.

    Parameters
    ----------
    folder : Path
    part : {'train', 'test'}

    Raises
    ------
    StillsError
        For another part, an image without its masks, or no image at all.
    """
    if part not in ("train", "test"):
        raise StillsError(f"part = {part!r} is not possible; allowed: 'train' or 'test'")
    files = [file for source in SOURCES for file in _files(folder, source) if file.is_test == (part == "test")]
    if not files:
        raise StillsError(f"there are no stills of the part '{part}' in '{folder}'")
    return files


def _files(folder: Path, source: Source) -> list[StillFile]:
    found = []
    for image in sorted((folder / source.folder).glob("*_image.tif")):
        name = image.name.removesuffix("_image.tif")
        mask = image.with_name(f"{name}_mask.tif")
        if not mask.is_file():
            raise StillsError(f"'{source.folder}/{image.name}' has no '{mask.name}' beside it")
        if not source.holds(name):
            continue
        found.append(StillFile(source, name, image, mask))
    return found


def read_still(file: StillFile) -> Still | None:
    """One image with its objects; None if it shows nothing."""
    import tifffile

    image = normalised(tifffile.imread(file.image))
    labels = separated(tifffile.imread(file.mask))
    return None if image is None or labels.max() == 0 else Still(file.source, image, labels)


def normalised(image: NDArray[Any]) -> NDArray[np.float32] | None:
    """A grey image (Y, X) in [0, 1] between its percentiles 0.5 and 99.8; None if it is flat. Colours are averaged."""
    grey = np.asarray(image, np.float32)
    grey = grey[..., :3].mean(-1) if grey.ndim == 3 else grey
    low, high = np.percentile(grey, [0.5, 99.8])
    return np.clip((grey - low) / (high - low), 0, 1).astype(np.float32) if high > low else None


def separated(masks: NDArray[Any]) -> NDArray[np.int32]:
    """Labels of connected objects of at least :data:`MIN_OBJECT` px; an id that was used twice becomes two."""
    from skimage.measure import label

    pieces = np.asarray(label(masks, background=0, connectivity=2), np.int32)
    large = np.bincount(pieces.ravel()) >= MIN_OBJECT
    large[0] = False
    return np.asarray((np.cumsum(large) * large)[pieces], np.int32)


def load_stills(folder: Path, part: str = "train") -> list[Still]:
    """All usable images of one part of the split."""
    return [still for file in find_stills(folder, part) if (still := read_still(file)) is not None]
