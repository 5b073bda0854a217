"""The cache of this machine: records in the store's index, believed only while their layer is there."""

from __future__ import annotations

from builder.cache.keys import CacheKey
from builder.cache.records import Below, CacheRecord, decode_record, encode_record
from builder.snapshot.layers import LayerId, Layers
from builder.store.store import Store


class LocalCache:
    """CacheSource and CacheSink over a store; thread-safe."""

    def __init__(self, store: Store, layers: Layers) -> None:
        self._index = store.index
        self._layers = layers

    def lookup(self, key: CacheKey, below: Below) -> CacheRecord | None:
        """The record, its layer held from now on; None where the layer has been collected."""
        raw = self._index.get_record(key)
        record = decode_record(raw) if raw is not None else None
        if record is None or record.base != below.id:
            return None
        if record.layer is None:
            return record
        return record if self._layers.hold((LayerId(record.layer),)) else None

    def save(self, key: CacheKey, record: CacheRecord) -> None:
        """Replace what the key led to; a record whose layer was collected meanwhile is not kept."""
        self._index.put_record(key, encode_record(record), LayerId(record.layer) if record.layer is not None else None)
