"""The buttons of the tools with which cells are marked."""

from typing import TYPE_CHECKING

from napari_mosam.widgets.controls.builders import make_tool

if TYPE_CHECKING:
    from qtpy.QtWidgets import QPushButton


def mark_tools() -> "tuple[QPushButton, QPushButton, QPushButton, QPushButton]":
    """Box, positive click, negative click, and taking a cell in hand again."""
    box = make_tool(
        "Box",
        "Drag a box around a cell: the surest way. The next box is the next cell; a click alone is a click. The other "
        "tools of the layer work too: ellipse, polygon (the outline of a cell), and path or line (a scribble over it).",
    )
    plus = make_tool(
        "+ Click",
        "Click inside a cell, or on a part that is missing from its mask. A click far from it starts the next; "
        "with Shift it stays the same.",
    )
    minus = make_tool(
        "\u2212 Click", "Click on what does not belong to the cell, as the right button does with any tool."
    )
    pick = make_tool("Pick", "Click on a cell to take it in hand again, as Ctrl+click does with any tool.")
    return box, plus, minus, pick
