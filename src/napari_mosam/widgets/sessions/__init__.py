"""Sessions as docks and the console share them."""

from napari_mosam.widgets.sessions.registry import all_sessions, dock_of, session, sessions_of

__all__ = ["all_sessions", "dock_of", "session", "sessions_of"]
