"""The only door from the widget to the engine; torch is imported behind it, in the worker thread."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_mosam.widgets._source import image_array

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_mosam.core.movie import Movie
    from napari_mosam.core.prompts import Prompts
    from napari_mosam.core.results import FrameResult
    from napari_mosam.widgets._settings import RunSettings
    from napari_mosam.widgets._source import MovieSource


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """One entry of the model menu."""

    name: str
    label: str


class Engine:
    """Runs the real engine and keeps the last model loaded, so that a second preview is fast."""

    def __init__(self) -> None:
        self._key: tuple[str, str | None] | None = None
        self._segmenter: Any = None
        self._movie: tuple[Any, tuple[int, ...], Movie] | None = None

    def models(self) -> list[ModelChoice]:
        """Models that can be chosen, the shipped one first."""
        from napari_mosam.core.model.registry import available_models

        return [ModelChoice(m.name, _model_label(m)) for m in available_models()]

    def devices(self) -> list[str]:
        """Devices of this machine, best first. Imports torch."""
        from napari_mosam.core.device import available_devices

        return list(available_devices())

    def device_name(self, settings: "RunSettings") -> str:
        """The device a run with `settings` computes on."""
        from napari_mosam.core.device import choose_device

        return str(choose_device(settings.device))

    def count_steps(self, n_frames: int, prompts: "Prompts", settings: "RunSettings") -> int:
        """Number of results that :meth:`segment` will yield."""
        from napari_mosam.core.api import count_steps

        return count_steps(n_frames, prompts, settings.frames, settings.direction)

    def open(self, source: "MovieSource") -> "Movie":
        """The movie; the last one is kept, since its intensity range takes time to sample."""
        key = (image_array(source.image), source.plane)
        if self._movie is None or self._movie[0] is not key[0] or self._movie[1] != key[1]:
            self._movie = (*key, source.open())
        return self._movie[2]

    def forget(self, image: Any) -> None:
        """Let go of the movie of a layer that was removed."""
        if self._movie is not None and self._movie[0] is getattr(image, "data", None):
            self._movie = None

    def segment(self, movie: "Movie", prompts: "Prompts", settings: "RunSettings") -> "Iterator[FrameResult]":
        """Follow the prompted objects; see :func:`napari_mosam.segment`."""
        from napari_mosam.core.api import segment

        return segment(
            movie,
            prompts,
            model=self._load(settings),
            diameter=settings.diameter,
            frames=settings.frames,
            direction=settings.direction,
            device=settings.device,
            config=settings.config,
        )

    def preview(self, movie: "Movie", prompts: "Prompts", frame: int, settings: "RunSettings") -> "FrameResult":
        """First masks of the objects prompted on `frame`."""
        from napari_mosam.core.api import preview

        return preview(
            movie,
            prompts,
            frame,
            model=self._load(settings),
            diameter=settings.diameter,
            device=settings.device,
            config=settings.config,
        )

    def _load(self, settings: "RunSettings") -> Any:
        from napari_mosam.core.model.registry import load_model

        key = (settings.model, settings.device)
        if key != self._key:
            self._segmenter = load_model(settings.model, device=settings.device)
            self._key = key
        return self._segmenter


def _model_label(model: Any) -> str:
    if model.shipped:
        return f"{model.name} (built in)"
    return model.name if model.path else f"{model.name} (needs a download)"
