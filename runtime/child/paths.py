"""Paths inside a root, resolved as a chroot would, without ever leaving it: descriptors, never host paths.

Rules:
- A link is followed inside the root only: an absolute one starts again at the root, `..` stops there
  (CVE-2024-1753, CVE-2021-30465, CVE-2024-11218: resolve once, to a descriptor, and use that).
- No magic link of procfs is ever followed.
- Each step opens one component with O_PATH|O_NOFOLLOW below a descriptor, so that a name swapped
  between two steps can lead nowhere else.
- Who made a missing component gets it back as a Stub, and removes it afterwards (see stubs).
"""

from __future__ import annotations

import errno
import os
import stat

from runtime.child import libc

TYPE_CHECKING = False  # see request
if TYPE_CHECKING:
    from collections.abc import Callable

MAX_LINKS = 255
_PATH_FLAGS = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC


def open_inside(root_fd: int, path: str) -> int:
    """An O_PATH descriptor of what `path` names inside the root, the last link followed; OSError when absent."""
    try:
        return libc.openat2(root_fd, path or ".", os.O_PATH, libc.RESOLVE_IN_ROOT | libc.RESOLVE_NO_MAGICLINKS)
    except OSError as error:
        # ENOSYS before Linux 5.6; EPERM under seccomp profiles of other runtimes (LWN 1050887);
        # EAGAIN when a rename raced with a `..`.
        if error.errno not in (errno.ENOSYS, errno.EPERM, errno.EAGAIN):
            raise
    return Walk(root_fd, None).open(path)


class Walk:
    """Walks from a root; `make` is asked to create a component that is missing, None: that is an error.

    `make(parent_fd, parent_path, name, last)` creates one directory, or what shall stand at the end.
    """

    def __init__(self, root_fd: int, make: Callable[[int, str, str, bool], None] | None) -> None:
        self._root_fd = root_fd
        self._make = make
        self._stack: list[tuple[str, int]] = []
        self._links = 0

    def open(self, path: str) -> int:
        pending = _components(path)
        try:
            while pending:
                self._step(pending)
            return os.dup(self._top())
        finally:
            for _name, fd in self._stack:
                os.close(fd)
            self._stack.clear()

    def _top(self) -> int:
        return self._stack[-1][1] if self._stack else self._root_fd

    def _step(self, pending: list[str]) -> None:
        """Take the next component off `pending`, which is kept in reverse."""
        name = pending.pop()
        if name == "..":
            if self._stack:
                os.close(self._stack.pop()[1])
            return
        try:
            fd = os.open(name, _PATH_FLAGS, dir_fd=self._top())
        except FileNotFoundError:
            if self._make is None:
                raise
            self._make(self._top(), "/".join(part for part, _fd in self._stack), name, not pending)
            fd = os.open(name, _PATH_FLAGS, dir_fd=self._top())
        if stat.S_ISLNK(os.fstat(fd).st_mode):
            try:
                self._follow(fd, pending)
            finally:
                os.close(fd)
            return
        self._stack.append((name, fd))

    def _follow(self, fd: int, pending: list[str]) -> None:
        self._links += 1
        if self._links > MAX_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        target = os.readlink("", dir_fd=fd)
        if target.startswith("/"):
            while self._stack:
                os.close(self._stack.pop()[1])
        pending.extend(_components(target))


def _components(path: str) -> list[str]:
    return [part for part in reversed(path.split("/")) if part not in ("", ".")]
