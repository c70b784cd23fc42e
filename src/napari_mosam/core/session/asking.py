"""What a session is given and what it asks of the engine: marks, and requests made of them. Loads no torch."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from napari_mosam.core.config.run import RunConfig
from napari_mosam.core.images.movie import Movie
from napari_mosam.core.prompts.collection import Prompt, Prompts
from napari_mosam.core.prompts.files import load_prompts
from napari_mosam.core.runs.request import RunRequest

AnyPrompts = Prompts | Sequence[Prompt] | str | Path


def run_request(movie: Movie, marks: Prompts, settings: RunConfig, objects: Sequence[int] | None) -> RunRequest:
    """What a run is asked that follows marks: all of them, or those of some objects."""
    return RunRequest.build(movie, _those_of(marks, objects), settings)


def preview_request(
    movie: Movie, marks: Prompts, settings: RunConfig, frame: int, objects: Sequence[int] | None = None
) -> RunRequest:
    """What a preview is asked: the marks of any frame, and those of the run, which tell the size of objects."""
    request = RunRequest.build(movie, _those_of(marks, objects), replace(settings, frames=None, direction="both"))
    request.check_frame(frame)
    followed = settings.range_in(movie.n_frames)
    return replace(request, prompts=Prompts(p for p in request.prompts if p.frame == frame or p.frame in followed))


def _those_of(marks: Prompts, objects: Sequence[int] | None) -> Prompts:
    return marks if objects is None else Prompts(p for p in marks if p.object_id in objects)


def checked_marks(prompts: AnyPrompts, movie: Movie) -> Prompts:
    """Marks, or the file that holds them; PromptError where they do not fit the movie."""
    if isinstance(prompts, str | Path):
        return load_prompts(prompts, movie.shape)
    given = prompts if isinstance(prompts, Prompts) else Prompts(prompts)
    if given:
        given.check(movie.shape)
    return given
