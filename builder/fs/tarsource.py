"""The bytes under the tar reader: blocks from a stream, counted against the caps, and one entry's contents."""

from __future__ import annotations

import os

from builder.errors import CorruptionError
from builder.fs.compress import Readable
from builder.fs.limits import Limits

BLOCK = 512
_READ = 1 << 18
_ZEROS = bytes(_READ)

Segments = list[tuple[int, int]]
"""Offset and length of a sparse file's data, ascending."""


class TarError(CorruptionError):
    """An archive is broken, or larger than the caps allow."""


class Source:
    """A buffered stream."""

    def __init__(self, stream: Readable, limits: Limits) -> None:
        self._stream = stream
        self._most = limits.plain
        self._buffer = b""
        self._view = memoryview(b"")
        self._at = 0
        self._total = 0

    def block(self) -> bytes | None:
        """The next header block; None when the stream ends cleanly before it."""
        at = self._at
        if at + BLOCK <= len(self._buffer):
            self._at = at + BLOCK
            return self._buffer[at : at + BLOCK]
        if self._at == len(self._buffer) and not self._fill():
            return None
        return self.exactly(BLOCK)

    def exactly(self, size: int) -> bytes:
        """`size` bytes; raises TarError when the stream ends before."""
        if self._at + size <= len(self._buffer):
            data = self._buffer[self._at : self._at + size]
            self._at += size
            return data
        parts = []
        while size:
            part = self.some(size)
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def some(self, size: int) -> bytes:
        """At most `size` bytes, at least one; raises TarError at the stream's end."""
        if self._at == len(self._buffer) and not self._fill():
            raise TarError("tar-truncated", "an archive ends in the middle of an entry")
        data = self._buffer[self._at : self._at + size]
        self._at += len(data)
        return data

    def view(self, size: int) -> memoryview:
        """As `some`, but not copied."""
        if self._at == len(self._buffer) and not self._fill():
            raise TarError("tar-truncated", "an archive ends in the middle of an entry")
        data = self._view[self._at : self._at + size]
        self._at += len(data)
        return data

    def padded(self, size: int) -> bytes:
        """`size` bytes, and their padding to a whole block passed over."""
        data = self.exactly(size)
        self.skip(-size % BLOCK)
        return data

    def skip(self, size: int) -> None:
        """Passes over bytes."""
        while size > len(self._buffer) - self._at:
            size -= len(self.view(size))
        self._at += size

    def _fill(self) -> bool:
        self._buffer = self._stream.read(_READ)
        self._view = memoryview(self._buffer)
        self._at = 0
        self._total += len(self._buffer)
        if self._total > self._most:
            raise TarError("tar-too-large", f"an archive is larger than the limit of {self._most} bytes")
        return bool(self._buffer)


class Body:
    """One entry's contents, holes filled with zeros; to be read before the next entry is asked for."""

    __slots__ = ("_at", "_padding", "_segments", "_size", "_source", "_stored")

    def __init__(self, source: Source, stored: int, size: int, segments: Segments | None) -> None:
        self._source = source
        self._stored = stored
        self._padding = -stored % BLOCK
        self._size = size
        self._at = 0
        self._segments = None if segments is None else _checked(segments, stored, size)

    def read(self, size: int = -1, /) -> bytes:
        """At most `size` bytes, or all that is left; empty at the end."""
        if size < 0:
            return b"".join(iter(lambda: self.read(_READ), b""))
        if not size or self._at == self._size:
            return b""
        start, end = self._next()
        if self._at < start:
            data = _ZEROS[: min(size, start - self._at)]
        else:
            data = self._source.some(min(size, end - self._at))
            self._stored -= len(data)
        self._advance(len(data))
        return data

    def copy_to(self, fd: int) -> None:
        """Writes the contents into an empty file; holes stay holes."""
        while self._at < self._size:
            start, end = self._next()
            if self._at < start:
                os.lseek(fd, start - self._at, os.SEEK_CUR)
                self._advance(start - self._at)
                continue
            data = self._source.view(end - self._at)
            self._stored -= len(data)
            self._advance(len(data))
            while data:
                data = data[os.write(fd, data) :]
        if self._segments is not None:
            os.ftruncate(fd, self._size)

    def skip(self) -> None:
        """Passes over what is left."""
        left = self._stored + self._padding
        if left:
            self._source.skip(left)
        self._stored = self._padding = 0
        self._at = self._size

    def _next(self) -> tuple[int, int]:
        """The data stretch at or after the position; an empty one at the end when only a hole is left."""
        if self._segments is None:
            return 0, self._size
        return self._segments[-1] if self._segments else (self._size, self._size)

    def _advance(self, count: int) -> None:
        self._at += count
        if self._segments and self._at >= self._segments[-1][1]:
            self._segments.pop()


def _checked(segments: Segments, stored: int, size: int) -> Segments:
    """The stretches as start and end, the first one last; raises TarError unless they ascend, fit, and are all that is stored."""
    at = total = 0
    for offset, length in segments:
        if offset < at or length < 0 or offset + length > size:
            raise TarError("tar-corrupt", "an archive's sparse file has an impossible map")
        at = offset + length
        total += length
    if total > stored:
        raise TarError("tar-corrupt", "an archive's sparse file has more data than it stores")
    return [(offset, offset + length) for offset, length in reversed(segments) if length]
