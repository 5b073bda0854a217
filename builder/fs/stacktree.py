"""Overlay-format layer directories as one tree, read without a mount.

Only the topmost directory may change while the tree lives (a step writes into it); what is known of the
others is remembered. A directory's metadata are those of the topmost layer that has it, as overlayfs shows it.
"""

from __future__ import annotations

import errno
import os
import stat
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from functools import cached_property

from builder.fs.dirtree import ABSENT, identity_of, open_regular
from builder.fs.entries import Entry, decode_path, encode_path
from builder.fs.handles import Directories, Handle, list_names, split
from builder.fs.inode import entry_at, kept_xattrs, xattrs_at
from builder.fs.overlay import TRUSTED, is_attribute_whiteout, is_whiteout, opaque_mark, opaque_name, place

_ROOT = Entry("", "dir", 0o755)


class _Found:
    """An inode and the open directory it is in."""

    __slots__ = ("handle", "name", "st")

    def __init__(self, handle: Handle, name: bytes, st: os.stat_result) -> None:
        self.handle = handle
        self.name = name
        self.st = st


class _Layer:
    """One layer directory: what it has and hides. With `keep` 0 it may change, and nothing of it is remembered."""

    def __init__(self, path: str, opaque_xattr: str, keep: int) -> None:
        self.directories = Directories(path, keep)
        self.opaque_xattr = opaque_xattr
        self._keep = keep

    @cached_property
    def tops(self) -> frozenset[str]:
        """The names in the root of a layer that does not change."""
        return frozenset(decode_path(name) for name in list_names(self.directories.root))

    @cached_property
    def root_mark(self) -> str:
        """The mark of the layer's root: for overlayfs it is never opaque (ovl_get_root)."""
        mark = opaque_mark(place(self.directories.root.fd, b"."), self.opaque_xattr)
        return mark if mark != "y" else ""

    def mark(self, path: str) -> str:
        """The opaque mark of a directory of this layer."""
        if self._keep and not path:
            return self.root_mark
        handle = self.directories.get(path)
        mark = "" if handle is None else opaque_mark(place(handle.fd, b"."), self.opaque_xattr)
        return mark if path or mark != "y" else ""

    def find(self, path: str, mark: str) -> _Found | None:
        """The inode at `path`; `mark` is that of its parent. Raises _Hidden when a whiteout stands there."""
        parent, name = split(path)
        handle = self.directories.get(parent)
        if handle is None:
            return None
        try:
            st = os.stat(name, dir_fd=handle.fd, follow_symlinks=False)
        except OSError as error:
            if error.errno in ABSENT:
                return None
            raise
        if is_whiteout(st):
            raise _Hidden
        if mark == "x" and is_attribute_whiteout(handle.fd, name, st, self.opaque_xattr):
            raise _Hidden
        return _Found(handle, name, st)

    def listing(self, path: str, mark: str) -> dict[str, bool]:
        """The names in a directory; whether each is a whiteout."""
        handle = self.directories.get(path)
        if handle is None:
            return {}
        return {decode_path(name): self._hides(handle, name, mark) for name in list_names(handle)}

    def _hides(self, handle: Handle, name: bytes, mark: str) -> bool:
        try:
            st = os.stat(name, dir_fd=handle.fd, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return is_whiteout(st) or (mark == "x" and is_attribute_whiteout(handle.fd, name, st, self.opaque_xattr))


class SharedLayers:
    """Frozen layer directories, opened once for all trees they take part in; thread-safe, the recent ones are kept."""

    def __init__(self, opaque_xattr: str = TRUSTED, keep: int = 64) -> None:
        self._attribute = opaque_name(opaque_xattr)
        self._keep = keep
        self._layers: OrderedDict[str, _Layer] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, path: str) -> _Layer:
        """The layer in this directory, which does not change as long as anything uses it."""
        with self._lock:
            layer = self._layers.get(path)
            if layer is None:
                layer = self._layers[path] = _Layer(path, self._attribute, 8)
                if len(self._layers) > self._keep:
                    self._layers.popitem(last=False)
            else:
                self._layers.move_to_end(path)
            return layer


