"""One scan says what a tree's own methods say, one by one."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from builder.context.ignore import IgnoredTree, parse_patterns
from builder.context.scan import Seen, look, scan
from builder.fs.tree import DirTree, MemoryTree, StackTree, Tree, below, walk


def _fill(path: Path) -> Path:
    (path / "d/e").mkdir(parents=True)
    for name in ("a", "d/f", "d/e/g", "z"):
        (path / name).write_text(name)
    os.link(path / "a", path / "d/linked")
    (path / "l").symlink_to("d")
    os.mkfifo(path / "pipe")
    os.setxattr(path / "d/f", "user.note", b"1")
    return path


def _directory(path: Path) -> Tree:
    return DirTree(_fill(path))


def _ignored(path: Path) -> Tree:
    return IgnoredTree(DirTree(_fill(path)), parse_patterns(["d", "!d/e", "z"]))


def _stack(path: Path) -> Tree:
    for name in ("upper", "lower"):
        (path / name).mkdir()
    _fill(path / "lower")
    (path / "upper/d").mkdir()
    (path / "upper/d/new").write_text("new")
    return StackTree([str(path / "upper"), str(path / "lower")], "user.overlay.opaque")


def _memory(path: Path) -> Tree:
    return MemoryTree.of({"a": b"1", "d/e/f": b"2"})


@pytest.mark.parametrize("make", [_directory, _ignored, _stack, _memory])
def test_a_scan_says_what_the_tree_says(tmp_path: Path, make: Callable[[Path], Tree]) -> None:
    tree = make(tmp_path)
    directories = [""] + [path for path in walk(tree) if (entry := tree.lstat(path)) is not None and entry.kind == "dir"]
    assert len(directories) > 1
    for directory in directories:
        scanned = list(scan(tree, directory))
        assert tuple(seen.name for seen in scanned) == tree.names(directory)
        for seen in scanned:
            path = below(directory, seen.name)
            assert (seen.entry, seen.xattrs, seen.identity) == (tree.lstat(path), tree.xattrs(path), tree.identity(path))
            alone = look(tree, path)
            assert isinstance(alone, Seen)
            assert alone.entry == seen.entry


def test_what_is_no_directory_has_nothing(tmp_path: Path) -> None:
    tree = _directory(tmp_path)
    assert [list(scan(tree, path)) for path in ("a", "l", "missing")] == [[], [], []]
    assert look(tree, "missing") is None
