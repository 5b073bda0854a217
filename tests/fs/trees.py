"""What the tests of files share: trees on disk from a description, and what a tree holds as plain data."""

from __future__ import annotations

from pathlib import Path

import pytest

from builder.fs.entries import Entry
from builder.fs.tree import EmptyTree, Tree, walk
from builder.fs.upper import Upper
from tests.privileges import ROOT

Item = tuple[Entry, bytes | None]
Facts = dict[str, tuple[object, ...]]


def read_all(fd: int) -> bytes:
    """The contents of a descriptor, which is closed."""
    with open(fd, "rb") as file:
        return file.read()


def facts_of(tree: Tree) -> Facts:
    """Everything a tree says, by path, whole seconds."""
    found: Facts = {}
    groups: dict[tuple[int, int], str] = {}
    for path in walk(tree):
        entry = tree.lstat(path)
        assert entry is not None
        content = read_all(tree.open(path)) if entry.kind == "file" else b""
        identity = tree.identity(path)
        joined = groups.setdefault(identity, path) if identity else path
        found[path] = (
            entry.kind, entry.mode, entry.uid, entry.gid, entry.mtime_ns // 10**9, entry.link, entry.major, entry.minor,
            tree.xattrs(path), content, joined if joined != path else "",
        )  # fmt: skip
    return found


def build(directory: Path, items: list[Item]) -> Path:
    """An overlay-format directory with these entries."""
    directory.mkdir(exist_ok=True)
    with Upper(str(directory), EmptyTree()) as upper:
        for entry, content in items:
            upper.put(entry, content)
    return directory


needs_root = pytest.mark.skipif(not ROOT, reason="only root can make devices and owners")
