"""The public functions: segment, preview and track."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_mosam.core.config import DIRECTIONS, Direction, EngineConfig, MemoryConfig, MotionConfig
from napari_mosam.core.first_mask import Request
from napari_mosam.core.model.registry import load_model
from napari_mosam.core.model.segmenter import Segmenter
from napari_mosam.core.movie import Movie
from napari_mosam.core.prompts import MaskPrompt, Prompt, PromptError, Prompts
from napari_mosam.core.propagate import Pass, Propagator, Seed, seed_frame
from napari_mosam.core.results import FrameResult, ObjectResult, ObjectState

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_mosam.core.store import Result

    Progress = Callable[[FrameResult, int, int], None]

Frames = slice | tuple[int | None, int | None] | None


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """Everything a run needs, checked.

    Attributes
    ----------
    movie : Movie
    prompts : Prompts
        Only those inside the range of frames.
    model : Segmenter
    config : EngineConfig
    start, stop : int
        Range of frames, half open.
    direction : {'forward', 'backward', 'both'}
    diameter : float or None
        Object size for clicks, px.
    """

    movie: Movie
    prompts: Prompts
    model: Segmenter
    config: EngineConfig
    start: int
    stop: int
    direction: Direction
    diameter: float | None

    @property
    def passes(self) -> list[Pass]:
        """The runs over the movie that the direction asks for."""
        return plan_passes(self.prompts, self.start, self.stop, self.direction)

    def requests(self, t: int) -> list[Request]:
        """The prompts of frame `t`, one request per object; clicks get the best size known for their object."""
        return [
            Request.of(object_id, prompts, self.size_of(object_id))
            for object_id, prompts in sorted(self.prompts.at(t).items())
        ]

    def size_of(self, object_id: int) -> float | None:
        """Diameter given by the user, else that of the object's own boxes and masks, px."""
        if self.diameter is not None:
            return self.diameter
        own = [Request.of(object_id, [p], None).size for p in self.prompts if p.object_id == object_id]
        sizes = [size for size in own if size is not None]
        return float(np.median(sizes)) if sizes else None


def segment(
    movie: Any,
    prompts: Prompts | Sequence[Prompt],
    *,
    model: "str | Path | Segmenter" = "nano",
    diameter: float | None = None,
    frames: Frames = None,
    direction: Direction = "both",
    device: Any = None,
    motion: MotionConfig | bool | None = None,
    memory: MemoryConfig | Literal["gated", "sam2"] | None = None,
    compete: bool | None = None,
    config: EngineConfig | None = None,
    axes: str | None = None,
    channel: int | None = None,
    z: int | Literal["max"] | None = None,
) -> Iterator[FrameResult]:
    """Segment and follow prompted objects through a movie, frame by frame.

    Parameters
    ----------
    movie : Movie, array or path
        Whatever :meth:`Movie.open` takes; read one frame at a time.
    prompts : Prompts or sequence of prompts
        Points, boxes and masks of any object on any frame.
    model : str, path or Segmenter
        Name of a model, its weights, or one that is already loaded.
    diameter : float, optional
        Typical object size in px, for clicks; boxes and masks carry their own.
    frames : slice or (start, stop), optional
        Half-open range of frames; everything else is neither read nor prompted.
    direction : {'both', 'forward', 'backward'}
        'both': each object is followed forward from its earliest prompt, then backward before it. 'forward': from
        the earliest prompt on. 'backward': from the latest prompt down.
    device : str or torch.device, optional
        'cuda', 'mps' or 'cpu'; the best one there is by default.
    motion, memory, compete, config
        Engine settings; the first three override those in `config`.
    axes, channel, z
        How to read a movie with more than (T, Y, X), see :meth:`Movie.open`.

    Yields
    ------
    FrameResult
        With 'both', one per (direction, t): a frame between two objects' first prompts comes once in each direction,
        with the objects of that direction. :func:`track` merges them.

    Raises
    ------
    MovieError, PromptError, ModelError, DeviceError, ValueError
        On bad input, when called: before the first frame is asked for.
    """
    merged = _configured(config, motion, memory, compete)
    opened = Movie.open(movie, axes=axes, channel=channel, z=z)
    start, stop = frame_range(frames, opened.n_frames)
    inside = check_prompts(prompts, opened.shape, start, stop)
    _check_options(direction, diameter)
    loaded = _loaded(model, device)
    return run(Job(opened, inside, loaded, merged, start, stop, direction, diameter))


