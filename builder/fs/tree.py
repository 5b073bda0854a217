"""The Tree protocol: read-only files by path, whatever they live in.

Paths are as in `builder.fs.entries`: relative, "" the root. No method follows a symlink; `builder.fs.resolve`
does that. Any number of threads may read one tree.
"""

from __future__ import annotations

from typing import Protocol

from builder.fs.dirtree import DirTree
from builder.fs.entries import Entry
from builder.fs.memorytree import MemoryTree
from builder.fs.stacktree import EmptyTree, SharedLayers, StackTree

__all__ = ["DirTree", "EmptyTree", "MemoryTree", "SharedLayers", "StackTree", "Tree", "below", "walk"]


class Tree(Protocol):
    """Absence is None or an empty tuple; only `open` raises for it."""

    def lstat(self, path: str) -> Entry | None:
        """The entry, its xattrs not filled; None when absent or when a parent is no directory. The root is always there."""

    def names(self, path: str) -> tuple[str, ...]:
        """The names in a directory, sorted bytewise; empty when it is absent or no directory."""

    def open(self, path: str) -> int:
        """A descriptor of a regular file, at its start, which the caller closes; FileNotFoundError when it is no such file."""

    def xattrs(self, path: str) -> tuple[tuple[str, bytes], ...]:
        """The attributes that images keep, sorted by name; empty when absent."""

    def identity(self, path: str) -> tuple[int, int] | None:
        """What the names of one hard-linked file share; None for a file of one name, a directory, or absence."""


def below(path: str, name: str) -> str:
    """The path of `name` in the directory `path`."""
    return f"{path}/{name}" if path else name


def walk(tree: Tree, top: str = "") -> list[str]:
    """The paths below `top`, depth first, names sorted bytewise; `top` itself is not among them."""
    found: list[str] = []
    pending = [below(top, name) for name in reversed(tree.names(top))]
    while pending:
        path = pending.pop()
        found.append(path)
        pending.extend(below(path, name) for name in reversed(tree.names(path)))
    return found
