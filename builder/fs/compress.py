"""Compression of layers on all cores, and decompression of whatever comes, by its magic bytes.

Compressed bytes depend on nothing but the plain bytes, the compression, the level and the library: not on how many
threads made them, nor on the pieces that the input came in. gzip levels: 1 and 2 (the default) are isal's, 0 (stored)
and 3 to 9 zlib's (builder.fs.gzipwrite). zstd levels are 1 to 22 (3), with 0 for the default, as the zstd command has it.
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable
from typing import Any, Protocol

import zstandard
from isal import isal_zlib

from builder.errors import CorruptionError, UsageError
from builder.fs.gzipwrite import GzipWriter, threads
from builder.fs.lanes import Lane
from builder.fs.limits import DEFAULT, Limits
from builder.fs.zstdframes import FrameWatch
from builder.oci.media import Compression

CHUNK = 1 << 20
GZIP_LEVEL = 2
ZSTD_LEVEL = 3
_ZSTD_JOB = 1 << 21
_ZSTD_LARGE_JOB = 1 << 23
_READ = 1 << 18
# isal's C module defines its error without a stub that says it is a class.
_ISAL_ERROR: Any = isal_zlib.error
_BROKEN = (zlib.error, _ISAL_ERROR, OSError, lzma.LZMAError, EOFError, ValueError)


class Compressor(Protocol):
    """What `compress` gives: bytes in, compressed bytes to the sink."""

    def write(self, data: bytes) -> None:
        """Takes plain bytes; raises what compressing or the sink raised for earlier ones."""

    def close(self) -> None:
        """Writes what is left and the end of the stream; does not close the sink."""

    def stop(self) -> None:
        """Ends the threads of a stream that is given up; nothing after `close`. Raises nothing."""


class Readable(Protocol):
    """The one method of a binary stream that is used here."""

    def read(self, size: int = -1, /) -> bytes:
        """At most `size` bytes; empty at the end only."""


def check_level(compression: Compression, level: int | None) -> None:
    """Raises UsageError for a level that this compression does not have."""
    top = {"none": 0, "gzip": 9, "zstd": 22}[compression]
    if level is not None and not 0 <= level <= top:
        raise UsageError("compression-level", f"{compression} has no level {level}", help=f"levels go from 0 to {top}")


def compress(compression: Compression, level: int | None, sink: Callable[[bytes], object]) -> Compressor:
    """A compressor that hands its output to `sink`, in order, from another thread; raises UsageError for an impossible level."""
    check_level(compression, level)
    if compression == "gzip":
        return GzipWriter(GZIP_LEVEL if level is None else level, sink)
    if compression == "zstd":
        return _Zstd(level or ZSTD_LEVEL, sink)
    return _Plain(sink)


class _Plain:
    def __init__(self, sink: Callable[[bytes], object]) -> None:
        self._lane = Lane(sink)
        self.write = self._lane.put
        self.close = self._lane.close
        self.stop = self._lane.stop


class _Zstd:
    """One frame, by zstd's own threads.

    They cut the input into jobs by size alone, so one of them gives the same bytes as many (but other ones than
    none, which is what threads=0 means). Measured with jobs of 2 MiB beside a single thread's stream: 0.4 % smaller.
    What comes out has a thread of its own, for zstd begins a job only when it is called: 512 MB took 1.63 s while
    the caller hashed and wrote in between, 1.34 s now.
    """

    def __init__(self, level: int, sink: Callable[[bytes], object]) -> None:
        self._job = _ZSTD_JOB if level < 10 else _ZSTD_LARGE_JOB
        parameters = zstandard.ZstdCompressionParameters.from_level(level, threads=threads(), job_size=self._job, write_checksum=True)
        self._stream = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
        self._size = 0
        self._sinking = Lane(sink)
        self._lane = Lane(self._compress, 2)
        self.write = self._lane.put

    def _compress(self, data: bytes) -> None:
        self._size += len(data)
        self._pass_on(self._stream.compress(data))

    def _pass_on(self, out: bytes) -> None:
        if out:
            self._sinking.put(out)

    def close(self) -> None:
        self._lane.close()
        if self._size and not self._size % self._job:
            # Where the last job is a full one, it depends on how far the others were whether it had begun by now. Then an
            # empty block ends the frame (ZSTDMT_createCompressionJob: "table is full"); so that it always does, it begins here.
            self._pass_on(self._stream.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK))
        self._pass_on(self._stream.flush())
        self._sinking.close()

    def stop(self) -> None:
        self._lane.stop()
        self._sinking.stop()


def decompress(stream: Readable, limits: Limits = DEFAULT) -> Readable:
    """The plain bytes of a stream, by its magic: gzip, zstd, bzip2, xz, or as they are.

    Reading raises CorruptionError for broken or cut data. Output is made as it is asked for, so a bomb costs
    its reader nothing; the reader caps how much it takes. `limits` bounds the decoders' own memory.
    """
    head = _exactly(stream, 6)
    source = Prefixed(head, stream)
    if head.startswith(b"\x1f\x8b"):
        return _Members(source, "gzip", lambda: isal_zlib.decompressobj(31), b"\x1f\x8b")
    if head.startswith(b"BZh"):
        return _Members(source, "bzip2", bz2.BZ2Decompressor, b"BZh")
    if head.startswith(b"\xfd7zXZ\x00"):
        return _Members(source, "xz", lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=limits.xz_memory), b"\xfd7zXZ\x00")
    if head.startswith(b"\x28\xb5\x2f\xfd") or (head[1:4] == b"\x2a\x4d\x18" and 0x50 <= head[0] <= 0x5F):
        reader = zstandard.ZstdDecompressor(max_window_size=limits.zstd_window)
        return _Zstandard(reader.stream_reader(FrameWatch(source.read), read_size=_READ, read_across_frames=True))  # type: ignore[arg-type]
    return source


def _exactly(stream: Readable, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = stream.read(size - len(data))
        if not more:
            break
        data += more
    return data


class Prefixed:
    """A stream with the bytes put back that were read to look at them."""

    def __init__(self, head: bytes, rest: Readable) -> None:
        self._head = head
        self._rest = rest

    def read(self, size: int = -1, /) -> bytes:
        """The next bytes."""
        if not self._head:
            return self._rest.read(size)
        head, self._head = self._head, b""
        if size < 0:
            return head + self._rest.read(size)
        head, self._head = head[:size], head[size:]
        return head


class _Members:
    """gzip, bzip2 and xz: any number of members, one after another; zero bytes after the last are padding."""

    def __init__(self, source: Readable, name: str, make: Callable[[], Any], magic: bytes) -> None:
        self._source = source
        self._name = name
        self._make = make
        self._magic = magic
        self._decoder = make()
        self._input = b""
        self._ended = False

    def read(self, size: int = -1, /) -> bytes:
        if size < 0:
            return b"".join(iter(lambda: self.read(_READ), b""))
        while not self._ended and size:
            if self._decoder.eof:
                self._next_member()
                continue
            out = self._step(size)
            if out:
                return out
        return b""

    def _step(self, size: int) -> bytes:
        needs = getattr(self._decoder, "needs_input", not self._input)
        if needs and not self._input:
            self._input = self._source.read(_READ)
            if not self._input:
                raise CorruptionError("archive-truncated", f"{self._name} data end in the middle")
        try:
            out: bytes = self._decoder.decompress(self._input, size)
        except _BROKEN as error:
            raise CorruptionError("archive-corrupt", f"{self._name} data cannot be decompressed: {error}") from None
        tail: bytes = getattr(self._decoder, "unconsumed_tail", b"")
        self._input = self._decoder.unused_data if self._decoder.eof else tail
        return out

    def _next_member(self) -> None:
        held = self._input.lstrip(b"\0") or self._source.read(_READ).lstrip(b"\0")
        while not held:
            more = self._source.read(_READ)
            if not more:
                self._ended = True
                return
            held = more.lstrip(b"\0")
        held += _exactly(self._source, len(self._magic) - len(held)) if len(held) < len(self._magic) else b""
        if not held.startswith(self._magic):
            raise CorruptionError("archive-corrupt", f"{self._name} data are followed by something else")
        self._decoder = self._make()
        self._input = held


class _Zstandard:
    def __init__(self, reader: Any) -> None:
        self._reader = reader

    def read(self, size: int = -1, /) -> bytes:
        try:
            data: bytes = self._reader.read(size)
        except zstandard.ZstdError as error:
            raise CorruptionError("archive-corrupt", f"zstd data cannot be decompressed: {error}") from None
        return data
