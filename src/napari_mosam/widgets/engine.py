"""What the dock asks of the engine: sessions, models, devices; torch is imported behind it, in a thread."""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from napari_mosam.core.config.run import RunConfig

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_mosam.core.images.movie import Movie
    from napari_mosam.core.model.catalogue import ModelInfo, Progress
    from napari_mosam.core.session.recent import Recent
    from napari_mosam.core.session.session import Session
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
    """What the dock asks of the engine besides its sessions."""

    def session(self, source: "MovieSource", settings: RunConfig | None = None) -> "Session":
        """A new session of a movie. Reads no frame and imports no torch.

        Raises
        ------
        MovieError
            For an image that is no movie.
        """
        from napari_mosam.core.session.session import Session

        session = Session(source.open())
        session.settings = settings or session.settings
        return session

    def open(self, path: Path, source: "MovieSource | None" = None) -> "Session":
        """The session of a result, with the movie that is shown, or the one that the result names.

        Raises
        ------
        FileNotFoundError, ResultError, ValueError
            As :meth:`Session.open`.
        """
        from napari_mosam.core.session.session import Session

        return Session.open(path, None if source is None else source.open())

    def on_disk(self, source: "MovieSource", movie: "Movie", ram: str | None = None) -> "Movie":
        """The movie as it lies on the disk, where the image was opened from a file that shows the same frames.

        It is read without napari's help then, and a result can say where its movie is. Reads some frames. `ram` is what
        a run may take.
        """
        path = source.image.source.path
        if movie.path is not None or not path:
            return movie
        fixed = dict(zip(source.axes.lower(), source.plane, strict=False))
        with suppress(OSError, ValueError):
            lying = type(movie).open(path, channel=fixed.get("c"), z=fixed.get("z"), ram=ram)
            if lying.shape == movie.shape and lying.fingerprint == movie.fingerprint:
                return lying.with_limits(movie.grey_limits)
        return movie

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
        """Import everything that a run needs and load the first model once, so that the first run starts at once."""
        from napari_mosam.core.session import work

        work.load(RunConfig(model=self.models()[0].name))

    def device_name(self, config: RunConfig) -> str:
        """The device a run computes on. Imports torch."""
        from napari_mosam.core.model.device import choose_device

        return str(choose_device(config.device))

    def recent(self) -> "Recent":
        """Results that were not saved, and those that were opened last."""
        from napari_mosam.core.session.recent import Recent

        return Recent.of_user()


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
