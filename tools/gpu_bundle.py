"""Pack what a bare GPU machine needs for a few minutes of measuring and training: ``make gpu-bundle``.

The machine has Python, torch, numpy, scipy, scikit-image and tifffile, and no network. The folder that is written holds
the code with its weights, the wheels that are missing there (pure Python; sam2 without its CUDA extension; pydantic,
which is compiled, for CPython 3.12 on x86-64 Linux), the
training part of the stills as 8-bit crops under their own names (so that the split stays what it is), short crops of
movies that are only compared and never trained on, a manifest, and ``run.sh``, which does it all. Only the stills of
`training.data.stills.SOURCES` are taken: their licences allow weights that ship.
"""

import argparse
import hashlib
import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from training.data.stills import SOURCES, StillFile, find_stills, normalised, read_still, stills_folder  # noqa: E402

LARGEST_MB = 45
CODE = (
    "src/napari_mosam",
    "training",
    "benchmarks/__init__.py",
    "benchmarks/options.py",
    "benchmarks/stock.py",
    "benchmarks/gpu.py",
)
LEFT_OUT = ("__pycache__", "widgets", "*.pyc", "*.md")
WHEELS = ("sam2", "hydra-core", "omegaconf", "antlr4-python3-runtime", "iopath", "portalocker")
SETTINGS_WHEELS = ("pydantic", "pydantic-core", "annotated-types", "typing-inspection")
"""Used only where the machine has no pydantic of its own."""

PLATFORM = ("--python-version", "3.12", "--implementation", "cp", "--platform", "manylinux_2_17_x86_64")
STILL_SIDE = 320
"""Stills are cropped to so many px around their middle: more than the 288 px of the movies that are made of them."""

MOVIES = ("dic_hela_01", "fluo_hela_01", "sim_n2dh_01")
MOVIE_SIDE, MOVIE_FRAMES, MOVIE_OBJECTS = 256, 8, 6

RUN = """#!/usr/bin/env bash
# Everything in one go, from any folder; what it finds is under the folder given first (default: results).
#   ./run.sh OUT measure             machine, parity, speed: about 4 minutes of a large GPU
#   ./run.sh OUT train [OPTIONS]     a slice of training of at most 9 minutes; OPTIONS go to benchmarks/gpu.py
#   ./run.sh OUT quick               tiny sizes on the CPU: does everything run here?
# Settings (environment): PYTHON, MINUTES, RECIPE, STEPS.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
out="${1:-results}"; what="${2:-measure}"; shift $(( $# < 2 ? $# : 2 ))
python="${PYTHON:-python3}"
site="$(mktemp -d)"
trap 'rm -rf "$site"' EXIT
for wheel in "$here"/wheels/*.whl; do "$python" -m zipfile -e "$wheel" "$site"; done
if ! "$python" -c "import pydantic" 2> /dev/null; then
  for wheel in "$here"/wheels/settings/*.whl; do "$python" -m zipfile -e "$wheel" "$site"; done
fi
# last on the path: what the machine has of its own comes first, but for what it lacks
export PYTHONPATH="$here/src:$here:$site" PYTHONUNBUFFERED=1
gpu=("$python" -m benchmarks.gpu --out "$out" --stills "$here/stills")
case "$what" in
  measure) "${gpu[@]}" --minutes "${MINUTES:-6}" --movies "$here/movies" "$@" ;;
  train) "${gpu[@]}" --minutes "${MINUTES:-9}" --only environment --slice-minutes "${MINUTES:-9}" \\
    --train "${RECIPE:-nano_continue}" --steps "${STEPS:-1000}" "$@" ;;
  quick) "${gpu[@]}" --minutes 3 --quick --device cpu --movies "$here/movies" \\
    --train smoke --slice-minutes 0.5 --clips 2 --steps 4 "$@" ;;
  *) echo "run.sh: '$what' is not known; use measure, train or quick" >&2; exit 2 ;;
esac
"""


class BundleError(RuntimeError):
    """The bundle cannot be made."""


