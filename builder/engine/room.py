"""The store's size during a command: kept after every step and at the end, and what that took told."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from builder.oci.reference import parse_reference
from builder.store.store import Store

if TYPE_CHECKING:
    from builder.store.room import Kept, Room

Tell = Callable[[str], object]


class StoreSize:
    """Keeps a store within `size` bytes (0: it has no size of its own, and nothing is done or loaded)."""

    def __init__(self, store: Store, size: int, tell: Tell) -> None:
        self._store = store
        self._size = size
        self._tell = tell
        self._room: Room | None = None

    def grown(self) -> None:
        """After a step."""
        if self._size:
            self._said(self._opened().grown(), done=False)

    def check(self) -> None:
        """At the end."""
        if self._size:
            self._said(self._opened().check(), done=True)

    def _opened(self) -> Room:
        if self._room is None:
            from builder.store.room import Room

            self._room = Room(self._store, self._size)
        return self._room

    def _said(self, kept: Kept, *, done: bool) -> None:
        from builder.progress.plain import size_text

        for name in kept.dropped:
            familiar = parse_reference(name).familiar
            self._tell(f"the image {familiar} went from the store, as the least recently used, to keep it within {size_text(self._size)}")
        if done and kept.excess:
            taken = size_text(self._size + kept.excess)
            self._tell(f"the store takes {taken}, more than its size of {size_text(self._size)}: what runs needs it")


@contextlib.contextmanager
def kept_within(store: Store, size: int, tell: Tell) -> Iterator[StoreSize]:
    """For the time of a command; looks once more when it ends, however it ends."""
    room = StoreSize(store, size, tell)
    try:
        yield room
    finally:
        room.check()
