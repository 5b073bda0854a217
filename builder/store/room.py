"""Keeps a store within the size it was given, while builds go on in it.

Rules. Above nine tenths of its size the store gives up, least recently used first, until eight tenths are left, so
that the next step has room: caches first, as `prune` would take them, then image names with what only they need.
Never what was touched since the oldest living process began, so a build that needs more than the size gets it,
and `check` says so. Looking costs a walk over the index, so it is done when the disk has lost a fiftieth of the size; or
won as much, for what somebody else freed may hide what the store took.
"""

from __future__ import annotations

import threading

import msgspec

from builder.store.collect import Rule
from builder.store.inventory import horizon, image_used, take_inventory
from builder.store.space import free_bytes
from builder.store.store import Store
from builder.store.sweep import collect
from builder.store.usage import total_size


class Kept(msgspec.Struct, frozen=True):
    """What a look did: bytes removed, image names dropped, and by how many bytes the store is still too large."""

    removed: int = 0
    dropped: tuple[str, ...] = ()
    excess: int = 0


class Room:
    """One store's size, kept by one process; thread-safe."""

    def __init__(self, store: Store, size: int) -> None:
        self._store = store
        self._size = size
        self._high = size * 9 // 10
        self._low = size * 8 // 10
        self._free: int | None = None
        self._lock = threading.Lock()

    def grown(self) -> Kept:
        """Looks if the disk has changed enough since the last look; for after every step."""
        if not self._lock.acquire(blocking=False):
            return Kept()
        try:
            free = free_bytes(self._store.root)[0]
            if self._free is not None and abs(self._free - free) < self._size // 50:
                return Kept()
            return self._keep()
        finally:
            self._lock.release()

    def check(self) -> Kept:
        """Looks; for a build's end."""
        with self._lock:
            return self._keep()

    def _keep(self) -> Kept:
        removed, dropped = 0, []
        total = self._total()
        if total > self._high:
            removed, total = self._collect()
            names = self._unused_names()
            while total > self._high and names:
                dropped.append(names.pop(0))
                self._store.images.delete(dropped[-1])
                more, total = self._collect()
                removed += more
        self._free = free_bytes(self._store.root)[0]
        return Kept(removed, tuple(dropped), max(0, total - self._size))

    def _total(self) -> int:
        return total_size(self._store, take_inventory(self._store, measure=True))

    def _collect(self) -> tuple[int, int]:
        """Caches, down to the low mark; bytes that went, and bytes that the store takes then."""
        inventory = take_inventory(self._store, measure=True)
        rest = total_size(self._store, inventory) - inventory.size
        swept = collect(self._store, (Rule(max_used=max(1, self._low - rest)),), logs=self._size // 10)
        return swept.size, self._total()

    def _unused_names(self) -> list[str]:
        """Image names that no living process made or used, least recently used first."""
        since = horizon(self._store)
        found = [(image_used(self._store.blobs, name), name.reference) for name in self._store.images.list()]
        return [reference for used, reference in sorted(found) if used < since]
