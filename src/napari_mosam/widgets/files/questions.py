"""What the dock asks in dialogs, a function each; a test puts its own answer in the place of one."""

from pathlib import Path
from typing import Any, Literal

from qtpy.QtWidgets import QFileDialog, QMessageBox

from napari_mosam.core.files.places import is_result
from napari_mosam.core.images.formats.ome_zarr import ZARR_FILES

Closing = Literal["save", "keep", "cancel"]


def place_to_save(parent: Any, title: str, default: Path) -> Path | None:
    """Where a result shall lie; None where nobody chose."""
    options = QFileDialog.Option.DontConfirmOverwrite
    given, _ = QFileDialog.getSaveFileName(parent, title, str(default), "Results (*.zarr)", options=options)
    return with_suffix(result_around(Path(given))) if given else None


def result_to_open(parent: Any, folder: Path) -> Path | None:
    """The folder of a result."""
    given = QFileDialog.getExistingDirectory(parent, "Open a result (a folder such as cells.zarr)", str(folder))
    return result_around(Path(given)) if given else None


def movie_to_open(parent: Any, title: str, folder: Path) -> Path | None:
    """A movie; one that is a zarr folder is chosen by a file in it."""
    given, _ = QFileDialog.getOpenFileName(parent, title, str(folder))
    chosen = Path(given)
    return (chosen.parent if chosen.name in ZARR_FILES else chosen) if given else None


def may_replace(parent: Any, words: str) -> bool:
    """Whether something may go to make room."""
    return QMessageBox.question(parent, "MoSAM", words) == QMessageBox.StandardButton.Yes


def before_closing(parent: Any, words: str, *, save: bool) -> Closing:
    """What shall be done when napari closes; `save` offers to give results a place."""
    box = QMessageBox(QMessageBox.Icon.Question, "MoSAM", words, parent=parent)
    saving = box.addButton("Save…", QMessageBox.ButtonRole.AcceptRole) if save else None
    keep = "Keep under Recent" if save else "Stop and close"
    keeping = box.addButton(keep, QMessageBox.ButtonRole.DestructiveRole)
    box.addButton(QMessageBox.StandardButton.Cancel)
    box.setDefaultButton(saving or keeping)
    box.exec()
    chosen = box.clickedButton()
    return "keep" if chosen is keeping else "save" if saving is not None and chosen is saving else "cancel"


def result_around(path: Path) -> Path:
    """The result that a path lies in, or the path: dialogs go into folders, and a result is one."""
    return next((folder for folder in (path, *path.parents) if is_result(folder)), path)


def with_suffix(path: Path) -> Path:
    """The name of a result ends with '.zarr'."""
    return path if path.suffix == ".zarr" else path.with_name(f"{path.name}.zarr")
