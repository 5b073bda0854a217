"""Image names: which manifest or index a reference means in this store."""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec

from builder.oci.manifest import Descriptor
from builder.store.database import Database

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Descriptor).decode


class ImageName(msgspec.Struct, frozen=True):
    """A name, what it means, and since when (ns since the epoch)."""

    reference: str
    descriptor: Descriptor
    updated_ns: int


class ImageNames:
    """A table of names; each method is atomic. What a name means is kept by garbage collection."""

    def __init__(self, database: Database, clock: Callable[[], int] = time.time_ns) -> None:
        self._database = database
        self._clock = clock

    def get(self, reference: str) -> Descriptor | None:
        """None when there is no such name."""
        row = self._database.row("SELECT descriptor FROM images WHERE reference = ?", (reference,))
        return None if row is None else _decode(row[0])

    def set(self, reference: str, descriptor: Descriptor) -> None:
        """Adds the name or moves it; what it meant before stays in the store without a name."""
        self._database.execute("INSERT OR REPLACE INTO images VALUES (?, ?, ?)", (reference, _encode(descriptor), self._clock()))

    def delete(self, reference: str) -> bool:
        """Whether the name was there; its blobs go with the next garbage collection."""
        return bool(self._database.execute("DELETE FROM images WHERE reference = ?", (reference,)))

    def list(self) -> tuple[ImageName, ...]:
        """All names, sorted."""
        rows = self._database.rows("SELECT reference, descriptor, updated_ns FROM images ORDER BY reference")
        return tuple(ImageName(reference, _decode(raw), updated) for reference, raw, updated in rows)
