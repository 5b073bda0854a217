"""Overlay-format directories merged into one by hard links: in their place in the stack it shows the same.

Rules. By directory fds without following links. The topmost name wins. A directory merges with those of its
name below it, down to an opaque one or to whatever else has the name; then the result hides what is below it,
so it is opaque. A whiteout stays only if it has something to hide: overlayfs lists the whiteouts of a directory
that only one layer has as if they were files (ovl_iterate_real). Metadata of a directory are those of the
topmost. Modes and times of directories are set last, the deepest first, since
filling a directory changes its time.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Sequence

from builder.fs.entries import decode_path, encode_path
from builder.fs.handles import Directories, Handle
from builder.fs.inode import kept_xattrs
from builder.fs.overlay import is_attribute_whiteout, is_whiteout, make_opaque, make_whiteout, opaque_mark, place
from builder.fs.tree import Tree, below
from builder.store.space import disk_size

_KEEP = 4
"""Directories kept open for each layer; a block of 50 layers then stays far below 1,024 descriptors."""


class _Part:
    """One directory of one layer that shows in a merged directory."""

    __slots__ = ("handle", "layer", "mark", "names")

    def __init__(self, layer: Directories, handle: Handle, opaque_xattr: str) -> None:
        self.layer = layer
        self.handle = handle
        self.mark = opaque_mark(place(handle.fd, b"."), opaque_xattr)
        self.names: dict[bytes, os.stat_result] = {}

    def list(self) -> None:
        fd = os.open(b".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self.handle.fd)
        try:
            with os.scandir(fd) as found:
                self.names = {os.fsencode(item.name): item.stat(follow_symlinks=False) for item in found}
        finally:
            os.close(fd)


def merge_directories(layers: Sequence[str], target: str, lower: Tree, opaque_xattr: str) -> int:
    """Fills the empty directory `target` with the merge of `layers`, topmost first, to stand on `lower`.

    Returns the bytes on disk of what is not shared.
    """
    return _Merge([Directories(path, _KEEP) for path in layers], target, lower, opaque_xattr).run()


class _Merge:
    def __init__(self, layers: Sequence[Directories], target: str, lower: Tree, opaque_xattr: str) -> None:
        self._layers = tuple(layers)
        self._lower = lower
        self._opaque_xattr = opaque_xattr
        self._target = Directories(target, keep=64)
        self._pending: list[tuple[str, tuple[Directories, ...], bool, bool]] = []
        self._done: list[tuple[str, Directories, bool]] = []

    def run(self) -> int:
        self._pending.append(("", self._layers, False, False))
        while self._pending:
            self._directory(*self._pending.pop())
        # Parents were done before what is in them, so backwards is the deepest first.
        for path, topmost, opaque in reversed(self._done):
            self._finish(path, topmost, opaque)
        return len(self._done) * disk_size(1)

    def _directory(self, path: str, layers: tuple[Directories, ...], hides: bool, inside: bool) -> None:
        """`hides`: nothing below the block may show here; `inside`: and that is so for the parent already."""
        parts = []
        for layer in layers:
            part = _Part(layer, _got(layer.get(path), path), self._opaque_xattr)
            part.list()
            parts.append(part)
            if part.mark == "y":
                hides = True
                break
        target = _got(self._target.get(path), path)
        self._done.append((path, layers[0], hides and not inside))
        seen: set[bytes] = set()
        for position, part in enumerate(parts):
            for name, info in part.names.items():
                if name not in seen:
                    seen.add(name)
                    self._name(path, name, info, parts[position:], target, hides or inside)

    def _name(self, path: str, name: bytes, info: os.stat_result, parts: Sequence[_Part], target: Handle, bare: bool) -> None:
        part, child = parts[0], below(path, decode_path(name))
        if stat.S_ISDIR(info.st_mode):
            layers, ended = self._below(name, parts)
            os.mkdir(name, 0o700, dir_fd=target.fd)
            self._pending.append((child, layers, ended, bare))
        elif self._hides(part, name, info):
            if not bare and self._lower.lstat(child) is not None:
                make_whiteout(target.fd, name)
        else:
            self._link(part, name, target)

    def _below(self, name: bytes, parts: Sequence[_Part]) -> tuple[tuple[Directories, ...], bool]:
        """The layers whose directories of this name merge, and whether something else of the name ended that."""
        merging: list[Directories] = []
        for part in parts:
            info = part.names.get(name)
            if info is None:
                continue
            if not stat.S_ISDIR(info.st_mode):
                return tuple(merging), True
            merging.append(part.layer)
            if opaque_mark(place(part.handle.fd, name), self._opaque_xattr) == "y":
                return tuple(merging), True
        return tuple(merging), False

    def _hides(self, part: _Part, name: bytes, info: os.stat_result) -> bool:
        return is_whiteout(info) or (part.mark == "x" and is_attribute_whiteout(part.handle.fd, name, info, self._opaque_xattr))

    def _link(self, part: _Part, name: bytes, target: Handle) -> None:
        os.link(name, name, src_dir_fd=part.handle.fd, dst_dir_fd=target.fd, follow_symlinks=False)

    def _finish(self, path: str, topmost: Directories, opaque: bool) -> None:
        source = _got(topmost.get(path), path)
        target = _got(self._target.get(path), path)
        info = os.stat(source.fd)
        where = place(target.fd, b".")
        for attribute, value in kept_xattrs(place(source.fd, b".")):
            os.setxattr(where, encode_path(attribute), value)
        if opaque:
            make_opaque(where, self._opaque_xattr)
        os.chown(where, info.st_uid, info.st_gid)
        os.chmod(where, info.st_mode & 0o7777)  # after chown, which clears setuid and setgid
        os.utime(where, ns=(info.st_atime_ns, info.st_mtime_ns))


def _got(handle: Handle | None, path: str) -> Handle:
    if handle is None:
        raise FileNotFoundError(errno.ENOENT, "a layer's directory went away while it was merged", path)
    return handle
