"""Follows the frames of a zstd stream, to tell a stream that was cut from one that ended (RFC 8878, section 3.1).

zstandard's stream reader takes the end of its input for the end of the stream wherever it comes.
"""

from __future__ import annotations

from collections.abc import Callable

from builder.errors import CorruptionError

_SKIPPABLE = range(0x184D2A50, 0x184D2A60)
_DICTIONARY = (0, 1, 2, 4)
_CONTENT_SIZE = (0, 2, 4, 8)


class FrameWatch:
    """A stream that passes bytes through, and raises CorruptionError where it ends inside a frame.

    It looks only at what tells lengths; what is wrong with them is the decoder's to find.
    """

    def __init__(self, read: Callable[[int], bytes]) -> None:
        self._read = read
        self._held = b""
        self._skip = 0
        self._checksum = False
        self._step: Callable[[], bool] = self._magic

    def read(self, size: int = -1, /) -> bytes:
        """As the stream underneath."""
        data = self._read(size)
        if not data and (self._skip or self._held or self._step != self._magic):
            raise CorruptionError("archive-truncated", "zstd data end in the middle")
        self._follow(data)
        return data

    def _follow(self, data: bytes) -> None:
        if self._skip >= len(data):
            self._skip -= len(data)
            return
        self._held += data[self._skip :]
        self._skip = 0
        while not self._skip and self._step():
            pass

    def _take(self, size: int) -> bytes:
        data, self._held = self._held[:size], self._held[size:]
        return data

    def _pass(self, size: int) -> None:
        have = min(size, len(self._held))
        self._held = self._held[have:]
        self._skip = size - have

    def _magic(self) -> bool:
        if len(self._held) < 8:
            return False
        magic = int.from_bytes(self._held[:4], "little")
        if magic in _SKIPPABLE:
            self._pass(8 + int.from_bytes(self._held[4:8], "little"))
            return True
        descriptor = self._held[4]
        single = bool(descriptor & 0x20)
        self._checksum = bool(descriptor & 4)
        size = _CONTENT_SIZE[descriptor >> 6] or single
        self._pass(5 + (not single) + _DICTIONARY[descriptor & 3] + size)
        self._step = self._block
        return True

    def _block(self) -> bool:
        if len(self._held) < 3:
            return False
        header = int.from_bytes(self._take(3), "little")
        # A block of type 1 repeats its one byte as often as its size says.
        self._pass(1 if header >> 1 & 3 == 1 else header >> 3)
        if header & 1:
            self._step = self._end
        return True

    def _end(self) -> bool:
        self._step = self._magic
        if self._checksum:
            self._pass(4)
        return True
