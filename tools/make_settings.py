"""The page of settings, docs/settings.md, from what their classes say.

python -m tools.make_settings
"""

import json
from collections.abc import Iterable
from pathlib import Path

from napari_mosam.cli.settings import FLAGS
from napari_mosam.core.config.engine import EngineConfig, LifecycleConfig, MemoryConfig, MotionConfig, WindowConfig
from napari_mosam.core.config.fields import Setting, settings_of, type_words
from napari_mosam.core.config.run import ComputeConfig, MovieConfig, RunConfig

PAGE = Path(__file__).parents[1] / "docs" / "settings.md"
SECTIONS: dict[str, tuple[str, type]] = {
    "": ("Run", RunConfig),
    "movie": ("Movie", MovieConfig),
    "window": ("Window", WindowConfig),
    "motion": ("Motion", MotionConfig),
    "memory": ("Memory", MemoryConfig),
    "life": ("Lost and found", LifecycleConfig),
    "engine": ("Pixels", EngineConfig),
    "compute": ("Computing", ComputeConfig),
}
HEAD = """# Settings

Made by `python -m tools.make_settings` from the classes in `core/config`; do not edit it by hand.

Every setting has one name. It is given

- to the functions as an attribute: `segment(..., config=EngineConfig(window=WindowConfig(ratio=4)))`,
- to the command as `--set window.ratio=4` (JSON or a bare word), or by a flag of its own where it has one,
- in a file for `--config`, JSON or TOML: `{"window": {"ratio": 4}, "model": "nano"}`,
- in the dock under *Advanced*, *Engine settings*, where the table says under which label.

`--set` wins over flags, flags over the file, the file over the defaults. What is unknown, of another type or
outside its range is refused before anything is read.
"""


def section_of(setting: Setting) -> str:
    """Key of the table that a setting stands in."""
    return setting.path[-2] if len(setting.path) > 1 else ""


def table(settings: Iterable[Setting]) -> str:
    """A row per setting."""
    head = "| name | type | default | range | meaning | flag | in the dock |\n|---|---|---|---|---|---|---|\n"
    return head + "".join(f"| {' | '.join(map(_cell, row(setting)))} |\n" for setting in settings)


def row(setting: Setting) -> tuple[str, ...]:
    """Name, type, default, range, meaning, flag and label."""
    flag = FLAGS.get(setting.name)
    return (
        f"`{setting.name}`",
        type_words(setting.kind),
        f"`{json.dumps(setting.default)}`",
        setting.allowed if setting.allowed != setting.allowed_kind or setting.meta.allowed else "",
        setting.description,
        f"`{flag.name}`" if flag else "",
        setting.meta.label,
    )


def page() -> str:
    """The whole page."""
    settings = settings_of(RunConfig)
    tables = (
        f"\n## {title}\n\n{(declared.__doc__ or '').splitlines()[0]}\n\n"
        + table(setting for setting in settings if section_of(setting) == section)
        for section, (title, declared) in SECTIONS.items()
    )
    return HEAD + "".join(tables)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
