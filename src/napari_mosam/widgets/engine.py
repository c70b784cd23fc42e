"""The only door from the widget to the engine; torch is imported behind it, in the worker thread."""

from dataclasses import dataclass, replace
from threading import Lock
from typing import TYPE_CHECKING, Any

from napari_mosam.core.config.run import Limits, MovieConfig, RunConfig
from napari_mosam.widgets.layers.source import image_array

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from napari_mosam.core.images.grey.limits import GreyLimits
    from napari_mosam.core.images.movie import Movie
    from napari_mosam.core.model.catalogue import ModelInfo, Progress
    from napari_mosam.core.prompts.collection import Prompts
    from napari_mosam.core.results.frame import FrameResult
    from napari_mosam.core.runs.request import RunRequest
    from napari_mosam.widgets.layers.source import MovieSource


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """One entry of the model menu.

    Attributes
    ----------
    name : str
        Of the registry.
    label : str
        What the menu says.
    missing : bool
        Whether the weights have to be downloaded first.
    size : int or None
        Bytes to download, where known.
    there : int
        Bytes of them that an earlier download has brought.
    """

    name: str
    label: str
    missing: bool = False
    size: int | None = None
    there: int = 0

    @property
    def offer(self) -> str:
        """What the download button says."""
        size = f" {self.size / 1e6:.0f} MB" if self.size else ""
        if not self.there:
            return f"Download{size}"
        return f"Continue download ({self.there / 1e6:.0f} of{size})" if size else "Continue download"


class Engine:
    """Runs the real engine and keeps the last model loaded, so that a second preview is fast."""

    def __init__(self) -> None:
        self._key: tuple[Any, ...] = ()
        self._segmenter: Any = None
        self._loading = Lock()
        self._movie: tuple[Any, tuple[Any, ...], Movie] | None = None

    def models(self) -> list[ModelChoice]:
        """Models that can be chosen, the shipped one first."""
        from napari_mosam.core.model.catalogue import available_models

        return [_choice(model) for model in available_models()]

    def download(self, name: str, progress: "Progress", cancelled: "Callable[[], bool]") -> None:
        """Get the weights of a model; see :func:`napari_mosam.download_model`."""
        from napari_mosam.core.model.download.model import download_model

        download_model(name, progress=progress, cancelled=cancelled)

    def devices(self) -> list[str]:
        """Devices of this machine, best first. Imports torch."""
        from napari_mosam.core.model.device import available_devices

        return list(available_devices())

    def warm_up(self) -> None:
        """Import everything that a run needs and load the first model, so that the first run starts at once."""
        import zarr  # noqa: F401

        self._loaded(RunConfig(model=self.models()[0].name))

    def device_name(self, request: "RunRequest") -> str:
        """The device a run computes on."""
        from napari_mosam.core.model.device import choose_device

        return str(choose_device(request.config.device))

    def request(self, source: "MovieSource", prompts: "Prompts", config: RunConfig) -> "RunRequest":
        """What is asked of a run. Reads no frame and imports no torch, so it may be built in the GUI thread.

        Axes, channel and plane are those of `source`; of how a movie is read, `config` says the grey limits alone.

        Raises
        ------
        MovieError, PromptError, ValueError
            For what a run would refuse.
        """
        from napari_mosam.core.runs.request import RunRequest

        return RunRequest.build(self.open(source, config.movie.limits), prompts, replace(config, movie=MovieConfig()))

    def preview_request(self, source: "MovieSource", prompts: "Prompts", frame: int, config: RunConfig) -> "RunRequest":
        """What is asked of a preview of any frame: its prompts, and those of the run, which tell the size of objects.

        Raises
        ------
        MovieError, PromptError, ValueError
            For what a preview would refuse, such as a frame on which nothing is prompted.
        """
        from napari_mosam.core.prompts.collection import Prompts

        request = self.request(source, prompts, replace(config, frames=None, direction="both"))
        request.check_frame(frame)
        followed = config.range_in(request.movie.n_frames)
        counted = (prompt for prompt in request.prompts if prompt.frame == frame or prompt.frame in followed)
        return replace(request, prompts=Prompts(counted))

    def open(self, source: "MovieSource", limits: Limits = None) -> "Movie":
        """The movie; the last one is kept, since its grey limits take time to find."""
        array, reading = image_array(source.image), (source.axes, source.plane, limits)
        kept = self._movie
        if kept is not None and kept[0] is array and kept[1] == reading:
            return kept[2]
        movie = source.open(limits)
        self._movie = (array, reading, movie)  # which the GUI thread may forget at any time
        return movie

    def grey_limits(self, movie: "Movie") -> "GreyLimits":
        """What the network sees as black and white; takes time when it is asked first."""
        return movie.grey_limits

    def forget(self, layer: Any) -> None:
        """Let go of the movie of a layer that was removed."""
        kept = self._movie
        if kept is not None and kept[0] is image_array(layer):
            self._movie = None

    def segment(self, request: "RunRequest") -> "Iterator[FrameResult]":
        """Follow the prompted objects; see :func:`napari_mosam.segment`."""
        from napari_mosam.core.runs.run import run

        return run(request, self._loaded(request.config))

    def preview(self, request: "RunRequest", frame: int) -> "FrameResult":
        """First masks of the objects prompted on `frame`."""
        from napari_mosam.core.runs.run import preview_frame

        return preview_frame(request, frame, self._loaded(request.config))

    def _loaded(self, config: RunConfig) -> Any:
        from napari_mosam.core.runs.run import load

        key = (config.model, config.checkpoint_config, config.model_folder, config.device)
        with self._loading:
            if key != self._key:
                self._segmenter, self._key = load(config), key
            return self._segmenter


def _choice(model: "ModelInfo") -> ModelChoice:
    place = model.place()
    if place == "shipped":
        return ModelChoice(model.name, f"{model.name} (built in)")
    label = model.name.replace("-plus", "+")  # or the size would not fit into a narrow dock
    if place == "present":
        return ModelChoice(model.name, label)
    part = model.part()
    there = part.stat().st_size if part.is_file() else 0
    size = f"{model.size / 1e6:.0f} MB" if model.size else "download"
    return ModelChoice(model.name, f"{label} ↓ {size}", True, model.size, there)
