"""What a key leads to: the layer a step made, on which root, and when; and where such records are kept."""

from __future__ import annotations

from typing import Protocol

import msgspec

from builder.cache.keys import CacheKey
from builder.snapshot.layers import LayerId


class CacheRecord(msgspec.Struct, frozen=True):
    """A step's outcome. `layer` None: the step left the root as it was. `base` is the result id it stands on,
    so a record is a hit only on the very root it was made on. `created` is RFC 3339; `duration_ns` what it took.
    `keys` has the content key without the root: it leads to the same outcome on every machine where the root is the same.
    """

    layer: str | None
    base: str
    created: str
    duration_ns: int = 0
    keys: tuple[str, ...] = ()


class Below(Protocol):
    """The root that a step stands on: its layers, lowest first, and its result id."""

    @property
    def layers(self) -> tuple[LayerId, ...]: ...

    @property
    def id(self) -> str: ...


class CacheSource(Protocol):
    """Where records are looked up."""

    def lookup(self, key: CacheKey, below: Below) -> CacheRecord | None:
        """The record of this key on this root, in terms of this store; idempotent, thread-safe.

        None when absent, when it was made on another root, or when what it names is gone. Never raises for a
        cache that is broken or out of reach. The record's layer is held from then on.
        """
        ...


class CacheSink(Protocol):
    """Where records are saved. Atomic a record; a later one under the same key replaces it."""

    def save(self, key: CacheKey, record: CacheRecord) -> None: ...


class MemoryCache:
    """Records in memory: for tests, and for builds that keep nothing."""

    def __init__(self) -> None:
        self._records: dict[CacheKey, CacheRecord] = {}

    def lookup(self, key: CacheKey, below: Below) -> CacheRecord | None:
        """The record under this key, if it stands on this root."""
        record = self._records.get(key)
        return record if record is not None and record.base == below.id else None

    def save(self, key: CacheKey, record: CacheRecord) -> None:
        """Keep the record."""
        self._records[key] = record


def encode_record(record: CacheRecord) -> bytes:
    """The bytes kept in an index."""
    return msgspec.msgpack.encode(record)


def decode_record(raw: bytes) -> CacheRecord | None:
    """A record of this version; None for bytes of another one, which are then simply no hit."""
    try:
        return msgspec.msgpack.decode(raw, type=CacheRecord)
    except msgspec.DecodeError:
        return None
