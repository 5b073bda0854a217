"""Removes a directory tree of any depth and any content, never following a link and never leaving the tree.

Rules: by directory fds with O_NOFOLLOW only; at most DEPTH + 2 fds are open, since a directory deeper than
that is first renamed up to the top. What another process removes meanwhile is no error.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import stat

DEPTH = 40
_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


def remove_tree(path: str | os.PathLike[str]) -> None:
    """Removes `path` whatever it is; idempotent; absent is fine."""
    try:
        info = os.lstat(path)
    except FileNotFoundError:
        return
    if not stat.S_ISDIR(info.st_mode):
        _unlink(os.fspath(path), None)
        return
    top = _open_dir(os.fspath(path), None)
    if top is not None:
        try:
            names = itertools.count()
            while _empty(top, top, 0, names):
                pass  # directories that were renamed up are still to be emptied
        finally:
            os.close(top)
    with contextlib.suppress(FileNotFoundError):
        os.rmdir(path)


def _empty(fd: int, top: int, depth: int, names: itertools.count[int]) -> bool:
    """Removes what is in `fd`; True when some of it was renamed into `top` instead."""
    moved = False
    with os.scandir(fd) as scan:
        entries = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in scan]
    for name, is_dir in entries:
        if not is_dir:
            _unlink(name, fd)
        elif depth >= DEPTH:
            moved = _move_up(name, fd, top, names) or moved
        else:
            child = _open_dir(name, fd)
            if child is not None:
                try:
                    moved = _empty(child, top, depth + 1, names) or moved
                finally:
                    os.close(child)
                _rmdir(name, fd)
    return moved


def _move_up(name: str, fd: int, top: int, names: itertools.count[int]) -> bool:
    for number in names:
        try:
            os.rename(name, f".deep-{number}", src_dir_fd=fd, dst_dir_fd=top)
            return True
        except FileNotFoundError:
            return False
        except OSError:  # ENOTEMPTY, ENOTDIR: the tree has a file of this name already
            continue
    return False


def _open_dir(name: str, fd: int | None) -> int | None:
    try:
        return os.open(name, _OPEN, dir_fd=fd)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except PermissionError:
        # Not root, and the directory denies its own owner.
        os.chmod(name, 0o700, dir_fd=fd)
        return os.open(name, _OPEN, dir_fd=fd)


def _unlink(name: str, fd: int | None) -> None:
    try:
        os.unlink(name, dir_fd=fd)
    except FileNotFoundError:
        pass
    except PermissionError:
        if fd is None:
            raise
        os.fchmod(fd, 0o700)
        os.unlink(name, dir_fd=fd)


def _rmdir(name: str, fd: int) -> None:
    try:
        os.rmdir(name, dir_fd=fd)
    except FileNotFoundError:
        pass
    except OSError:
        # Refilled by another remover's renames, or denied by the parent's mode; the caller's loop or rmdir decides.
        os.fchmod(fd, 0o700)
        os.rmdir(name, dir_fd=fd)
