"""Everything that the dock does is a call on the session: the table of ADR 11 is complete and true."""

import re
from pathlib import Path

from qtpy.QtWidgets import QAbstractButton

from napari_mosam import Session

ADR = Path(__file__).parents[2] / "docs" / "adr" / "0011-the-dock-on-the-session.md"
ENGINE = ("Engine settings", "Advanced", "Objects (0)", "Shortcuts")
"""Folds; what they hold are settings, the table of objects, and a list of keys."""
ARROWS = ("▾", "◂", "▸")
"""Open the menu of runs, and lead to what is worth a look."""


def table():
    """What is in the dock, and the name on the session."""
    rows = re.findall(r"^\| (.+?) \| (.+?) \|$", ADR.read_text(encoding="utf-8"), re.MULTILINE)
    return dict(rows[1:])


def test_every_button_of_the_dock_is_in_the_table(open_widget, movie):
    widget = open_widget(movie)
    engine = set(widget.controls.engine.container.native.findChildren(QAbstractButton))
    buttons = [b for b in widget.findChildren(QAbstractButton) if b.text() and b not in engine]
    named = " ".join([*table(), *re.findall(r"^Draw.*session\.$", ADR.read_text(encoding="utf-8"), re.MULTILINE)])
    settings = ("Follow motion", "Cells compete for pixels", *ENGINE, *ARROWS)
    texts = [re.sub(r" \(?\d+\)?$", "", b.text()) for b in buttons if b.text() not in settings]
    missing = [text for text in texts if text not in named]
    assert len(buttons) > 20 and not missing


def test_every_name_in_the_table_is_one_of_the_session():
    names = [name for cell in table().values() for name in re.findall(r"`(\w+)`", cell)]
    missing = {name for name in names if name != "Session" and name not in {*dir(Session), "settings"}}
    assert len(names) > 12 and not missing