def main() -> None:
    """Write the folder anew."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--out", type=Path, default=ROOT / "build" / "gpu_bundle")
    options.add_argument("--data", type=Path, help="folder of stills/ and timelapse/ (default: $MOSAM_DATA, or none)")
    given = options.parse_args()
    data = given.data or (Path(os.environ["MOSAM_DATA"]) if os.environ.get("MOSAM_DATA") else None)
    bundle(given.out, data)
    sizes = {p.name: sum(f.stat().st_size for f in p.rglob("*") if f.is_file()) for p in given.out.iterdir()}
    sizes |= {p.name: p.stat().st_size for p in given.out.iterdir() if p.is_file()}
    sys.stdout.writelines(f"{size / 1e6:7.2f} MB  {name}\n" for name, size in sorted(sizes.items()))
    sys.stdout.write(f"{sum(sizes.values()) / 1e6:7.2f} MB  in all, {given.out}\n")


def bundle(out: Path, data: Path | None) -> None:
    """Write everything below `out`, which is emptied first.

    Raises
    ------
    BundleError
        If it grows too large.
    """
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    copy_code(out)
    build_wheels(out / "wheels")
    stills = stills_folder(data / "stills") if data else None
    if stills is not None:
        write_stills(stills, out / "stills")
    if data is not None:
        write_movies(data / "timelapse", out / "movies")
    run = out / "run.sh"
    run.write_text(RUN)
    run.chmod(0o755)
    size = write_manifest(out)
    if size > LARGEST_MB * 1e6:
        raise BundleError(f"the bundle has {size / 1e6:.1f} MB; allowed: {LARGEST_MB}. Crop its stills further")


def copy_code(out: Path) -> None:
    """The package without its widgets, training, and the benchmark."""
    for name in CODE:
        source, target = ROOT / name, out / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns(*LEFT_OUT))
        else:
            shutil.copy2(source, target)


def build_wheels(folder: Path) -> None:
    """Wheels of the versions that are installed here; none may hold compiled code."""
    wanted = [f"{name}=={importlib.metadata.version(name)}" for name in WHEELS]
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(folder)]
    subprocess.run([*command, *wanted], check=True, env={**os.environ, "SAM2_BUILD_CUDA": "0"})
    compiled = [path.name for path in folder.iterdir() if not path.name.endswith("-none-any.whl")]
    if compiled:
        raise BundleError(f"{compiled} hold compiled code, which runs on one kind of machine only")
    settings = [f"{name}=={importlib.metadata.version(name)}" for name in SETTINGS_WHEELS]
    fetch = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:", *PLATFORM]
    subprocess.run([*fetch, "-d", str(folder / "settings"), *settings], check=True)


# ---- data


def write_stills(source: Path, folder: Path) -> None:
    """The training part, each image and its masks under their own names."""
    for file in find_stills(source, "train"):
        if read_still(file) is not None:
            write_still(file, folder / file.source.folder)
    lines = [f"{s.folder}: {s.licence}, {s.modality}" for s in SOURCES]
    head = "The training part of these folders, cropped, grey, in 8 bits between percentiles 0.5 and 99.8.\n"
    (folder / "LICENCES.txt").write_text(head + "\n".join(lines) + "\n")


def write_still(file: StillFile, folder: Path) -> None:
    """The middle of one image and of its masks."""
    folder.mkdir(parents=True, exist_ok=True)
    image = normalised(tifffile.imread(file.image))
    assert image is not None  # read_still has seen it
    masks = np.asarray(tifffile.imread(file.mask))
    cut = middle((image.shape[0], image.shape[1]), STILL_SIDE)
    bytes_ = np.round(255 * image[cut]).astype(np.uint8)
    for kind, pixels in (("image", bytes_), ("mask", masks[cut].astype(np.uint16))):
        tifffile.imwrite(folder / f"{file.name}_{kind}.tif", pixels, compression="zlib")


def middle(shape: tuple[int, int], side: int) -> tuple[slice, slice]:
    """The middle of a frame, at most `side` px wide and high."""
    rows, columns = (slice((n - min(n, side)) // 2, (n - min(n, side)) // 2 + min(n, side)) for n in shape)
    return rows, columns


def write_movies(source: Path, folder: Path) -> None:
    """Short crops of the movies that serve to compare; nothing is trained on them."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in MOVIES:
        if (source / name / "images.tif").is_file():
            images, labels = (tifffile.imread(source / name / f"{kind}.tif") for kind in ("images", "masks"))
            images, labels = crop_of(images[:MOVIE_FRAMES], labels[:MOVIE_FRAMES])
            np.savez_compressed(folder / f"{name}.npz", images=images, labels=labels)


def crop_of(images: NDArray[Any], labels: NDArray[np.integer[Any]]) -> tuple[NDArray[Any], NDArray[np.uint16]]:
    """The middle of a movie, and its labels without objects that touch the crop's border on the first frame."""
    from skimage.segmentation import clear_border

    cut = (slice(None), *middle((images.shape[1], images.shape[2]), MOVIE_SIDE))
    labels = labels[cut]
    whole = np.unique(clear_border(labels[0]))
    kept = whole[whole > 0][:MOVIE_OBJECTS]
    return images[cut], np.where(np.isin(labels, kept), labels, 0).astype(np.uint16)


# ---- manifest


def write_manifest(out: Path) -> int:
    """Sizes and SHA-256 of every file in ``MANIFEST.json``; returns the size of all of them, bytes."""
    files = list(files_of(out))
    listed = {str(p.relative_to(out)): {"bytes": p.stat().st_size, "sha256": sha256_of(p)} for p in files}
    total = sum(path.stat().st_size for path in files)
    content = {"bytes": total, "commit": commit(), "files": listed}
    (out / "MANIFEST.json").write_text(json.dumps(content, indent=1) + "\n")
    return total


def files_of(folder: Path) -> Iterator[Path]:
    """All files, in a fixed order."""
    yield from sorted(path for path in folder.rglob("*") if path.is_file())


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, as hexadecimal digits."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def commit() -> str | None:
    """The state of the repository; '+' if files have changed since."""
    found = subprocess.run(["git", "describe", "--always", "--dirty=+"], cwd=ROOT, capture_output=True, text=True)
    return found.stdout.strip() or None


if __name__ == "__main__":
    main()
