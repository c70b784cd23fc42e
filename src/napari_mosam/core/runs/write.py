"""A run whose results are written to a zarr group as they come."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from napari_mosam.core.images.places import alone
from napari_mosam.core.model.protocol import LOGIT_STRIDE
from napari_mosam.core.results.frame import FrameResult
from napari_mosam.core.runs.provenance import to_attributes
from napari_mosam.core.runs.request import RunRequest
from napari_mosam.core.runs.run import load, run, settled
from napari_mosam.core.store.result import Result, ResultWriter

if TYPE_CHECKING:
    from napari_mosam.core.model.protocol import Segmenter

Progress = Callable[[FrameResult, int, int], None]


def write_run(
    request: RunRequest,
    out: str | Path,
    *,
    overwrite: bool = False,
    progress: Progress | None = None,
    model: "Segmenter | None" = None,
) -> Result:
    """Carry out a request and write its label frames; see :func:`napari_mosam.track`."""
    with alone(out, make_folder=True) as place:
        folder = place.room(overwrite=overwrite)
        if place.holds(request.movie.path):
            raise FileExistsError(
                f"the movie '{request.movie.path}' lies in '{out}', which would be replaced; choose another name"
            )
        asked, loaded, _ = settled(request, load(request.config) if model is None else model)
        results = run(asked, loaded)
        settings, side = to_attributes(asked, loaded.name), loaded.image_size // LOGIT_STRIDE
        writer = ResultWriter.create(folder, request.movie, request.prompts, settings, side=side)
        total = request.n_results
        for done, result in enumerate(results, start=1):
            writer.write(result)
            if progress is not None:
                progress(result, done, total)
        writer.finish()
        place.publish(folder)
    return Result.open(Path(out))
