"""A build context that is an archive: from standard input or a URL, unpacked beneath a private directory.

Whether a stream is an archive or a Dockerfile is told by its first bytes. Members are written by descriptors,
beneath the directory, through no link that leads out of it (builder.fs.upper); names like `.wh.x` mean nothing
here. Devices that may not be made are left out.
"""

from __future__ import annotations

import os
from pathlib import Path

from builder.errors import CorruptionError, LayerwrightError
from builder.fs.compress import Prefixed, Readable, decompress
from builder.fs.copytree import finish_file
from builder.fs.entries import Entry
from builder.fs.limits import DEFAULT, Limits
from builder.fs.tarread import Body, TarError, read_tar
from builder.fs.tree import DirTree, EmptyTree
from builder.fs.upper import Upper

HEAD = 512
_MAGICS = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd")


def read_context(stream: Readable, directory: Path, limit: int, limits: Limits = DEFAULT) -> DirTree | bytes:
    """An archive's files, unpacked into `directory` (an empty one of the caller's); or a Dockerfile's text, at most `limit` bytes."""
    head = _read(stream, HEAD)
    if looks_like_archive(head):
        unpack_context(Prefixed(head, stream), directory, limits)
        return DirTree(directory)
    rest = _read(stream, limit + 1 - len(head))
    if len(head) + len(rest) > limit:
        raise LayerwrightError(
            "stdin-too-large", f"what was given as a Dockerfile is larger than {limit} bytes", help="give an archive, or a Dockerfile"
        )
    return head + rest


def looks_like_archive(head: bytes) -> bool:
    """Whether these first bytes are of a compressed file or of a tar header whose checksum is right."""
    if head.startswith(_MAGICS):
        return True
    if len(head) < HEAD:
        return False
    try:
        return next(read_tar(Prefixed(head, _Nothing()), whiteouts=False), None) is not None
    except TarError as error:
        # An extended header comes first, and what it extends is not here yet.
        return error.code == "tar-truncated"


def unpack_context(stream: Readable, directory: Path, limits: Limits = DEFAULT) -> None:
    """Unpacks an archive in any of the five formats; raises CorruptionError for a broken one."""
    with Upper(str(directory), EmptyTree()) as upper:
        for entry, body in read_tar(decompress(stream, limits), limits, whiteouts=False):
            if entry.path and not (entry.kind == "char" and entry.major == entry.minor == 0):
                _write(upper, entry, body)


def _write(upper: Upper, entry: Entry, body: Body) -> None:
    try:
        if entry.kind != "file":
            upper.put(entry)
            return
        fd = upper.create(entry)
        try:
            body.copy_to(fd)
            finish_file(fd, entry)
        finally:
            os.close(fd)
    except PermissionError:
        if entry.kind not in ("char", "block"):
            raise
    except (OSError, ValueError, OverflowError) as error:
        raise LayerwrightError("context-unpack", f"the context's member {entry.path[:200]!r} cannot be unpacked: {error}") from None


def _read(stream: Readable, size: int) -> bytes:
    """`size` bytes, fewer only at the end; pipes give what they have."""
    data = bytearray()
    while len(data) < size:
        more = stream.read(size - len(data))
        if not more:
            break
        data += more
    return bytes(data)


class _Nothing:
    """A stream at its end."""

    def read(self, size: int = -1, /) -> bytes:
        """Nothing."""
        return b""


def youngest_file(stream: Readable, limits: Limits = DEFAULT) -> int | None:
    """The mtime in seconds of an archive's youngest regular file; None for what is no archive, or has no file."""
    found: int | None = None
    try:
        for entry, _ in read_tar(decompress(stream, limits), limits, whiteouts=False):
            if entry.kind == "file":
                found = max(found or 0, entry.mtime_ns // 1_000_000_000)
    except CorruptionError:
        return None
    return found