def run(job: Job) -> Iterator[FrameResult]:
    """Carry out a checked job."""
    seeds: dict[int, dict[int, Seed]] = {object_id: {} for object_id in job.prompts.object_ids}
    for t in job.prompts.frames:
        found, _ = seed_frame(job.model, job.movie[t], t, job.requests(t), job.config)
        for object_id, seed in found.items():
            seeds[object_id][t] = seed
    follow = partial(Propagator, job.model, job.movie.__getitem__, job.movie.n_frames, seeds)
    yield from chain.from_iterable(follow(one, job.config) for one in job.passes)


def preview(
    movie: Any,
    prompts: Prompts | Sequence[Prompt],
    frame: int,
    *,
    model: "str | Path | Segmenter" = "nano",
    diameter: float | None = None,
    device: Any = None,
    config: EngineConfig | None = None,
    **reading: Any,
) -> FrameResult:
    """Segment the prompts of one frame, without following anything.

    Parameters
    ----------
    movie, prompts, model, diameter, device, config
        As in :func:`segment`.
    frame : int
        The prompted frame.
    **reading
        `axes`, `channel` and `z` of :func:`segment`.

    Raises
    ------
    PromptError
        If nothing is prompted on that frame.
    """
    opened = Movie.open(movie, **reading)
    inside = check_prompts(prompts, opened.shape, 0, opened.n_frames)
    if frame not in inside.frames:
        raise PromptError(f"nothing is prompted on frame {frame}; prompted frames: {_listed(inside.frames)}")
    job = Job(opened, inside, _loaded(model, device), config or EngineConfig(), frame, frame + 1, "forward", diameter)
    requests = job.requests(frame)
    seeds, contest = seed_frame(job.model, opened[frame], frame, requests, job.config)
    ids = [request.object_id for request in requests]
    return FrameResult(
        t=frame,
        direction="forward",
        labels=contest.labels(ids),
        confidence=contest.confidence([seeds[i].mask.predicted_iou for i in ids]),
        objects=tuple(_seed_result(seeds[i]) for i in ids),
    )


def track(
    movie: Any,
    prompts: Prompts | Sequence[Prompt],
    *,
    out: str | Path,
    overwrite: bool = False,
    progress: "Progress | None" = None,
    axes: str | None = None,
    channel: int | None = None,
    z: int | Literal["max"] | None = None,
    **options: Any,
) -> "Result":
    """Follow objects and write the label frames to a zarr group as they come.

    Parameters
    ----------
    movie, prompts
        As in :func:`segment`.
    out : path
        Zarr group to make; it holds 'labels' (T, Y, X), 'confidence' (T, Y, X) and a table per object and frame.
    overwrite : bool
        Replace an existing group. Without it an existing path is refused.
    progress : callable, optional
        Called after each frame with its result, the number of steps done and their total.
    **options
        Everything else that :func:`segment` takes.

    Returns
    -------
    Result
        Open on the written group.

    Raises
    ------
    FileExistsError, PermissionError
        Before anything is computed.
    """
    from napari_mosam.core.store import ResultWriter

    opened = Movie.open(movie, axes=axes, channel=channel, z=z)
    start, stop = frame_range(options.get("frames"), opened.n_frames)
    inside = check_prompts(prompts, opened.shape, start, stop)
    options["model"] = _loaded(options.get("model", "nano"), options.get("device"))
    results = segment(opened, prompts, **options)
    total = count_steps(opened.n_frames, inside, options.get("frames"), options.get("direction", "both"))
    writer = ResultWriter.create(Path(out), opened, inside, _provenance(options), overwrite=overwrite)
    for done, result in enumerate(results, start=1):
        writer.write(result)
        if progress is not None:
            progress(result, done, total)
    return writer.finish()


def count_steps(
    n_frames: int, prompts: Prompts | Sequence[Prompt], frames: Frames = None, direction: Direction = "both"
) -> int:
    """Number of results that :func:`segment` will yield."""
    start, stop = frame_range(frames, n_frames)
    inside = _inside(prompts, start, stop)
    return sum(one.reported(t) for one in plan_passes(inside, start, stop, direction) for t in one.frames)


def plan_passes(prompts: Prompts, start: int, stop: int, direction: Direction) -> list[Pass]:
    """Which objects are followed from where, in which direction."""
    first = {i: prompts.first_frame(i) for i in prompts.object_ids}
    last = {i: prompts.last_frame(i) for i in prompts.object_ids}
    if not first:
        return []
    if direction == "backward":
        return [Pass(-1, range(max(last.values()), start - 1, -1), last, True)]
    forward = Pass(1, range(min(first.values()), stop), first, True)
    if direction == "forward" or max(first.values()) == start:
        return [forward]
    return [forward, Pass(-1, range(max(first.values()), start - 1, -1), first, False)]


