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


def test_the_narrowest_dock_shows_a_page_to_its_right_edge_and_words_do_not_widen_it(open_widget, movie, qtbot):
    widget = open_widget(movie, show=True)
    area, least = widget.pages.widget(0), widget.minimumSizeHint().width()

    def cut():
        return area.widget().minimumSizeHint().width() + area.verticalScrollBar().sizeHint().width() - least

    assert cut() <= 0 and least < 360
    widget.viewer.layers["movie"].name = "a_name_as_microscopes_give_them_without_any_blank_in_it_at_all"
    widget.viewer.layers[0].visible = False  # which is said, with the name
    qtbot.wait(20)
    assert cut() <= 0 and widget.minimumSizeHint().width() == least
    wide = QLabel("wide")
    wide.setMinimumWidth(500)
    widget.controls.layout().addWidget(wide)  # as a page that is made late
    qtbot.waitUntil(lambda: widget.minimumSizeHint().width() > 500, timeout=2000)