class _Hidden(Exception):
    """A whiteout stands at the path."""


class _Place:
    """A merged directory: the layers that take part, topmost first, with their marks, and the layer of each name once listed."""

    __slots__ = ("layers", "names")

    def __init__(self, layers: tuple[tuple[_Layer, str], ...]) -> None:
        self.layers = layers
        self.names: dict[str, _Layer] | None = None


class StackTree:
    """The merged view of `dirs`, topmost first; none at all is the empty root. `opaque_xattr`: see builder.fs.overlay.

    `frozen` says that the topmost directory does not change either; then it too is remembered, and much faster.
    """

    def __init__(self, dirs: Sequence[str], opaque_xattr: str = TRUSTED, *, frozen: bool = False) -> None:
        attribute = opaque_name(opaque_xattr)
        changing = 0 if frozen else 1
        self._top = _Layer(dirs[0], attribute, 0) if dirs and changing else None
        # An image may have 127 layers, and several builds' steps read such stacks at once.
        keep = max(1, 96 // max(1, len(dirs)))
        self._lower = _Frozen(tuple(_Layer(path, attribute, keep) for path in dirs[changing:]))

    @classmethod
    def of(cls, dirs: Sequence[str], shared: SharedLayers) -> StackTree:
        """A frozen tree of layers that other trees have opened, or will."""
        tree = StackTree(())
        tree._lower = _Frozen(tuple(shared.get(path) for path in dirs))
        return tree

    def under(self, upper: str, opaque_xattr: str = TRUSTED) -> StackTree:
        """This frozen tree beneath a directory that may change; what is known of it is shared."""
        tree = StackTree((upper,), opaque_xattr)
        tree._lower = self._lower
        return tree

    def lstat(self, path: str) -> Entry | None:
        """See Tree."""
        if not path:
            return self._root()
        found = self._find(path)
        return None if found is None else entry_at(found.handle.fd, found.name, path, found.st)

    def names(self, path: str) -> tuple[str, ...]:
        """See Tree."""
        mark, merges = self._descend(path)
        shown: dict[str, bool] = {}
        if merges:
            shown.update((name, False) for name in self._lower.names(path))
        if mark is not None and self._top is not None:
            shown.update(self._top.listing(path, mark))
        return tuple(sorted((name for name, hidden in shown.items() if not hidden), key=encode_path))

    def scan(self, path: str) -> Iterator[tuple[str, Entry, os.stat_result, tuple[tuple[str, bytes], ...]]]:
        """See DirTree.scan."""
        for name in self.names(path):
            child = f"{path}/{name}" if path else name
            found = self._find(child)
            if found is not None:
                entry = entry_at(found.handle.fd, found.name, child, found.st)
                yield name, entry, found.st, xattrs_at(found.handle.fd, found.name)

    def open(self, path: str) -> int:
        """See Tree."""
        found = self._find(path) if path else None
        if found is None:
            raise FileNotFoundError(errno.ENOENT, "no such file in the tree", path)
        return open_regular(found.handle.fd, found.name, path)

    def xattrs(self, path: str) -> tuple[tuple[str, bytes], ...]:
        """See Tree."""
        if not path:
            root = self._topmost_root()
            return () if root is None else kept_xattrs(place(root.fd, b"."))
        found = self._find(path)
        return () if found is None else xattrs_at(found.handle.fd, found.name)

    def identity(self, path: str) -> tuple[int, int] | None:
        """See Tree."""
        found = self._find(path) if path else None
        return None if found is None else identity_of(found.st)

    def _root(self) -> Entry:
        handle = self._topmost_root()
        if handle is None:
            return _ROOT
        st = os.stat(handle.fd)
        return Entry("", "dir", st.st_mode & 0o7777, st.st_uid, st.st_gid, st.st_mtime_ns)

    def _topmost_root(self) -> Handle | None:
        return self._lower.root() if self._top is None else self._top.directories.get("")

    def _find(self, path: str) -> _Found | None:
        parent, _ = split(path)
        mark, merges = self._descend(parent)
        if mark is not None and self._top is not None:
            try:
                found = self._top.find(path, mark)
            except _Hidden:
                return None
            if found is not None:
                return found
        return self._lower.find(path) if merges else None

    def _descend(self, path: str) -> tuple[str | None, bool]:
        """The topmost directory's mark at `path` (None: it has no directory there), and whether lower layers show through."""
        if self._top is None:
            return None, True
        mark, at = self._top.mark(""), ""
        merges = mark != "y"
        for name in path.split("/") if path else ():
            at = f"{at}/{name}" if at else name
            try:
                found = self._top.find(at, mark)
            except _Hidden:
                return None, False
            if found is None:
                return None, merges
            if not stat.S_ISDIR(found.st.st_mode):
                return None, False
            mark = self._top.mark(at)
            merges = merges and mark != "y" and self._lower.merges(at)
        return mark, merges


class _Frozen:
    """Layers that no longer change, topmost first."""

    def __init__(self, layers: tuple[_Layer, ...], keep: int = 512) -> None:
        self._root = _Place(tuple((layer, layer.mark("")) for layer in layers))
        self._keep = keep
        self._places: OrderedDict[str, _Place | None] = OrderedDict()
        self._lock = threading.Lock()

    def root(self) -> Handle | None:
        """The topmost layer's root directory; None when there are no layers."""
        return self._root.layers[0][0].directories.get("") if self._root.layers else None

    def merges(self, path: str) -> bool:
        """Whether there is a directory at `path`."""
        return self._place(path) is not None

    def find(self, path: str) -> _Found | None:
        """The topmost inode at `path`."""
        parent, name = split(path)
        where = self._place(parent)
        if where is None:
            return None
        if where.names is not None:
            layer = where.names.get(decode_path(name))
            return None if layer is None else layer.find(path, "")
        for layer, mark in _having(where, path):
            try:
                found = layer.find(path, mark)
            except _Hidden:
                return None
            if found is not None:
                return found
        return None

    def names(self, path: str) -> tuple[str, ...]:
        """The names in the directory `path`."""
        where = self._place(path)
        if where is None:
            return ()
        if where.names is None:
            shown: dict[str, _Layer | None] = {}
            for layer, mark in where.layers:
                for name, hidden in layer.listing(path, mark).items():
                    shown.setdefault(name, None if hidden else layer)
            where.names = {name: layer for name, layer in shown.items() if layer is not None}
        return tuple(where.names)

    def _place(self, path: str) -> _Place | None:
        if not path:
            return self._root
        at, where = self._nearest(path)
        while where is not None and at != path:
            end = path.find("/", len(at) + 1 if at else 0)
            at = path if end < 0 else path[:end]
            where = self._child(where, at)
            with self._lock:
                self._places[at] = where
                if len(self._places) > self._keep:
                    self._places.popitem(last=False)
        return where

    def _nearest(self, path: str) -> tuple[str, _Place | None]:
        with self._lock:
            while path:
                if path in self._places:
                    self._places.move_to_end(path)
                    return path, self._places[path]
                path = path.rpartition("/")[0]
        return "", self._root

    def _child(self, where: _Place, path: str) -> _Place | None:
        split(path)  # refuses what could lead out of the tree
        taking: list[tuple[_Layer, str]] = []
        for layer, mark in _having(where, path):
            try:
                found = layer.find(path, mark)
            except _Hidden:
                break
            if found is None:
                continue
            if not stat.S_ISDIR(found.st.st_mode):
                break
            taking.append((layer, layer.mark(path)))
            if taking[-1][1] == "y":
                break
        return _Place(tuple(taking)) if taking else None


def _having(where: _Place, path: str) -> list[tuple[_Layer, str]]:
    """The layers of a place that may have `path` by the names in their roots.

    Measured on 30 steps that each write one file: a look-up of /etc/passwd asked each of up to 30 layers by open(2)
    or stat(2), 110 calls a step and 1 ms; so it asks the one that has an /etc.
    """
    end = path.find("/")
    top = path if end < 0 else path[:end]
    return [taking for taking in where.layers if top in taking[0].tops]


class EmptyTree(StackTree):
    """A root filesystem of nothing."""

    def __init__(self) -> None:
        super().__init__(())
