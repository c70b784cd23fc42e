"""What is asked of a run, checked before anything is loaded: the only place where input is checked."""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np

from napari_mosam.core.config.run import MovieConfig, RunConfig
from napari_mosam.core.images.axes import ChoiceError
from napari_mosam.core.images.describe import facts
from napari_mosam.core.images.movie import Movie, MovieError
from napari_mosam.core.images.sources import open_source
from napari_mosam.core.prompts.chosen_frames import PromptFrames
from napari_mosam.core.prompts.collection import Prompt, PromptError, Prompts, only_negative
from napari_mosam.core.prompts.files import load_prompts
from napari_mosam.core.tracking.frame_prompts import FramePrompts
from napari_mosam.core.tracking.passes import PropagationPass, plan_passes


@dataclass(frozen=True, eq=False)
class RunRequest:
    """Everything a run needs, checked; only :meth:`build` makes one. Holds no model: that is loaded by its name.

    Two are equal that ask the same of the same frames, whatever the movie is stored in.

    Attributes
    ----------
    movie : Movie
    prompts : Prompts
        Those inside the range of frames.
    config : RunConfig
    start, stop : int
        Range of frames, half open.
    """

    movie: Movie
    prompts: Prompts
    config: RunConfig
    start: int
    stop: int

    @classmethod
    def build(
        cls,
        movie: Any,
        prompts: Prompts | Sequence[Prompt] | str | Path,
        config: RunConfig | None = None,
        *,
        empty: bool = False,
        prompt_frames: PromptFrames = "all",
    ) -> Self:
        """Check everything that a run is given. Reads no frame, loads no model and no torch.

        Parameters
        ----------
        movie : Movie, array or path
            Whatever :meth:`Movie.open` takes; a Movie is taken as it was opened.
        prompts : Prompts, sequence of prompts, or path
            Of any object on any frame, or the file that holds them, see :func:`load_prompts`.
        config : RunConfig, optional
        empty : bool
            Whether there may be no prompts at all, as where the last object of a result is removed.
        prompt_frames : {'all', 'first'}, int or sequence of int
            Frames of a file of prompts that count, see :func:`load_prompts`.

        Raises
        ------
        MovieError, PromptError, ValueError
            With what was given, what is allowed and what to do.
        """
        asked = config or RunConfig()
        opened = open_movie(movie, asked.movie)
        frames = asked.range_in(opened.n_frames)
        given = Prompts() if empty and not prompts else _checked(prompts, opened, prompt_frames)
        inside = given.between(frames.start, frames.stop)
        _check_inside(given, inside, frames)
        _check_entries(inside, backward=asked.direction == "backward")
        request = cls(opened, inside, asked, frames.start, frames.stop)
        _check_bad_frames(request)
        return request

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, RunRequest):
            return NotImplemented
        return self._asked == other._asked and self.movie.same_frames(other.movie)

    def __hash__(self) -> int:
        return hash(self.prompts)

    @cached_property
    def passes(self) -> Sequence[PropagationPass]:
        """The runs over the movie that the direction asks for."""
        return plan_passes(self.prompts, self.start, self.stop, self.config.direction)

    @property
    def starts(self) -> Mapping[int, int]:
        """Frame from which each object is followed first."""
        return self.passes[0].entries

    @property
    def n_results(self) -> int:
        """Number of results that the run will yield."""
        return sum(one.reported(t) for one in self.passes for t in one.frames)

    def requests(self, t: int) -> Sequence[FramePrompts]:
        """The prompts of frame `t`, one request per object, ids ascending; clicks know the size of their object."""
        return self._by_frame.get(t, ())

    def requests_of(self, object_id: int) -> Mapping[int, FramePrompts]:
        """The prompts of an object by frame, ascending."""
        return self._by_object.get(object_id, {})

    def with_others(self, before: Prompts, asked: Container[int]) -> "RunRequest":
        """The request with the prompts of the `asked` objects, and all others as an earlier request had them."""
        kept = (prompt for prompt in before if prompt.object_id not in asked)
        return replace(self, prompts=Prompts([*kept, *(p for p in self.prompts if p.object_id in asked)]))

    def check_frame(self, t: int) -> None:
        """Refuse a frame on which nothing is prompted; PromptError."""
        if t not in self.prompts.frames:
            raise PromptError(f"nothing is prompted on frame {t}; prompted frames: {listed(self.prompts.frames)}")

    @cached_property
    def _by_frame(self) -> Mapping[int, Sequence[FramePrompts]]:
        found: dict[int, list[FramePrompts]] = {}
        for frames in self._by_object.values():
            for t, request in frames.items():
                found.setdefault(t, []).append(request)
        return found

    @cached_property
    def _by_object(self) -> Mapping[int, Mapping[int, FramePrompts]]:
        return {i: _sized(i, self.prompts.of(i), self.config.diameter) for i in self.prompts.object_ids}

    @property
    def _asked(self) -> tuple[Prompts, RunConfig]:
        """All but the movie, and how that was read."""
        return self.prompts, replace(self.config, movie=MovieConfig(), frames=(self.start, self.stop))


