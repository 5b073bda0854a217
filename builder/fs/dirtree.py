"""A plain directory as a tree: a build context, a git checkout, an unpacked archive."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator

from builder.fs.entries import Entry, decode_path
from builder.fs.handles import Directories, list_names, split
from builder.fs.inode import entry_at, entry_of, kept_xattrs, xattrs_at

ABSENT = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG})
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY


class DirTree:
    """The files of one directory; recently used directories stay open, so one that is replaced meanwhile may show as it was."""

    def __init__(self, path: str | os.PathLike[str], *, keep: int = 32) -> None:
        self.path = os.fspath(path)
        self._directories = Directories(self.path, keep)

    def stat(self, path: str) -> os.stat_result | None:
        """The inode at `path`; None when absent or when a parent is no directory."""
        if not path:
            return os.stat(self._root_fd())
        parent, name = split(path)
        handle = self._directories.get(parent)
        if handle is None:
            return None
        try:
            return os.stat(name, dir_fd=handle.fd, follow_symlinks=False)
        except OSError as error:
            if error.errno in ABSENT:
                return None
            raise

    def lstat(self, path: str) -> Entry | None:
        """See Tree."""
        st = self.stat(path)
        if st is None:
            return None
        if not stat.S_ISLNK(st.st_mode):
            return entry_of(path, st, bytes)
        parent, name = split(path)
        handle = self._directories.get(parent)
        try:
            return None if handle is None else entry_at(handle.fd, name, path, st)
        except OSError as error:
            if error.errno in ABSENT | {errno.EINVAL}:
                return None
            raise

    def names(self, path: str) -> tuple[str, ...]:
        """See Tree."""
        handle = self._directories.get(path)
        return () if handle is None else tuple(decode_path(name) for name in list_names(handle))

    def stats(self, path: str) -> list[tuple[str, os.stat_result]]:
        """What stat says of each entry of a directory, by name; FileNotFoundError when one vanishes meanwhile."""
        handle = self._directories.get(path)
        if handle is None:
            raise FileNotFoundError(errno.ENOENT, "no such directory in the tree", path)
        fd = os.open(b".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=handle.fd)
        try:
            with os.scandir(fd) as found:
                return sorted([(item.name, item.stat(follow_symlinks=False)) for item in found])
        finally:
            os.close(fd)

    def scan(self, path: str) -> Iterator[tuple[str, Entry, os.stat_result, tuple[tuple[str, bytes], ...]]]:
        """Each entry of a directory as names, lstat, stat and xattrs would tell, at a third of their cost."""
        handle = self._directories.get(path)
        prefix = path + "/" if path else ""
        for name in () if handle is None else list_names(handle):
            assert handle is not None
            text = decode_path(name)
            try:
                st = os.stat(name, dir_fd=handle.fd, follow_symlinks=False)
                yield text, entry_at(handle.fd, name, prefix + text, st), st, xattrs_at(handle.fd, name)
            except OSError as error:
                if error.errno not in ABSENT | {errno.EINVAL}:
                    raise

    def open(self, path: str) -> int:
        """See Tree."""
        handle = None
        if path:
            parent, name = split(path)
            handle = self._directories.get(parent)
        if handle is None:
            raise FileNotFoundError(errno.ENOENT, "no such file in the tree", path)
        return open_regular(handle.fd, name, path)

    def xattrs(self, path: str) -> tuple[tuple[str, bytes], ...]:
        """See Tree."""
        if not path:
            return kept_xattrs(b"/proc/self/fd/%d/." % self._root_fd())
        parent, name = split(path)
        handle = self._directories.get(parent)
        return () if handle is None else xattrs_at(handle.fd, name)

    def identity(self, path: str) -> tuple[int, int] | None:
        """See Tree."""
        st = self.stat(path)
        return None if st is None else identity_of(st)

    def move(self, path: str, dir_fd: int, name: bytes) -> None:
        """Renames what is at `path` to `name` in another open directory, which must be on the same file system."""
        parent, old = split(path)
        handle = self._directories.get(parent)
        if handle is None:
            raise FileNotFoundError(errno.ENOENT, "no such file in the tree", path)
        os.rename(old, name, src_dir_fd=handle.fd, dst_dir_fd=dir_fd)

    def _root_fd(self) -> int:
        root = self._directories.get("")
        assert root is not None
        return root.fd


def identity_of(st: os.stat_result) -> tuple[int, int] | None:
    """What the names of one hard-linked inode share; None for one with a single name, or a directory."""
    if st.st_nlink < 2 or stat.S_ISDIR(st.st_mode):
        return None
    return st.st_dev, st.st_ino


def open_regular(dir_fd: int, name: bytes, path: str) -> int:
    """A descriptor of a regular file; a FIFO or device planted in its place is never waited for nor read (CVE-2024-9676)."""
    try:
        fd = os.open(name, _OPEN, dir_fd=dir_fd)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO, errno.ENODEV):
            raise FileNotFoundError(errno.ENOENT, "not a regular file", path) from None
        raise
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise FileNotFoundError(errno.ENOENT, "not a regular file", path)
    return fd
