"""Labels of another program as a result, whose objects can be corrected and followed again."""

from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_mosam.core.config.run import RunConfig
from napari_mosam.core.files.places import alone
from napari_mosam.core.images.label_images.label_files import open_labels
from napari_mosam.core.images.label_images.labels import LabelStack
from napari_mosam.core.masks.label_frames import label_dtype
from napari_mosam.core.masks.region import Region
from napari_mosam.core.model.protocol import LOGIT_STRIDE, Segmenter
from napari_mosam.core.prompts.collection import PromptError, Prompts
from napari_mosam.core.prompts.kinds import label_masks
from napari_mosam.core.results.frame import FrameResult, ObjectResult
from napari_mosam.core.runs.provenance import origin, to_attributes
from napari_mosam.core.runs.request import RunRequest, open_movie
from napari_mosam.core.runs.run import load, settled
from napari_mosam.core.runs.write import begin, check_place, writer_of
from napari_mosam.core.store.edits import as_given
from napari_mosam.core.store.result import Result
from napari_mosam.core.store.writer import ResultWriter

if TYPE_CHECKING:
    from collections.abc import Callable

    Progress = Callable[[FrameResult, int, int], None]


def import_result(
    movie: Any,
    labels: Any,
    out: str | Path,
    config: RunConfig | None = None,
    *,
    overwrite: bool = False,
    progress: "Progress | None" = None,
    model: Segmenter | None = None,
) -> Result:
    """Write labels as a result; see :func:`napari_mosam.import_labels`."""
    opened, stack = open_movie(movie, (config or RunConfig()).movie), open_labels(labels, "the labels")
    _check(stack, opened.shape, opened.name)
    request = RunRequest.build(opened, Prompts.from_labels(stack, frames="first"), config)
    with alone(out, make_folder=True, replacing=True) as place:
        check_place(request, place, out, overwrite=overwrite)
        asked, loaded, _ = settled(request, load(request.config) if model is None else model)
        attributes = to_attributes(asked, loaded.name) | origin(opened, loaded, place.path) | _parentage(stack, asked)
        folder = begin(asked, loaded, place, attributes)
        writer = writer_of(folder, place.path, asked)
        for done, result in enumerate(_frames(stack, asked, loaded.image_size // LOGIT_STRIDE), 1):
            writer.write(result)
            _lock(writer, result)
            if progress is not None:
                progress(result, done, opened.n_frames)
        writer.finish(complete=True)
        if folder != place.path:
            place.publish(folder)
    return Result.open(Path(out))


def _check(stack: LabelStack, shape_tyx: tuple[int, int, int], movie: str) -> None:
    stack.check_fit(shape_tyx, movie, whole=True)
    if not stack.linked:
        raise PromptError(
            f"{stack.name} is segmentation truth, which numbers the objects of every frame anew; give tracks"
        )


def _parentage(stack: LabelStack, asked: RunRequest) -> dict[str, Any]:
    """What a result says of its daughters and mothers, and of where it comes from."""
    there = set(asked.prompts.object_ids)
    parents = {str(child): mother for child, mother in stack.parents.items() if {child, mother} <= there}
    return {"imported": stack.name, "parents": parents}


def _frames(stack: LabelStack, asked: RunRequest, side: int) -> Iterator[FrameResult]:
    kind = label_dtype(max(asked.prompts.object_ids))
    window = asdict(asked.config.engine.window)
    for t in range(asked.start, asked.stop):
        labels = np.asarray(stack[t], kind)
        shape_yx, there = (labels.shape[0], labels.shape[1]), {m.object_id: m for m in label_masks(labels, t)}
        regions = {i: Region(mask.origin, mask.mask) for i, mask in there.items()}
        begun = [i for i in asked.prompts.object_ids if asked.prompts.first_frame(i) <= t]
        given = (as_given(None, i, regions.get(i), shape_yx, window, side) for i in begun)
        objects = tuple(_as_followed(one, asked, t) for one in given)
        yield FrameResult(t, "forward", labels, (labels > 0).astype(np.float32), objects)


def _as_followed(given: ObjectResult, asked: RunRequest, t: int) -> ObjectResult:
    """A mask as if it had been followed: only those that prompt are painted ones."""
    if t == asked.prompts.first_frame(given.object_id):
        return given
    return replace(given, decoded_with="memory", remembered=given.present)


def _lock(writer: ResultWriter, result: FrameResult) -> None:
    """Fix every pixel, until somebody lets an object go."""
    frame = writer.records.read(result.t)
    for one in result.objects:
        frame.set_by_user(one.object_id, locked=True)
    with writer.batch():
        writer.records.write_table(frame)
