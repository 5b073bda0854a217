"""Digests of files' contents, remembered by what stat says of a file, and computed by threads where it is new.

A remembered digest counts while device, inode, size, mtime and ctime (both in ns) are the same. ctime cannot be
set, so a write that keeps size and mtime still shows. The racy-clean rule of git (Documentation/technical/
racy-git.txt): a file that changed just before it was hashed could change again within one tick of the file
system's clock and look the same, so its digest is used but not remembered.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import msgspec

from builder.context.ignore import IgnoredTree
from builder.errors import LayerwrightError
from builder.fs.tree import DirTree, Tree
from builder.oci.sha256 import large
from builder.store.index import FileDigest

RACY_NS = 2_000_000_000
"""The coarsest clock of a file system that builds happen on: FAT's two seconds."""

_BLOCK = 1 << 20
"""Files up to this size are read at once."""
_PIECE = 1 << 18
"""Read and hashed at a time, in the processor's own cache: 512 MB by two threads cost 0.55 s, in pieces of 1 MiB 0.62, of 128 KiB 0.59."""
_LARGE = 1 << 20


class Inode(msgspec.Struct, frozen=True, gc=False):
    """What counts of an os.stat_result, in a third of its memory: there may be one for each file of a context."""

    st_dev: int
    st_ino: int
    st_size: int
    st_mtime_ns: int
    st_ctime_ns: int


Stat = os.stat_result | Inode


def inode_of(st: os.stat_result) -> Inode:
    """A stat result to keep."""
    return Inode(st.st_dev, st.st_ino, st.st_size, st.st_mtime_ns, st.st_ctime_ns)


_BATCH = 8192
"""Files whose rows are held at a time: of 100,000 at once they took 110 MiB, so 35."""


class DigestStore(Protocol):
    """Where digests are remembered; builder.store.index.Index is one. Losing rows costs time, nothing else."""

    def get_file_digests(self, keys: Iterable[tuple[int, int]]) -> dict[tuple[int, int], FileDigest]:
        """The rows of (device, inode) that are known."""

    def put_file_digests(self, rows: Sequence[FileDigest]) -> None:
        """Remember these, in place of older rows of the same keys."""


class FileDigests:
    """Digests of regular files of any tree; thread-safe."""

    def __init__(self, store: DigestStore | None, *, clock: Callable[[], int] = time.time_ns, threads: int | None = None) -> None:
        self._store = store
        self._clock = clock
        self._threads = threads or min(8, os.cpu_count() or 1)

    def of(self, tree: Tree, paths: Sequence[str], seen: Sequence[Stat | None] = ()) -> list[str]:
        """The sha256, as hex, of each file's bytes; `seen` is what stat just said of them, where that is known."""
        given = seen if seen and None not in seen else None
        found: list[str] = []
        for at in range(0, len(paths), _BATCH):
            some = paths[at : at + _BATCH]
            found += self._some(tree, some, _stats(tree, some) if given is None else given[at : at + _BATCH])
        return found

    def _some(self, tree: Tree, paths: Sequence[str], stats: Sequence[Stat | None]) -> list[str]:
        known = self._known(stats)
        found: list[str | None] = [_match(known, st) for st in stats]
        rows = self._fill(tree, paths, stats, found)
        if rows and self._store is not None:
            self._store.put_file_digests(rows)
        return [digest for digest in found if digest is not None]

    def _fill(
        self, tree: Tree, paths: Sequence[str], stats: Sequence[Stat | None], found: list[str | None]
    ) -> list[FileDigest]:
        """Hashes what is not known: large files by threads, small ones here (a thread's switch costs more than they do)."""
        missing = [index for index, digest in enumerate(found) if digest is None]
        large = [index for index in missing if (st := stats[index]) is not None and st.st_size >= _LARGE]
        hashed: dict[int, tuple[str, FileDigest | None]] = {}
        if len(large) < 2 or self._threads < 2:
            hashed.update((index, self._hash_one(tree, paths[index])) for index in missing)
        else:
            from concurrent.futures import ThreadPoolExecutor  # loads logging, 5 ms that an unchanged context need not pay

            with ThreadPoolExecutor(min(self._threads, len(large)), thread_name_prefix="digest") as pool:
                waiting = {index: pool.submit(self._hash_one, tree, paths[index]) for index in large}
                hashed.update((index, self._hash_one(tree, paths[index])) for index in missing if index not in waiting)
                hashed.update((index, future.result()) for index, future in waiting.items())
        for index, (digest, _) in hashed.items():
            found[index] = digest
        return [row for _, row in hashed.values() if row is not None]

    def _known(self, stats: Sequence[Stat | None]) -> dict[tuple[int, int], FileDigest]:
        if self._store is None:
            return {}
        return self._store.get_file_digests((st.st_dev, st.st_ino) for st in stats if st is not None)

    def _hash_one(self, tree: Tree, path: str) -> tuple[str, FileDigest | None]:
        now = self._clock()
        try:
            fd = tree.open(path)
        except OSError as error:
            raise unreadable(path, error) from error
        try:
            before = os.fstat(fd)
            digest = _digest(fd, before.st_size)
            after = os.fstat(fd)
        except OSError as error:
            raise unreadable(path, error) from error
        finally:
            os.close(fd)
        settled = before.st_ctime_ns == after.st_ctime_ns and before.st_size == after.st_size
        racy = after.st_mtime_ns > now - RACY_NS or after.st_ctime_ns > now - RACY_NS
        return digest, _row(after, digest) if settled and not racy else None


