"""The sessions of the movies in a viewer: which one a dock shows, and the same one for the console."""

from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol
from weakref import WeakKeyDictionary, finalize

from napari_mosam.core.config.checks import Refused
from napari_mosam.widgets.layers.source import MovieSource, image_array
from napari_mosam.widgets.layers.tags import movie_id

if TYPE_CHECKING:
    from pathlib import Path

    from napari_mosam.core.config.run import RunConfig
    from napari_mosam.core.session.session import Session
    from napari_mosam.widgets.engine import Engine

Key = tuple[str, tuple[int, ...]]


class Dock(Protocol):
    """What others ask of a dock that is open."""

    def open(self, path: "Path") -> None:
        """Go on with a result."""

    def take_marks(self, path: "Path") -> bool:
        """Add the marks of a file; whether there is a movie for them."""

    def flush(self) -> None:
        """Wait until everything that was painted is in its session."""


class Sessions:
    """Sessions of one viewer, each of one movie at one plane of its other axes; they outlive the dock.

    Parameters
    ----------
    engine : Engine
        Makes new ones.
    """

    def __init__(self, engine: "Engine") -> None:
        self._engine = engine
        self._all: dict[Key, tuple[Any, Session]] = {}  # with the array of the movie
        self._samples: set[str] = set()  # movies that are sample data
        self.shown: Session | None = None
        self.dock: Dock | None = None  # that is open

    def of(self, source: MovieSource, settings: "RunConfig | None" = None) -> "Session":
        """The session of a movie; a new one where there is none, or where the image got another array."""
        array, session = self._all.get(key_of(source), (None, None))
        if session is None or array is not image_array(source.image):
            if session is not None:
                session.close()
            session = self._engine.session(source, settings)
            self.put(source, session)
        return session

    def find(self, source: MovieSource) -> "Session | None":
        """The session of a movie, if there is one."""
        return self.at(key_of(source))

    def put(self, source: MovieSource, session: "Session") -> None:
        """Let this be the session of a movie."""
        self._all[key_of(source)] = image_array(source.image), session
        if source.image.source.sample is not None:
            self._samples.add(movie_id(source.image))

    def at(self, key: Key) -> "Session | None":
        """The session of a movie that is known by this."""
        return self._all.get(key, (None, None))[1]

    def movie_of(self, session: "Session") -> str | None:
        """Id of the movie of a session."""
        return next((movie for (movie, _), (_, known) in self._all.items() if known is session), None)

    def drop(self, session: "Session") -> None:
        """Close a session and know it no longer."""
        session.close()
        self._all = {key: value for key, value in self._all.items() if value[1] is not session}

    def unsaved(self) -> list["Session"]:
        """Those with a result that nobody gave a place; not those of sample data."""
        mine = ((movie, session) for (movie, _), (_, session) in self._all.items() if movie not in self._samples)
        return [session for _, session in mine if session.path is not None and not session.saved]

    def all(self) -> Iterator["Session"]:
        """Every one of them."""
        return (session for _, session in self._all.values())

    def close(self, *_: object) -> None:
        """Say that nobody works on any of them any more."""
        for session in self.all():
            with suppress(OSError, ValueError):
                session.close()
        self._all.clear()
        self.shown = None


def key_of(source: MovieSource) -> Key:
    """What tells a movie from others in the viewer."""
    return movie_id(source.image), source.plane


_OF_VIEWERS: "WeakKeyDictionary[Any, Sessions]" = WeakKeyDictionary()
"""So that a dock that is opened again, and the console, find the sessions of a viewer; nothing else writes here."""


def sessions_of(viewer: Any, engine: "Engine | None" = None) -> Sessions:
    """The sessions of a viewer; an engine makes the first of them."""
    plain = getattr(viewer, "__wrapped__", viewer)  # the console has a proxy
    if plain not in _OF_VIEWERS:
        from napari_mosam.widgets.engine import Engine

        _OF_VIEWERS[plain] = made = Sessions(engine or Engine())
        finalize(plain, made.close)  # at the end of the program too
    return _OF_VIEWERS[plain]


def dock_of(viewer: Any) -> "Dock | None":
    """The dock that is open in a viewer."""
    sessions = _OF_VIEWERS.get(getattr(viewer, "__wrapped__", viewer)) if viewer is not None else None
    return None if sessions is None else sessions.dock


def all_sessions() -> list[Sessions]:
    """Those of every viewer."""
    return list(_OF_VIEWERS.values())


def session(viewer: Any = None) -> "Session":
    """The session that the dock of a viewer shows: what is done with it is seen there at once, from any thread.

    Parameters
    ----------
    viewer : napari.viewer.Viewer, optional
        By default the one that was used last.

    Raises
    ------
    ValueError
        If there is no viewer, or its dock shows no movie.
    """
    import napari

    chosen = viewer if viewer is not None else napari.current_viewer()
    shown = None if chosen is None else sessions_of(chosen).shown
    if shown is None:
        raise Refused("there is no session yet; open a time-lapse and Plugins > MoSAM, and choose the movie")
    return shown
