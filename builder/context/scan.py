"""All that a walk wants to know of a directory's entries, in one go: a third of the cost of asking a tree one by one."""

from __future__ import annotations

import os
from collections.abc import Iterator

import msgspec

from builder.context.ignore import IgnoredTree
from builder.fs.dirtree import DirTree, identity_of
from builder.fs.entries import Entry
from builder.fs.stacktree import StackTree
from builder.fs.tree import Tree, below


class Seen(msgspec.Struct, frozen=True, gc=False):
    """One entry as `Tree.lstat`, `xattrs` and `identity` would tell; `stat` where the files lie in directories."""

    name: str
    entry: Entry
    xattrs: tuple[tuple[str, bytes], ...]
    identity: tuple[int, int] | None
    stat: os.stat_result | None = None


def scan(tree: Tree, directory: str) -> Iterator[Seen]:
    """The entries of a directory, names sorted bytewise; those that vanish meanwhile are passed over."""
    if isinstance(tree, DirTree | StackTree):
        for name, entry, st, xattrs in tree.scan(directory):
            yield Seen(name, entry, xattrs, identity_of(st), st)
    elif isinstance(tree, IgnoredTree):
        yield from _scan_ignored(tree, directory)
    else:
        for name in tree.names(directory):
            seen = look(tree, below(directory, name))
            if seen is not None:
                yield seen


def _scan_ignored(tree: IgnoredTree, directory: str) -> Iterator[Seen]:
    step, state = tree.patterns.step, tree.state(directory)
    prefix = directory + "/" if directory else ""
    for seen in scan(tree.unfiltered, directory):
        path = prefix + seen.name
        if not step(path, state)[0] or tree.lstat(path) is not None:
            yield seen


def look(tree: Tree, path: str) -> Seen | None:
    """One entry; None when it is not there."""
    entry = tree.lstat(path)
    if entry is None:
        return None
    plain = tree.unfiltered if isinstance(tree, IgnoredTree) else tree
    st = plain.stat(path) if isinstance(plain, DirTree) else None
    return Seen(path.rpartition("/")[2], entry, tree.xattrs(path), tree.identity(path), st)
