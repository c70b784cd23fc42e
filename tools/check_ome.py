"""Let other programs that read OME-Zarr look at a result: python tools/check_ome.py RESULT.

Prints a line per program: its version, and what it made of the result. Needs none of this package, so that it runs in
an environment of their own (`make check-ome`). Exit code 1 where one of them refuses it.
"""

import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

PLUGIN = "napari-ome-zarr"


def ome_zarr_models(path: str) -> str:
    """The models of the specification: which of them it fits."""
    import ome_zarr_models
    import zarr

    return f"valid {type(ome_zarr_models.open_ome_zarr(zarr.open_group(path, mode='r'))).__name__}"


def ngff_zarr(path: str) -> str:
    """The JSON schemas of the specification."""
    import ngff_zarr

    image = ngff_zarr.from_ngff_zarr(path, validate=True, version="0.5").images[0]
    return f"valid, {image.data.shape}, scale {image.scale}"


def ome_zarr(path: str) -> str:
    """The reference implementation: what its command `info` prints."""
    command = [sys.executable, "-c", "from ome_zarr.cli import main; main()", "info", path]
    done = subprocess.run(command, capture_output=True, text=True)
    lines = [line.strip(" -") for line in done.stdout.splitlines()]
    if done.returncode or "Label" not in lines:
        raise ValueError(done.stderr.strip() or done.stdout)
    return ", ".join(line for line in lines[1:] if line not in ("metadata", "data"))


def napari_ome_zarr(path: str) -> str:
    """The OME-Zarr reader of napari, in a viewer."""
    import napari

    viewer = napari.Viewer(show=False)
    try:
        (layer,) = viewer.open(path, plugin=PLUGIN)
        found = f"{type(layer).__name__} {layer.data.shape}, scale {layer.scale.tolist()}"
        if not found.startswith("Labels") or not layer.data[0].any():
            raise ValueError(found)
        return f"{found} (napari {version('napari')})"
    finally:
        viewer.close()


PROGRAMS: dict[str, Callable[[str], str]] = {
    "ome-zarr-models": ome_zarr_models,
    "ngff-zarr": ngff_zarr,
    "ome-zarr": ome_zarr,
    PLUGIN: napari_ome_zarr,
}


def main(path: str) -> int:
    """Ask all of them, of a copy: napari-ome-zarr 0.10 and 0.11 leave a zarr.json two folders above a label image."""
    failed = 0
    for name, ask in PROGRAMS.items():
        try:
            with TemporaryDirectory() as folder:
                said = ask(str(shutil.copytree(path, Path(folder) / "some" / "where" / Path(path).name)))
        except Exception as error:
            failed, said = 1, f"REFUSED: {type(error).__name__}: {error}".splitlines()[0]
        sys.stdout.write(f"{name} {version(name)}: {said}\n")
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
