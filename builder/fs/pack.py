"""Makes a layer blob of entries in one pass: tar, DiffID, compression and digest.

The caller's thread reads the files; the DiffID has a thread, compression all cores, the blob's digest and writing
one more. The bytes are the same whatever the number of threads and processors.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable
from typing import Protocol

import msgspec

from builder.fs.allocator import keep_freed_memory
from builder.fs.compress import Readable, compress
from builder.fs.entries import Entry
from builder.fs.lanes import Lane
from builder.fs.tarwrite import CHUNK, TarWriter
from builder.oci.digest import DiffID, Digest
from builder.oci.media import Compression

_LARGE = 1 << 24
"""Loading what keep_freed_memory needs costs as much as it gains with so many bytes."""

Opener = Callable[[], int]
"""Opens a regular file for reading; the caller of it closes the descriptor."""


class Packed(msgspec.Struct, frozen=True):
    """A layer blob that was written: its digests and sizes."""

    diff_id: DiffID
    digest: Digest
    size: int
    plain_size: int


class Sink(Protocol):
    """What takes a blob's bytes and knows their digest: a BlobWriter of the store."""

    def write(self, data: bytes, /) -> int:
        """Appends."""

    def digest(self) -> Digest:
        """Of all that was written so far."""


class Hashed:
    """A Sink of a plain function."""

    def __init__(self, out: Callable[[bytes], object]) -> None:
        self._out = out
        self._hash = hashlib.sha256()

    def write(self, data: bytes, /) -> int:
        """See Sink."""
        self._hash.update(data)
        self._out(data)
        return len(data)

    def digest(self) -> Digest:
        """See Sink."""
        return Digest("sha256:" + self._hash.hexdigest())


class _Pipeline:
    """Takes the plain tar in chunks of CHUNK."""

    def __init__(self, compression: Compression, level: int | None, out: Sink) -> None:
        self._out = out
        self._size = 0
        self._compressor = compress(compression, level, self._write)
        self._plain = hashlib.sha256()
        self._plain_size = 0
        # Uncompressed, the plain digest is the blob's, and is taken once.
        self._hashing = None if compression == "none" else Lane(self._plain.update)

    def write(self, chunk: bytes) -> None:
        self._plain_size += len(chunk)
        if self._plain_size >= _LARGE:
            keep_freed_memory()
        if self._hashing is not None:
            self._hashing.put(chunk)
        self._compressor.write(chunk)

    def finish(self) -> Packed:
        self._compressor.close()
        digest = self._out.digest()
        if self._hashing is None:
            return Packed(DiffID(digest), digest, self._size, self._plain_size)
        self._hashing.close()
        return Packed(DiffID("sha256:" + self._plain.hexdigest()), digest, self._size, self._plain_size)

    def _write(self, data: bytes) -> None:
        self._size += len(data)
        self._out.write(data)

    def abandon(self) -> None:
        self._compressor.stop()
        if self._hashing is not None:
            self._hashing.stop()


def pack(
    entries: Iterable[tuple[Entry, Opener | None]],
    compression: Compression,
    level: int | None,
    out: Sink | Callable[[bytes], object],
) -> Packed:
    """Writes the layer of these entries, in their order, to `out`, which is called from another thread, one at a time.

    Raises UsageError for an impossible level, and what opening, reading or `out` raise; what was written then is void.
    """
    pipeline = _Pipeline(compression, level, Hashed(out) if callable(out) else out)
    try:
        writer = TarWriter(pipeline.write)
        for entry, opener in entries:
            if opener is None or not entry.size:
                writer.add(entry)
                continue
            fd = opener()
            try:
                writer.add(entry, fd)
            finally:
                os.close(fd)
        writer.close()
        return pipeline.finish()
    finally:
        pipeline.abandon()


def repack(plain: Readable, compression: Compression, level: int | None, out: Sink | Callable[[bytes], object]) -> Packed:
    """Compresses a tar that is there already, byte for byte: another blob of the same DiffID."""
    pipeline = _Pipeline(compression, level, Hashed(out) if callable(out) else out)
    try:
        while chunk := plain.read(CHUNK):
            pipeline.write(chunk)
        return pipeline.finish()
    finally:
        pipeline.abandon()
