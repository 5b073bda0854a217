"""The directories of an overlay-format directory being written, found or made one component at a time.

A parent that is missing becomes a directory with the lower tree's metadata, or 0755 of root where the lower
tree has none; nothing of the lower tree is followed. Links that the written directory itself holds are followed
as in a chroot, clamped at its root, as tar and containerd do.
"""

from __future__ import annotations

import os
import stat
from collections import OrderedDict

import msgspec

from builder.errors import LayerwrightError
from builder.fs.copytree import write_entry
from builder.fs.entries import Entry, decode_path, encode_path
from builder.fs.handles import Handle
from builder.fs.limits import DEFAULT
from builder.fs.overlay import is_whiteout, make_opaque, place
from builder.fs.tree import Tree

_PATH = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_KEEP = 32


class _Place(msgspec.Struct, frozen=True):
    """A directory: its descriptor, its real path here, and whether the lower tree may have one there."""

    handle: Handle
    real: str
    lower: bool


class Parents:
    """Opens directories by path; remembers the recent ones until told to forget. Not for several threads."""

    def __init__(self, root: str, lower: Tree, opaque_xattr: str) -> None:
        self._lower = lower
        self._attribute = opaque_xattr
        self._root = _Place(Handle(os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)), "", True)
        self._open: OrderedDict[str, _Place] = OrderedDict()
        self.made: dict[str, int] = {}
        """The mtimes that directories are to have in the end, by real path."""

    def directory(self, path: str) -> tuple[Handle, str]:
        """The directory at `path` and its real path, made with its parents where it is missing.

        Raises LayerwrightError: tar-parent when something that is no directory is in the way, symlink-loop.
        """
        where = self._root if not path else self._open.get(path)
        if where is None:
            where = self._walk(path)
            self._open[path] = where
            if len(self._open) > _KEEP:
                self._open.popitem(last=False)
        return where.handle, where.real

    def forget(self) -> None:
        """To be called when a directory or a link was removed, for it may be on the way to what is remembered."""
        self._open.clear()

    def _walk(self, path: str) -> _Place:
        """Down from the nearest directory that is known; all the way, when a link is met."""
        known, where = path, self._root
        while known := known.rpartition("/")[0]:
            if known in self._open:
                where = self._open[known]
                break
        for name in path[len(known) :].lstrip("/").split("/"):
            step = self._step(where, name)
            if isinstance(step, str):
                return self._follow(path)
            where = step
        return where

    def _follow(self, path: str) -> _Place:
        todo = list(reversed(path.split("/")))
        trail = [self._root]
        left = 2 * DEFAULT.depth
        while todo:
            left -= 1
            if not left:
                raise LayerwrightError("symlink-loop", f"{path[:200]!r} leads through too many symbolic links")
            name = todo.pop()
            if name in ("", "."):
                continue
            if name == "..":
                trail = trail[: max(1, len(trail) - 1)]
                continue
            step = self._step(trail[-1], name)
            if isinstance(step, _Place):
                trail.append(step)
                continue
            if step.startswith("/"):
                trail = trail[:1]
            todo.extend(reversed(step.split("/")))
        return trail[-1]

    def _step(self, where: _Place, name: str) -> _Place | str:
        """The directory `name`, made if it is missing; or the target of a link that stands there."""
        raw = encode_path(name)
        real = f"{where.real}/{name}" if where.real else name
        fd = where.handle.fd
        lower = where.lower
        try:
            return _Place(Handle(os.open(raw, _PATH, dir_fd=fd)), real, lower)
        except FileNotFoundError:
            lower = self._make(where, raw, real)
        except NotADirectoryError:
            st = os.stat(raw, dir_fd=fd, follow_symlinks=False)
            if stat.S_ISLNK(st.st_mode):
                return decode_path(os.readlink(raw, dir_fd=fd))
            if not is_whiteout(st):
                raise LayerwrightError("tar-parent", f"{real!r} is not a directory, but files are to be put into it") from None
            os.unlink(raw, dir_fd=fd)
            write_entry(fd, raw, Entry(real, "dir", 0o755))
            make_opaque(place(fd, raw), self._attribute)
            self.made[real] = 0
        return _Place(Handle(os.open(raw, _PATH, dir_fd=fd)), real, lower)

    def _make(self, where: _Place, raw: bytes, real: str) -> bool:
        entry = Entry(real, "dir", 0o755)
        found = self._lower.lstat(real) if where.lower else None
        lower = found is not None and found.kind == "dir"
        if found is not None and lower:
            entry = msgspec.structs.replace(found, xattrs=self._lower.xattrs(real))
        write_entry(where.handle.fd, raw, entry)
        self.made[real] = entry.mtime_ns
        return lower
