"""Directories beneath a root, opened one component at a time without following links; the recent ones stay open.

A handle closes when nobody holds it any more, so a thread may go on using one that the cache has dropped.
"""

from __future__ import annotations

import errno
import os
import threading
from collections import OrderedDict

from builder.fs.entries import encode_path

_ABSENT = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG})
_PATH = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Handle:
    """An open directory (O_PATH), closed with its last reference."""

    __slots__ = ("fd",)

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def __del__(self) -> None:
        os.close(self.fd)


def split(path: str) -> tuple[str, bytes]:
    """The parent and the last component's bytes; a component that could lead out of the tree is refused."""
    parent, _, name = path.rpartition("/")
    if name in ("", ".", "..") or path[0] == "/":
        raise ValueError(f"not a path inside a tree: {path!r}")
    return parent, encode_path(name)


class Directories:
    """The directories of one tree. `keep` 0: none but the root is remembered, for trees that change under us."""

    def __init__(self, root: str, keep: int = 32) -> None:
        self._root = Handle(os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC))
        self._keep = keep
        self._open: OrderedDict[str, Handle] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, path: str) -> Handle | None:
        """The directory at `path`; None when it is absent, or when it or a parent is something else, a link too."""
        if not path:
            return self._root
        with self._lock:
            handle = self._open.get(path)
            if handle is not None:
                self._open.move_to_end(path)
                return handle
        return self._walk(path)

    @property
    def root(self) -> Handle:
        """The directory itself."""
        return self._root

    def forget(self) -> None:
        """Drops what is remembered, after a directory was removed or replaced."""
        with self._lock:
            self._open.clear()

    def _walk(self, path: str) -> Handle | None:
        at, handle = self._deepest(path)
        while at != path:
            end = path.find("/", len(at) + 1 if at else 0)
            child = path if end < 0 else path[:end]
            _, name = split(child)
            try:
                handle = Handle(os.open(name, _PATH, dir_fd=handle.fd))
            except OSError as error:
                if error.errno in _ABSENT:
                    return None
                raise
            at = child
            self._remember(at, handle)
        return handle

    def _deepest(self, path: str) -> tuple[str, Handle]:
        with self._lock:
            while path:
                path = path.rpartition("/")[0]
                handle = self._open.get(path)
                if handle is not None:
                    return path, handle
        return "", self._root

    def _remember(self, path: str, handle: Handle) -> None:
        if not self._keep:
            return
        with self._lock:
            self._open[path] = handle
            self._open.move_to_end(path)
            while len(self._open) > self._keep:
                self._open.popitem(last=False)


def list_names(handle: Handle) -> list[bytes]:
    """The names in a directory, sorted bytewise; opened anew, for a descriptor's read position is shared between threads."""
    fd = os.open(b".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=handle.fd)
    try:
        return sorted(os.fsencode(name) for name in os.listdir(fd))
    finally:
        os.close(fd)
