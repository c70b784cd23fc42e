"""The pages of the dock: made when they are first seen, told of changes only while they are in sight."""

from qtpy.QtWidgets import QLabel

from napari_mosam.widgets.pages.pages import PageKind, Pages


class Told:
    """A page that keeps account of what it was told."""

    def __init__(self, dock):
        self.widget, self.told = QLabel("page"), []

    def update(self):
        self.told.append("update")

    def hide(self):
        self.told.append("hide")

    def close(self):
        self.told.append("close")


def test_a_page_is_made_when_first_seen_and_told_only_while_in_sight(open_widget, movie, qtbot):
    widget = open_widget(movie)
    pages = Pages(widget, QLabel("first"), [PageKind("One", "", Told), PageKind("Two", "", Told)])
    qtbot.addWidget(pages)
    assert not pages._made
    pages.update_page()
    pages.turn_to("Two")
    two = pages.page("Two")
    assert two.told == ["update"] and len(pages._made) == 1
    widget.controls.object_id.setValue(7)
    assert two.told == ["update", "update"]
    pages.turn_to("Track")
    pages.update_page()
    assert two.told == ["update", "update", "hide"]
    pages.turn_to("Two")
    pages.close_pages()
    assert two.told[-1] == "close"
    pages.update_page()
    assert two.told[-1] == "close"
