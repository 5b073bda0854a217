"""Reads a blob and says whether its bytes are what its digest says.

Reading hashes on the way, so who reads to the end has either the right bytes or CorruptionError in place of the end.
"""

from __future__ import annotations

import errno
import io
import os
import threading
from typing import TYPE_CHECKING, BinaryIO

from builder.errors import CorruptionError
from builder.oci.digest import Digest, hex_of
from builder.oci.sha256 import large
from builder.store.writeback import WriteBack

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

CHUNK = 1 << 20
_COPY = 1 << 24
_NO_RANGE = frozenset({errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM})
"""copy_file_range(2): another file system, or one that has no such call."""


def corrupt_blob(digest: Digest) -> CorruptionError:
    """The error for bytes that are not what their name says."""
    return CorruptionError("blob-corrupt", f"the bytes of blob {digest} do not have that digest", help="run `layerwright fsck --repair`")


class VerifiedReader(io.RawIOBase):
    """The bytes of a blob; CorruptionError in place of the end when they are not what its digest says."""

    def __init__(self, raw: BinaryIO, digest: Digest, *, known: bool = False) -> None:
        super().__init__()
        self._raw = raw
        self._digest = digest
        self._known = known
        self._hash = large()
        self.verified = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        view = memoryview(buffer).cast("B")
        if not len(view):
            return 0
        count = self._raw.readinto(view)  # type: ignore[attr-defined]
        assert isinstance(count, int)
        if count:
            self._hash.update(view[:count])
        elif not self.verified:
            self._check()
        return count

    def drain(self) -> None:
        """Reads the rest, so that the blob is verified as a whole."""
        buffer = bytearray(CHUNK)
        while self.readinto(buffer):
            pass

    @property
    def is_file(self) -> bool:
        """Whether `copy_to` can be used."""
        return isinstance(self._raw, io.FileIO)

    def copy_to(self, target: int) -> int:
        """Copies all of the blob to where a file's descriptor stands, by the kernel where it can; how many bytes that were.

        A blob whose bytes this process hashed as it wrote them (`known`) is not read again. Any other is read and
        hashed by a thread while the kernel copies it.
        """
        source = self._raw.fileno()
        checking = None
        if not self._known:
            checking = threading.Thread(target=self._hash_file, args=(source,), name="verify")
            checking.start()
        try:
            size = _copy_range(source, target)
        finally:
            if checking is not None:
                checking.join()
        if checking is not None:
            self._check()
        return size

    def _hash_file(self, source: int) -> None:
        buffer, at = bytearray(CHUNK), 0
        view = memoryview(buffer)
        while count := os.preadv(source, (buffer,), at):
            self._hash.update(view[:count])
            at += count

    def _check(self) -> None:
        if self._hash.hexdigest() != hex_of(self._digest):
            raise corrupt_blob(self._digest)
        self.verified = True

    def close(self) -> None:
        if not self.closed:
            self._raw.close()
        super().close()

    def __enter__(self) -> VerifiedReader:
        return self


def _copy_range(source: int, target: int) -> int:
    at, behind = 0, WriteBack(target, os.lseek(target, 0, os.SEEK_CUR))
    while True:
        try:
            count = os.copy_file_range(source, target, _COPY, at)
        except OSError as error:
            if error.errno not in _NO_RANGE:
                raise
            data = os.pread(source, CHUNK, at)
            count = os.write(target, data) if data else 0
        if not count:
            return at
        at += count
        behind.grew(count)
