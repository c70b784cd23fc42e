"""Tabs over the dock: one page marks and follows; the others ask about the result, and are made when first seen."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from qtpy.QtCore import QEvent, QSize, Qt
from qtpy.QtWidgets import QScrollArea, QTabWidget, QVBoxLayout, QWidget

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari_mosam.widgets.widget import MosamWidget


class Page(Protocol):
    """What a page does besides what its buttons do; it is told of changes only while it is in sight."""

    widget: QWidget

    def update(self) -> None:
        """Show the result, the object in hand and the frame as they are now; called often, so look what changed."""

    def hide(self) -> None:
        """Another page is in sight: take away what belongs to this one alone."""

    def close(self) -> None:
        """The dock goes away: leave the viewer as it was."""


@dataclass(frozen=True, slots=True)
class PageKind:
    """A page that there may be.

    Attributes
    ----------
    title, tip : str
        Of its tab.
    make : callable
        Given the dock.
    """

    title: str
    tip: str
    make: "Callable[[MosamWidget], Page]"


TRACK = "Track"


def _review(dock: "MosamWidget") -> Page:
    from napari_mosam.widgets.review.page import ReviewPage

    return ReviewPage(dock)


def _why(dock: "MosamWidget") -> Page:
    from napari_mosam.widgets.why.page import WhyPage

    return WhyPage(dock)


def _lineage(dock: "MosamWidget") -> Page:
    from napari_mosam.widgets.lineage.page import LineagePage

    return LineagePage(dock)


PAGES: tuple[PageKind, ...] = (
    PageKind("Review", "Look at what is likely wrong, the worst first; or judge a random sample.", _review),
    PageKind("Why", "Why does this cell have this mask on this frame?", _why),
    PageKind("Lineage", "Cells that divide, who is whose daughter, and the tree of them all.", _lineage),
)
"""After the one that marks and follows, in the order of their tabs."""


class Pages(QTabWidget):
    """The tabs.

    Parameters
    ----------
    dock : MosamWidget
    first : QWidget
        The page that marks and follows.
    kinds : sequence of PageKind
    """

    def __init__(self, dock: "MosamWidget", first: QWidget, kinds: "Sequence[PageKind]" = PAGES) -> None:
        super().__init__()
        self._dock, self._kinds = dock, tuple(kinds)
        self._made: dict[int, Page] = {}
        self._seen: Page | None = None
        self.listeners: list[Callable[[], object]] = []  # told of changes whichever page is in sight
        self.setDocumentMode(True)
        self.tabBar().setStyleSheet("QTabBar::tab { padding: 4px 10px; }")
        self.addTab(Scrolling(first), TRACK)
        for kind in self._kinds:
            self.setTabToolTip(self.addTab(Scrolling(QWidget()), kind.title), kind.tip)
        self.tabBar().setVisible(bool(self._kinds))
        self.currentChanged.connect(self._turned)
        dock.controls.object_id.valueChanged.connect(self.update_page)

    def page(self, title: str) -> Page:
        """A page by its title; made now where nobody has seen it yet."""
        return self._page([kind.title for kind in self._kinds].index(title))

    def turn_to(self, title: str) -> None:
        """Bring a page into sight."""
        self.setCurrentIndex([TRACK, *(kind.title for kind in self._kinds)].index(title))

    def update_page(self, *_: object) -> None:
        """Tell the page in sight that the result, the object in hand or the frame may have changed."""
        if self._seen is not None:
            self._seen.update()
        for listener in self.listeners:
            listener()

    def event(self, event: Any) -> bool:
        """Tell that a page needs another width: Qt does not ask for that of tabs again."""
        if event.type() == QEvent.Type.LayoutRequest:
            self.updateGeometry()
        return bool(super().event(event))

    def close_pages(self) -> None:
        """Let every page leave the viewer as it was."""
        for page in self._made.values():
            page.close()
        self._made, self._seen = {}, None

    def _page(self, row: int) -> Page:
        if row not in self._made:
            self._made[row] = self._kinds[row].make(self._dock)
            area = self.widget(row + 1)
            assert isinstance(area, QScrollArea)
            area.setWidget(self._made[row].widget)
        return self._made[row]

    def _turned(self, tab: int) -> None:
        if self._seen is not None:
            self._seen.hide()
        self._seen = self._page(tab - 1) if tab else None
        self.update_page()


class Scrolling(QScrollArea):
    """A page with a scroll bar on small screens; at least as wide as both need.

    Parameters
    ----------
    inner : QWidget
    """

    def __init__(self, inner: QWidget) -> None:
        super().__init__()
        self.setWidget(inner)
        self.setWidgetResizable(True)
        self.setFrameShape(QScrollArea.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)

    def minimumSizeHint(self) -> QSize:
        """As wide as the page and the scroll bar; as low as Qt has it."""
        width = self.widget().minimumSizeHint().width() + self.verticalScrollBar().sizeHint().width()
        return QSize(width, super().minimumSizeHint().height())

    def event(self, event: Any) -> bool:
        """Tell that the page needs another width."""
        if event.type() == QEvent.Type.LayoutRequest:
            self.updateGeometry()
        return bool(super().event(event))


def stack(outer: QWidget, pages: Pages, footer: QWidget) -> None:
    """Let the pages fill `outer`, with a footer below that is always in sight."""
    column = QVBoxLayout(outer)
    column.setContentsMargins(0, 0, 0, 0)
    column.setSpacing(0)
    column.addWidget(pages, 1)
    column.addWidget(footer)
