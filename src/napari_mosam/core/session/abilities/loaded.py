"""The model of a session: the one that it was given, or that it loaded last."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_mosam.core.config.run import RunConfig
from napari_mosam.core.session.state import SessionState

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_mosam.core.model.protocol import Segmenter


@dataclass(eq=False)
class KeptModel:
    """One model stays loaded, besides one that was given."""

    given: "Segmenter | None"
    _loaded: "tuple[RunConfig, Segmenter] | None" = None

    def known(self, asked: RunConfig) -> "Segmenter | None":
        """The model of these settings, if it is here."""
        if self.given is not None and asked.model == self.given.name:
            return self.given
        return self._loaded[1] if self._loaded is not None and self._loaded[0] == _key(asked) else None

    def of(self, asked: RunConfig, load: "Callable[[RunConfig], Segmenter]") -> "Segmenter":
        """The model of these settings, loaded where it is not here."""
        known = self.known(asked)
        if known is None:
            known = load(asked)
            self._loaded = _key(asked), known
        return known


class LoadedModel(SessionState):
    """What a session computes with."""

    _models: KeptModel

    @property
    def model_ready(self) -> bool:
        """Whether the model of the settings is loaded; else the next run or preview loads it first."""
        return self._models.known(self.settings) is not None

    def _model(self, work: Any) -> "Segmenter":
        """The model of the settings; the last one stays loaded."""
        return self._models.of(self.settings, work.load)


def _key(asked: RunConfig) -> RunConfig:
    """What of the settings a model depends on."""
    return RunConfig(model=asked.model, device=asked.device, checkpoint_config=asked.checkpoint_config)
