"""Writes one gzip member, its blocks compressed on all cores.

Each block of BLOCK plain bytes is raw deflate of its own, ended by a sync flush (an empty stored block, which ends on
a byte); after the last comes an empty final block, then the CRC, combined of the blocks', and the size: what pigz
writes (RFC 1951, 3.2.4; zlib's manual, Z_SYNC_FLUSH). The header has no name and no time.

What a block becomes depends on nothing but its bytes, the level and the library: it is cut by size alone, whatever
pieces the input comes in, and looks at nothing before it. Without the 32 KiB before it isal's output grows by 0.3 %
(17 MB of Python sources), by 0.1 % (24 MB of programs).

isal never begins a stream without history. There it enters the third position into its table of matches under the hash
of whatever a register holds (the state's address), so equal data in another place in memory can find another match:
512 MB of text and noise came out with two different lengths in one run of seven (ISA-L 2.32, level 1 and 2, .write_first_byte of
igzip_icf_body_h1_gr_bt.asm). So the first bytes of a block are stored, and are the dictionary of the rest.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from isal import isal_zlib

from builder.fs.lanes import Lane

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

BLOCK = 1 << 20
MOST_THREADS = 8
"""The one SHA-256 of the tar is as fast as two to five compressors; more would only hold more memory."""
_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
_HISTORY = 16
"""Bytes at the start of each block that are stored; 8 to 512 gave the same bytes whatever was in memory."""
_LAST_BLOCK = b"\x03\x00"
"""A final deflate block of nothing, by the fixed codes."""


def threads() -> int:
    """How many threads compress one stream."""
    return min(MOST_THREADS, len(os.sched_getaffinity(0)))


class _Squeezed(NamedTuple):
    """One block, compressed; `crc` and `size` are of its plain bytes."""

    data: bytes
    crc: int
    size: int


class GzipWriter:
    """See builder.fs.compress.Compressor. Levels 1 and 2 are isal's, 0 and 3 to 9 zlib's.

    Blocks that are being compressed, wait for it or wait for the sink are as many as the joining lane is deep, so
    memory is bounded. A full block is held until there is more: a stream of one block needs no thread.
    """

    def __init__(self, level: int, sink: Callable[[bytes], object]) -> None:
        self._level = level
        # isal's level 3 gives other bytes on other processors.
        self._deflated = self._by_isal if level in (1, 2) else self._by_zlib
        self._sink = sink
        self._threads = threads()
        self._pool: ThreadPoolExecutor | None = None
        self._joining = Lane(self._join_future, self._threads + 1)
        self._held: list[bytes] = []
        self._room = BLOCK
        self._crc = 0
        self._size = 0
        sink(_HEADER)

    def write(self, data: bytes) -> None:
        at = 0
        while at < len(data):
            if not self._room:
                self._submit()
            part = data if not at and len(data) <= self._room else data[at : at + self._room]
            self._held.append(part)
            self._room -= len(part)
            at += len(part)

    def close(self) -> None:
        if self._pool is not None:
            self._submit()
            self._joining.close()
            self.stop()
        elif self._held:
            self._join(self._squeeze(self._taken()))
        self._sink(_LAST_BLOCK + self._crc.to_bytes(4, "little") + (self._size & 0xFFFFFFFF).to_bytes(4, "little"))

    def stop(self) -> None:
        self._joining.stop()
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None

    def _submit(self) -> None:
        if self._pool is None:
            from concurrent.futures import ThreadPoolExecutor

            self._pool = ThreadPoolExecutor(self._threads, "compress")
        self._joining.put(self._pool.submit(self._squeeze, self._taken()))

    def _taken(self) -> bytes:
        held, self._held, self._room = self._held, [], BLOCK
        return held[0] if len(held) == 1 else b"".join(held)

    def _squeeze(self, plain: bytes) -> _Squeezed:
        return _Squeezed(self._deflated(plain), isal_zlib.crc32(plain), len(plain))

    def _by_isal(self, plain: bytes) -> bytes:
        head = plain[:_HISTORY]
        deflate: Any = isal_zlib.compressobj(self._level, zlib.DEFLATED, -15, zlib.DEF_MEM_LEVEL, zlib.Z_DEFAULT_STRATEGY, head)
        stored = b"\0" + len(head).to_bytes(2, "little") + (len(head) ^ 0xFFFF).to_bytes(2, "little") + head
        return b"".join((stored, deflate.compress(memoryview(plain)[_HISTORY:]), deflate.flush(zlib.Z_SYNC_FLUSH)))

    def _by_zlib(self, plain: bytes) -> bytes:
        deflate = zlib.compressobj(self._level, zlib.DEFLATED, -15)
        return deflate.compress(plain) + deflate.flush(zlib.Z_SYNC_FLUSH)

    def _join_future(self, block: Future[_Squeezed]) -> None:
        self._join(block.result())

    def _join(self, block: _Squeezed) -> None:
        self._crc = isal_zlib.crc32_combine(self._crc, block.crc, block.size)
        self._size += block.size
        self._sink(block.data)
