"""Caches one behind the other: this machine's, then each that was imported; what is found further away is kept near."""

from __future__ import annotations

from collections.abc import Sequence

from builder.cache.keys import CacheKey
from builder.cache.records import Below, CacheRecord, CacheSink, CacheSource


class TieredCache:
    """A CacheSource; `near` is asked first, and is given what only the others had."""

    def __init__(self, near: CacheSource, keep: CacheSink, far: Sequence[CacheSource]) -> None:
        self._near = near
        self._keep = keep
        self._far = tuple(far)

    def lookup(self, key: CacheKey, below: Below) -> CacheRecord | None:
        """The first that has it."""
        record = self._near.lookup(key, below)
        if record is not None:
            return record
        for source in self._far:
            record = source.lookup(key, below)
            if record is not None:
                self._keep.save(key, record)
                return record
        return None