def frame_range(frames: Frames, n_frames: int) -> tuple[int, int]:
    """Resolve a half-open range against the length of the movie.

    Raises
    ------
    ValueError
        If it is empty, stepped, or leaves the movie.
    """
    if frames is None:
        return 0, n_frames
    given = frames if isinstance(frames, slice) else slice(*frames)
    start = 0 if given.start is None else int(given.start)
    stop = n_frames if given.stop is None else int(given.stop)
    if given.step not in (None, 1) or not 0 <= start < stop <= n_frames:
        raise ValueError(
            f"frames {given.start}:{given.stop} are not possible; the movie has frames 0:{n_frames} (the end is not "
            "included) and every frame of a range is followed"
        )
    return start, stop


def check_prompts(
    prompts: Prompts | Sequence[Prompt], shape_tyx: tuple[int, int, int], start: int, stop: int
) -> Prompts:
    """The prompts inside a range of frames, or a :class:`PromptError` that says what is wrong with them."""
    given = prompts if isinstance(prompts, Prompts) else Prompts(prompts)
    given.check(shape_tyx)
    inside = _inside(given, start, stop)
    left = sorted(set(given.object_ids) - set(inside.object_ids))
    if left:
        raise PromptError(
            f"object {_listed(left)} has no prompt in frames {start}:{stop}; prompt it there or widen the range"
        )
    for t in inside.frames:
        for object_id, items in inside.at(t).items():
            if all(_only_negative(p) for p in items):
                raise PromptError(
                    f"object {object_id} has only negative points on frame {t}; add a positive point, box or mask there"
                )
    return inside


def _inside(prompts: Prompts | Sequence[Prompt], start: int, stop: int) -> Prompts:
    return Prompts([p for p in prompts if start <= p.frame < stop])


def _only_negative(prompt: Prompt) -> bool:
    return not getattr(prompt, "positive", True)


def _check_options(direction: str, diameter: float | None) -> None:
    if direction not in DIRECTIONS:
        raise ValueError(f"direction '{direction}' is not possible; allowed: {', '.join(DIRECTIONS)}")
    if diameter is not None and not 0 < diameter < np.inf:
        raise ValueError(f"a diameter of {diameter} px is not possible; give a positive number, or none")


def _configured(
    config: EngineConfig | None,
    motion: MotionConfig | bool | None,
    memory: MemoryConfig | str | None,
    compete: bool | None,
) -> EngineConfig:
    merged = config or EngineConfig()
    if isinstance(motion, bool):
        motion = MotionConfig() if motion else MotionConfig.off()
    if isinstance(memory, str):
        memory = replace(merged.memory, selection=memory)  # type: ignore[arg-type]  # checked by the dataclass
    return replace(
        merged,
        motion=merged.motion if motion is None else motion,
        memory=merged.memory if memory is None else memory,
        compete=merged.compete if compete is None else compete,
    )


def _loaded(model: "str | Path | Segmenter", device: Any) -> Segmenter:
    return load_model(model, device=device) if isinstance(model, str | Path) else model


def _seed_result(seed: Seed) -> ObjectResult:
    mask, region = seed.mask, seed.region
    return ObjectResult(
        object_id=mask.object_id,
        state=ObjectState.PRESENT if region is not None else ObjectState.LOST,
        window=mask.window,
        logits=np.asarray(mask.logits.cpu().numpy(), np.float32),
        predicted_iou=mask.predicted_iou,
        object_score=mask.object_score,
        area=region.area if region is not None else 0,
        box=region.box if region is not None else None,
        consistency=float("nan"),
        shift_yx=(0.0, 0.0),
        remembered=True,
        prompted=True,
        memory_frames=(),
    )


def _provenance(options: Mapping[str, Any]) -> dict[str, Any]:
    config = _configured(options.get("config"), options.get("motion"), options.get("memory"), options.get("compete"))
    return {
        "model": options["model"].name,
        "config": config.to_dict(),
        "direction": options.get("direction", "both"),
        "diameter": options.get("diameter"),
    }


def _listed(values: Sequence[int], most: int = 6) -> str:
    shown = ", ".join(str(v) for v in values[:most])
    return shown if len(values) <= most else f"{shown} … ({len(values)} in all)"


__all__ = [
    "Job",
    "MaskPrompt",
    "count_steps",
    "preview",
    "segment",
    "track",
]
