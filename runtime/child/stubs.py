"""Mount points that a root lacks: made for one step, removed after it, leaving no trace in the layer.

Rules:
- /proc, /dev and /sys stay: whoever builds with runc finds them in the layer (moby/buildkit#7039 keeps it so), and
  an image without them, as busybox or one from scratch, must be the same here.
- Of the others, only what was made here is removed, and only while it is still the same empty directory or file.
- The parent is held by descriptor from before the payload starts, in a mount namespace that has none of the
  sandbox's mounts; nothing is looked up by path afterwards, so no link can lead the removal elsewhere
  (CVE-2024-23652).
- Access and modification times of the parent are put back after making and after removing, so that the
  payload's own changes keep their times and ours leave none.
- A mount point made inside another mount (a cache, say) stays: a second step may be mounted on it by now.
"""

from __future__ import annotations

import os
import stat

from runtime.child.paths import Walk

TYPE_CHECKING = False  # see request
if TYPE_CHECKING:
    from collections.abc import Callable


class Stubs:
    """`root_fd` sees the sandbox's mounts; `plain_fd` is the same root without them."""

    def __init__(self, root_fd: int, plain_fd: int) -> None:
        self._root_fd = root_fd
        self._plain_fd = plain_fd
        self._root_mount = _mount_id(root_fd)
        self._made: list[tuple[int, str, int]] = []  # parent, name, inode

    def directory(self, path: str) -> int:
        """An O_PATH descriptor of the directory `path` names in the root; made where missing."""
        return self._directory(path, self._make_directory)

    def lasting(self, path: str) -> int:
        """As `directory`, but what is made stays."""
        return self._directory(path, _make_lasting)

    def file(self, path: str) -> int:
        """An O_PATH descriptor of what `path` names in the root, an empty file being made where it is missing."""
        fd = Walk(self._root_fd, self._make_file).open(path)
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            os.close(fd)
            raise IsADirectoryError(21, os.strerror(21), path)
        return fd

    def remove(self) -> None:
        """Take away what was made, the newest first."""
        for parent_fd, name, inode in reversed(self._made):
            times = _times(parent_fd)
            try:
                _remove(parent_fd, name, inode)
                os.utime(parent_fd, ns=times)
            except OSError:
                # The payload put something in, or took the parent away: then it is the payload's.
                pass
            finally:
                os.close(parent_fd)
        self._made.clear()

    def _directory(self, path: str, make: Callable[[int, str, str, bool], None]) -> int:
        fd = Walk(self._root_fd, make).open(path)
        if not stat.S_ISDIR(os.fstat(fd).st_mode):
            os.close(fd)
            raise NotADirectoryError(20, os.strerror(20), path)
        return fd

    def _make_directory(self, parent_fd: int, parent_path: str, name: str, last: bool) -> None:
        with _Kept(parent_fd):
            os.mkdir(name, 0o755, dir_fd=parent_fd)
        self._note(parent_fd, parent_path, name)

    def _make_file(self, parent_fd: int, parent_path: str, name: str, last: bool) -> None:
        if not last:
            self._make_directory(parent_fd, parent_path, name, last)
            return
        with _Kept(parent_fd):
            os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o644, dir_fd=parent_fd))
        self._note(parent_fd, parent_path, name)

    def _note(self, parent_fd: int, parent_path: str, name: str) -> None:
        if _mount_id(parent_fd) != self._root_mount:
            return
        plain = Walk(self._plain_fd, None).open(parent_path)
        try:
            kept = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=plain)
        finally:
            os.close(plain)
        self._made.append((kept, name, os.stat(name, dir_fd=kept, follow_symlinks=False).st_ino))


def _make_lasting(parent_fd: int, parent_path: str, name: str, last: bool) -> None:
    with _Kept(parent_fd):
        os.mkdir(name, 0o755, dir_fd=parent_fd)


class _Kept:
    """Puts a directory's times back at the end of the block."""

    def __init__(self, dir_fd: int) -> None:
        self._fd = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=dir_fd)
        self._before = _times(self._fd)

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_exc: object) -> None:
        os.utime(self._fd, ns=self._before)
        os.close(self._fd)


def _times(fd: int) -> tuple[int, int]:
    found = os.fstat(fd)
    return found.st_atime_ns, found.st_mtime_ns


def _remove(parent_fd: int, name: str, inode: int) -> None:
    found = os.stat(name, dir_fd=parent_fd, follow_symlinks=False)
    if found.st_ino != inode:
        return
    if stat.S_ISDIR(found.st_mode):
        os.rmdir(name, dir_fd=parent_fd)  # refuses one that is not empty
    elif stat.S_ISREG(found.st_mode) and not found.st_size:
        os.unlink(name, dir_fd=parent_fd)


def _mount_id(fd: int) -> str:
    with open(f"/proc/self/fdinfo/{fd}") as stream:
        for line in stream:
            if line.startswith("mnt_id:"):
                return line[7:].strip()
    return ""