def unreadable(path: str, error: OSError) -> LayerwrightError:
    """A file of the context that cannot be read."""
    if isinstance(error, FileNotFoundError):
        return LayerwrightError("context-changed", f'"/{path}" vanished while the build read it', help="build again")
    return LayerwrightError(
        "context-unreadable", f'"/{path}" cannot be read: {error.strerror}', help="change its permissions, or exclude it in .dockerignore"
    )


def _digest(fd: int, size: int) -> str:
    if size <= _BLOCK:
        data = os.read(fd, size + 1)  # not more: the buffer is made anew each time
        if len(data) <= size:
            return large(data).hexdigest()
        os.lseek(fd, 0, os.SEEK_SET)
    state = large()
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_SEQUENTIAL)
    buffer = bytearray(_PIECE)
    view = memoryview(buffer)
    while count := os.readv(fd, [buffer]):
        state.update(view[:count])
    return state.hexdigest()


def _stats(tree: Tree, paths: Sequence[str]) -> list[os.stat_result | None]:
    """By stat where the tree is a directory; elsewhere through a descriptor."""
    plain = tree.unfiltered if isinstance(tree, IgnoredTree) else tree
    if isinstance(plain, DirTree):
        return [plain.stat(path) for path in paths]
    return [_stat_open(plain, path) for path in paths]


def _stat_open(tree: Tree, path: str) -> os.stat_result | None:
    try:
        fd = tree.open(path)
    except OSError:
        return None
    try:
        return os.fstat(fd)
    finally:
        os.close(fd)


def _match(known: dict[tuple[int, int], FileDigest], st: Stat | None) -> str | None:
    row = None if st is None else known.get((st.st_dev, st.st_ino))
    if row is None or st is None:
        return None
    same = row.ctime_ns == st.st_ctime_ns and row.mtime_ns == st.st_mtime_ns and row.size == st.st_size
    return row.digest if same else None


def _row(st: os.stat_result, digest: str) -> FileDigest:
    return FileDigest(st.st_dev, st.st_ino, st.st_size, st.st_mtime_ns, st.st_ctime_ns, digest)


class MemoryDigests(msgspec.Struct):
    """A DigestStore that forgets with the process."""

    rows: dict[tuple[int, int], FileDigest] = {}

    def get_file_digests(self, keys: Iterable[tuple[int, int]]) -> dict[tuple[int, int], FileDigest]:
        """See DigestStore."""
        return {key: self.rows[key] for key in keys if key in self.rows}

    def put_file_digests(self, rows: Sequence[FileDigest]) -> None:
        """See DigestStore."""
        self.rows.update(((row.device, row.inode), row) for row in rows)
