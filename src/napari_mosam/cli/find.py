"""What ``mosam find`` does: propose a mask for every cell of a frame, and write them as prompts or as labels."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from napari_mosam.cli.checks import UsageError, check_report
from napari_mosam.cli.places import Output, check_apart, inputs_of
from napari_mosam.cli.settings import run_config
from napari_mosam.core.config.whole_files import whole_file

if TYPE_CHECKING:
    from napari_mosam.core.find.proposals import Proposals
    from napari_mosam.core.find.request import FindRequest

PROMPTS, LABELS = (".json", ".csv"), (".tif", ".tiff")


def find_command(arguments: argparse.Namespace, check_stop: Callable[[], None]) -> str:
    """Run the command and return the text to print.

    Parameters
    ----------
    arguments : argparse.Namespace
        ``movie`` and how it is read, ``frame``, ``out``, ``score``, ``overwrite``, the model and ``diameter``.
    check_stop : callable
        Raises where somebody stopped the command.

    Raises
    ------
    UsageError, ValueError, OSError
        For input that cannot be used.
    """
    from napari_mosam.core.find.request import FindRequest

    out: Path = arguments.out
    _check_free(arguments)
    request = FindRequest.build(arguments.movie, arguments.frame, run_config(arguments), None, arguments.score)
    found = _searched(request, check_stop)
    if not len(found):
        raise UsageError(f"no cell was found on frame {arguments.frame}; give --diameter, or a lower --score than now")
    _write(found, out, overwrite=arguments.overwrite)
    return f"{len(found)} cells on frame {found.frame}, typically {found.diameter:.0f} px wide: {out}"


def _check_free(arguments: argparse.Namespace) -> None:
    """Refuse a file, or a folder of masks, that is there or read from."""
    out, inputs = arguments.out, inputs_of(arguments)
    check_report(out, PROMPTS + LABELS, inputs=inputs, overwrite=arguments.overwrite)
    if out.suffix.lower() in PROMPTS:
        from napari_mosam.core.prompts.saving import check_free, masks_folder

        check_apart([Output(masks_folder(out), names=(f"1_{arguments.frame}.png",))], inputs)
        check_free(out, overwrite=arguments.overwrite)


def _searched(request: "FindRequest", check_stop: Callable[[], None]) -> "Proposals":
    from tqdm import tqdm

    from napari_mosam.core.find.frame import find_cells

    with tqdm(unit="view", desc="finding", dynamic_ncols=True, file=sys.stderr) as bar:

        def progress(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)
            check_stop()

        return find_cells(request, progress=progress)


def _write(found: "Proposals", out: Path, *, overwrite: bool) -> None:
    if out.suffix.lower() in PROMPTS:
        from napari_mosam.core.prompts.saving import save_prompts

        shape_yx = found.labels.shape[0], found.labels.shape[1]
        save_prompts(found.prompts(), out, shape_yx, overwrite=overwrite)
        return
    import tifffile

    with whole_file(out) as part:
        tifffile.imwrite(part, found.labels, compression="zlib")
