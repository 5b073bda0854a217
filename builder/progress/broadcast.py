"""Hands each event to several listeners, one event at a time, whatever thread it comes from."""

from __future__ import annotations

import threading
from collections.abc import Iterable

from builder.progress.events import Event, Listener


class Broadcast:
    """A listener to many: one lock, so that listeners need none and all hear the same order.

    A listener that raises (a closed pipe, a full disk) hears nothing more; a view never ends a build.
    `failures` tells the caller afterwards.
    """

    def __init__(self, listeners: Iterable[Listener]) -> None:
        self._listeners = list(listeners)
        self._lock = threading.Lock()
        self.failures: list[Exception] = []

    def on_event(self, event: Event) -> None:
        """Passes the event on in the order of the listeners."""
        with self._lock:
            for listener in tuple(self._listeners):
                try:
                    listener.on_event(event)
                except Exception as error:
                    self._listeners.remove(listener)
                    self.failures.append(error)
