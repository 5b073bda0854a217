"""Blobs by digest: a directory on disk or a dict in memory, every read verified.

On disk:

    <root>/sha256/<64 hex>       one blob, mode 0600, its mtime the time it was last used
    <ingest>/<random>            a blob being written

Rules. A blob is written to a temporary file, fsync'ed, renamed; so under its final name it is whole, and
two writers of one blob do not disturb each other. What a read returns is hashed on the way; a reader who
reads to the end gets CorruptionError instead of the end if the bytes are not what the name says. `has`,
`open` and `commit` touch the blob: garbage collection (`builder.store.collect`) takes none that was touched
since the oldest living lease began.
"""

from __future__ import annotations

import contextlib
import io
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Protocol

from builder.errors import CorruptionError, NotFoundError
from builder.oci.digest import Digest, digest_of, hex_of, parse_digest
from builder.oci.sha256 import large
from builder.store.arrivals import Arrivals
from builder.store.space import guard_space
from builder.store.verified import VerifiedReader as VerifiedReader
from builder.store.verified import corrupt_blob
from builder.store.writeback import WriteBack

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

CHUNK = 1 << 20
_WRITE = 1 << 17
"""ext4 takes a run of pages as long as the write, and where memory is in fragments the kernel first moves others away for it:
256 MB cost 0.1 to 1.0 s in pieces of 550 KB, always 0.1 in such (Linux 6.18)."""
SMALL = 1 << 16
"""Up to here a blob is read and hashed at one stroke: manifests and configs."""


class BlobWriter(Protocol):
    """One blob being written; leaving the context without `commit` throws it away."""

    def write(self, data: ReadableBuffer, /) -> int:
        """Appends; how many bytes that were."""
        ...

    def digest(self) -> Digest:
        """Of all that was written so far."""
        ...

    def commit(self, expected: Digest | None = None) -> tuple[Digest, int]:
        """Atomic, durable, idempotent when the blob is there already; CorruptionError if it is not `expected`."""
        ...

    def __enter__(self) -> BlobWriter: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None: ...


class BlobStore(Protocol):
    """Content-addressed bytes; safe to use from several threads and processes at once."""

    def size(self, digest: Digest) -> int | None:
        """Bytes of a blob, None when it is absent."""
        ...

    def open(self, digest: Digest) -> VerifiedReader:
        """NotFoundError when absent; CorruptionError at the end of wrong bytes."""
        ...

    def writer(self, arriving: Digest | None = None) -> BlobWriter:
        """A context manager that takes the bytes of one new blob; those of `arriving` may be read while they come."""
        ...

    def delete(self, digest: Digest) -> None:
        """Idempotent; readers that have it open read on."""
        ...

    def digests(self) -> Iterator[Digest]:
        """All of them, in sorted order."""
        ...

    def has(self, digest: Digest) -> bool:
        """Whether it is there, by name; the bytes are checked when read."""
        ...

    def read(self, digest: Digest, limit: int) -> bytes:
        """All bytes, verified; CorruptionError when there are more than `limit`."""
        ...

    def put(self, data: bytes) -> Digest:
        """Writes one small blob whole."""
        ...


def missing_blob(digest: Digest) -> NotFoundError:
    """The error for a blob that is not in the store."""
    return NotFoundError("blob-missing", f"blob {digest} is not in the store")


class _Shared:
    """What any store can do by its primitives."""

    def has(self: BlobStore, digest: Digest) -> bool:
        return self.size(digest) is not None

    def read(self: BlobStore, digest: Digest, limit: int) -> bytes:
        with self.open(digest) as reader:
            chunks: list[bytes] = []
            total = 0
            while chunk := reader.read(CHUNK):
                total += len(chunk)
                if total > limit:
                    raise CorruptionError("blob-too-large", f"blob {digest} has more than the {limit} bytes it may have")
                chunks.append(chunk)
        return b"".join(chunks)

    def put(self: BlobStore, data: bytes) -> Digest:
        with self.writer() as writer:
            writer.write(data)
            return writer.commit()[0]


