"""A directory of a tree as a tree of its own, so that links below it are resolved as in a chroot there."""

from __future__ import annotations

from builder.fs.entries import Entry
from builder.fs.tree import Tree


class Subtree:
    """What is below `top`; links that lead out of it are clamped at it by whoever resolves."""

    def __init__(self, tree: Tree, top: str) -> None:
        self._tree = tree
        self._top = top

    def _path(self, path: str) -> str:
        return f"{self._top}/{path}" if self._top and path else self._top or path

    def lstat(self, path: str) -> Entry | None:
        """See Tree.lstat; the entry's path is of the whole tree."""
        return self._tree.lstat(self._path(path))

    def names(self, path: str) -> tuple[str, ...]:
        """See Tree.names."""
        return self._tree.names(self._path(path))

    def open(self, path: str) -> int:
        """See Tree.open."""
        return self._tree.open(self._path(path))

    def xattrs(self, path: str) -> tuple[tuple[str, bytes], ...]:
        """See Tree.xattrs."""
        return self._tree.xattrs(self._path(path))

    def identity(self, path: str) -> tuple[int, int] | None:
        """See Tree.identity."""
        return self._tree.identity(self._path(path))