def listed(values: Sequence[int], most: int = 6) -> str:
    """Numbers for a message, the first few of many."""
    shown = ", ".join(str(v) for v in values[:most])
    return shown if len(values) <= most else f"{shown} … ({len(values)} in all)"


def subject(what: str, values: Sequence[int], one: str, many: str) -> str:
    """Begins a sentence with a verb for one and one for many, such as 'object 3 has' and 'objects 3, 4 have'."""
    return f"{what} {listed(values)} {one}" if len(values) == 1 else f"{what}s {listed(values)} {many}"


def _sized(
    object_id: int, by_frame: Mapping[int, Sequence[Prompt]], diameter: float | None
) -> Mapping[int, FramePrompts]:
    """The requests of an object, of the given size; else its clicks are of the size of its own boxes and masks."""
    requests = {t: FramePrompts.of(object_id, prompts, diameter) for t, prompts in by_frame.items()}
    clicked = {t: request for t, request in requests.items() if request.only_clicks}
    if diameter is not None or not clicked:
        return requests
    sizes = [size for request in requests.values() for size in request.sizes]
    return requests | {t: request.sized(float(np.median(sizes))) for t, request in clicked.items() if sizes}


# --- checks ----------------------------------------------------------------------------------------------------------


def open_movie(movie: Any, config: MovieConfig) -> Movie:
    """Open a movie as it is asked for; see :meth:`Movie.open` and :meth:`Movie.calibrated`."""
    opened = Movie.open(
        movie,
        axes=config.axes,
        channel=config.channel,
        z=config.z,
        limits=config.limits,
        series=config.series,
        skip_bad_frames=config.skip_bad_frames,
        ram=config.ram,
    )
    return opened.calibrated(config.pixel_size, config.interval)


def survey(movie: Any, config: MovieConfig) -> dict[str, Any]:
    """All that is told of a movie that can be opened, as JSON types, even if it must be said what to read of it.

    Raises
    ------
    MovieError
        When it cannot be opened, or not be read as it is asked for.
    """
    try:
        return open_movie(movie, config).facts()
    except ChoiceError as error:
        if not error.first:
            return facts(open_source(movie, config.series), None, needs=error.needs)
        return open_movie(movie, replace(config, **error.first)).facts(error.needs)


def _checked(prompts: Prompts | Sequence[Prompt] | str | Path, movie: Movie, frames: PromptFrames) -> Prompts:
    if isinstance(prompts, str | Path):  # checks them itself: its messages name the file
        return load_prompts(prompts, movie.shape, frames=frames, pixel_um=movie.calibration.pixel_um)
    given = prompts if isinstance(prompts, Prompts) else Prompts(prompts)
    given.check(movie.shape)
    return given


def _check_inside(given: Prompts, inside: Prompts, frames: range) -> None:
    left = sorted(set(given.object_ids) - set(inside.object_ids))
    if left:
        it = "it" if len(left) == 1 else "them"
        raise PromptError(
            f"{subject('object', left, 'has', 'have')} no prompt on frames {frames[0]} to {frames[-1]}; prompt {it} "
            "there or widen the range"
        )


def _check_bad_frames(request: RunRequest) -> None:
    """Refuse frames that are known not to be there: to go on without them is for a person to say, and never on one."""
    movie, bad = request.movie, set(request.movie.bad_frames)
    bad &= {t for one in request.passes for t in one.frames}
    prompted = sorted(bad & set(request.prompts.frames))
    if prompted:
        which = subject("frame", prompted, "is", "are")
        raise PromptError(f"{which} prompted and not there; prompt the objects on another frame")
    if bad and not movie.skips_bad_frames:
        raise MovieError(
            f"{movie.absence()}; follow a range without them (--frames), count them as absent for all objects "
            "(--skip-bad-frames, skip_bad_frames=True), or, where no time passed there, number the files anew"
        )


def _check_entries(inside: Prompts, *, backward: bool) -> None:
    """Refuse objects that would be followed from a frame on which nothing says where they are."""
    for object_id in inside.object_ids:
        t = inside.last_frame(object_id) if backward else inside.first_frame(object_id)
        if all(map(only_negative, inside.of(object_id)[t])):
            raise PromptError(
                f"object {object_id} has only negative points on frame {t}, from which it is followed; add a positive "
                "point, box or mask there"
            )