class DirectoryBlobs(_Shared):
    """Blobs as files; `ingest` must be on the same file system (default: `<root>/ingest`)."""

    def __init__(self, root: Path, *, ingest: Path | None = None, clock: Callable[[], int] = time.time_ns) -> None:
        self.root = root
        self._directory = str(root / "sha256")
        self._ingest = str(ingest or root / "ingest")
        self._clock = clock
        self._written: dict[Digest, int] = {}
        """Blobs whose bytes were hashed here as they were written, with the time that their file then has."""
        self.arrivals = Arrivals()
        os.makedirs(self._directory, 0o700, exist_ok=True)
        os.makedirs(self._ingest, 0o700, exist_ok=True)

    def path(self, digest: Digest) -> str:
        """Where a blob lies; only a checked digest becomes a path (CVE-2024-3727)."""
        return os.path.join(self._directory, hex_of(parse_digest(digest)))

    def size(self, digest: Digest) -> int | None:
        path = self.path(digest)
        try:
            self._touch(path, digest)
            return os.stat(path, follow_symlinks=False).st_size
        except FileNotFoundError:
            return None

    def open(self, digest: Digest) -> VerifiedReader:
        fd = self._opened(digest)
        return VerifiedReader(open(fd, "rb", buffering=0), digest, known=digest in self._written)

    def _opened(self, digest: Digest) -> int:
        path = self.path(digest)
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            raise missing_blob(digest) from None
        self._touch(fd, digest)
        return fd

    def read(self, digest: Digest, limit: int) -> bytes:
        """As by a reader, small ones at one stroke."""
        with open(self._opened(digest), "rb", buffering=0) as file:
            data = file.read(min(SMALL, limit) + 1)
        if len(data) > min(SMALL, limit):
            return super().read(digest, limit)
        if digest_of(data) != digest:
            raise corrupt_blob(digest)
        return data

    def writer(self, arriving: Digest | None = None) -> BlobWriter:
        return _FileWriter(self, os.path.join(self._ingest, os.urandom(8).hex()), arriving)

    def delete(self, digest: Digest) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path(digest))

    def delete_unused(self, digest: Digest, used_ns: int) -> bool:
        """Deletes a blob that was not touched since `used_ns`; False when it was, or is not there.

        A touch between look and unlink would be lost, so it is renamed first, then looked at, and put back if touched.
        """
        path, aside = self.path(digest), os.path.join(self._ingest, os.urandom(8).hex())
        try:
            os.rename(path, aside)
        except FileNotFoundError:
            return False
        if os.stat(aside).st_mtime_ns <= used_ns:
            os.unlink(aside)
            return True
        with contextlib.suppress(FileExistsError):  # written anew meanwhile
            os.link(aside, path)
        os.unlink(aside)
        return False

    def digests(self) -> Iterator[Digest]:
        for name in sorted(os.listdir(self._directory)):
            if len(name) == 64:
                yield parse_digest("sha256:" + name)

    def _touch(self, where: str | int, digest: Digest) -> None:
        now = self._clock()
        # Where the time is not the one given here, somebody else touched the file, or wrote to it: its bytes are to be verified.
        if digest in self._written and os.stat(where).st_mtime_ns != self._written[digest]:
            del self._written[digest]
        with contextlib.suppress(PermissionError):  # a store that may only be read
            os.utime(where, ns=(now, now))
            if digest in self._written:
                self._written[digest] = now

    def adopt(self, temporary: str, digest: Digest) -> None:
        """Renames a finished temporary file to its final name."""
        path = self.path(digest)
        self._touch(temporary, digest)
        os.rename(temporary, path)
        self._written[digest] = os.stat(path).st_mtime_ns


class _FileWriter:
    def __init__(self, store: DirectoryBlobs, path: str, arriving: Digest | None) -> None:
        self._store = store
        self._path = path
        self._hash = large()
        self._size = 0
        with guard_space(store.root):
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._file = os.fdopen(fd, "r+b", buffering=0)
        self._behind = WriteBack(fd)
        self._arrival = None if arriving is None else store.arrivals.begin(arriving, fd)

    def write(self, data: ReadableBuffer, /) -> int:
        view = memoryview(data).cast("B")
        self._hash.update(view)
        with guard_space(self._store.root):
            rest = view
            while len(rest):
                rest = rest[self._file.write(rest[:_WRITE]) or 0 :]
        self._size += len(view)
        self._behind.grew(len(view))
        if self._arrival is not None:
            self._arrival.grew(len(view))
        return len(view)

    def digest(self) -> Digest:
        return Digest("sha256:" + self._hash.hexdigest())

    def commit(self, expected: Digest | None = None) -> tuple[Digest, int]:
        digest = self.digest()
        if expected is not None and digest != expected:
            raise CorruptionError("blob-digest", f"the bytes received for blob {expected} have the digest {digest}")
        # The size is compared too: a torn file of an older, unsynced time does not stand in the way of a whole one.
        if self._store.size(digest) != self._size:
            with guard_space(self._store.root):
                os.fsync(self._file.fileno())
                self._store.adopt(self._path, digest)
        self._end(whole=self._arrival is not None and digest == self._arrival.digest)
        self._file.close()
        return digest, self._size

    def _end(self, *, whole: bool) -> None:
        if self._arrival is not None:
            self._store.arrivals.end(self._arrival, whole=whole)

    def __enter__(self) -> _FileWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._end(whole=False)
        self._file.close()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path)


class MemoryBlobs(_Shared):
    """Blobs in memory, for tests and for what never touches the disk."""

    def __init__(self) -> None:
        self._blobs: dict[Digest, bytes] = {}
        self._lock = threading.Lock()

    def size(self, digest: Digest) -> int | None:
        data = self._blobs.get(parse_digest(digest))
        return None if data is None else len(data)

    def open(self, digest: Digest) -> VerifiedReader:
        data = self._blobs.get(parse_digest(digest))
        if data is None:
            raise missing_blob(digest)
        return VerifiedReader(io.BytesIO(data), digest)

    def writer(self, arriving: Digest | None = None) -> BlobWriter:
        return _MemoryWriter(self)

    def delete(self, digest: Digest) -> None:
        with self._lock:
            self._blobs.pop(parse_digest(digest), None)

    def digests(self) -> Iterator[Digest]:
        with self._lock:
            return iter(sorted(self._blobs))

    def place(self, digest: Digest, data: bytes) -> None:
        """Puts bytes under a name unchecked, as a faulty disk would."""
        with self._lock:
            self._blobs[digest] = data


class _MemoryWriter:
    def __init__(self, store: MemoryBlobs) -> None:
        self._store = store
        self._data = bytearray()

    def write(self, data: ReadableBuffer, /) -> int:
        view = memoryview(data).cast("B")
        self._data += view
        return len(view)

    def digest(self) -> Digest:
        return Digest("sha256:" + large(self._data).hexdigest())

    def commit(self, expected: Digest | None = None) -> tuple[Digest, int]:
        digest = self.digest()
        if expected is not None and digest != expected:
            raise CorruptionError("blob-digest", f"the bytes received for blob {expected} have the digest {digest}")
        self._store.place(digest, bytes(self._data))
        return digest, len(self._data)

    def __enter__(self) -> _MemoryWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._data.clear()
