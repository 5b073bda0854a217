"""Tells archives from other files by their content, as ADD does: whatever decompresses to a tar header."""

from __future__ import annotations

import os

import msgspec

from builder.errors import CorruptionError
from builder.fs.compress import decompress
from builder.fs.limits import DEFAULT, Limits
from builder.fs.tarread import read_tar


def sniff_archive(fd: int, limits: Limits = DEFAULT) -> bool:
    """Whether the file's content, plain or compressed, begins with an entry of a tar; an empty tar is not told from zeros.

    The descriptor's position is neither used nor moved; only the beginning is read.
    """
    capped = msgspec.structs.replace(limits, plain=min(limits.plain, 4 * limits.header))
    try:
        return next(read_tar(decompress(_At(fd), capped), capped, whiteouts=False), None) is not None
    except CorruptionError:
        return False


class _At:
    """A file read by position."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._at = 0

    def read(self, size: int = -1, /) -> bytes:
        data = os.pread(self._fd, 1 << 18 if size < 0 else size, self._at)
        self._at += len(data)
        return data
