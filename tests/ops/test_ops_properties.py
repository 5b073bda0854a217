"""Properties of COPY that no table can list: any tree arrives whole, and merging is what a person would do by hand."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builder.context.statcache import FileDigests
from builder.errors import LayerwrightError
from builder.fs.tree import MemoryTree, StackTree, Tree, walk
from builder.graph.operations import CopyAction, CopyFrom
from builder.ops.copy import apply_copy
from builder.ops.destination import Destination, Times
from builder.ops.digests import selection_digest

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="files of other owners need root")

NAME = st.sampled_from(["a", "b", "c", "ä"])
PATH = st.lists(NAME, min_size=1, max_size=3).map("/".join)
FILES = st.dictionaries(PATH, st.binary(max_size=4), max_size=6).map(
    lambda files: {path: data for path, data in files.items() if not any(other.startswith(path + "/") for other in files)}
)


def contents(tree: Tree) -> dict[str, bytes | None]:
    """Every path; a file's bytes, None for a directory."""
    found: dict[str, bytes | None] = {}
    for path in walk(tree):
        entry = tree.lstat(path)
        assert entry is not None
        found[path] = _read(tree, path) if entry.kind == "file" else None
    return found


def _read(tree: Tree, path: str) -> bytes:
    with open(tree.open(path), "rb") as file:
        return file.read()


class Root:
    """A lower layer and an upper one in a directory that goes away."""

    def __init__(self, base: Path, files: dict[str, bytes]) -> None:
        (base / "lower").mkdir()
        (base / "upper").mkdir()
        for path, data in files.items():
            (base / "lower" / path).parent.mkdir(parents=True, exist_ok=True)
            (base / "lower" / path).write_bytes(data)
        self.tree = StackTree([str(base / "upper"), str(base / "lower")], "user.overlay.opaque")
        self.destination = Destination(str(base / "upper"), self.tree, self.tree, "user.overlay.opaque")

    def copy(self, source: Tree, path: str = ".", to: str = "/") -> None:
        apply_copy(CopyAction((CopyFrom(0, (path,)),), to), [source], self.destination, Times(10**18))


def made(files: dict[str, bytes]) -> Iterator[Root]:
    with tempfile.TemporaryDirectory() as base:
        yield Root(Path(base), files)


@settings(max_examples=60, deadline=None)
@given(FILES)
def test_any_tree_arrives_whole(files: dict[str, bytes]) -> None:
    source = MemoryTree.of(files)
    for root in made({}):
        root.copy(source)
        assert contents(root.tree) == contents(source)


@settings(max_examples=120, deadline=None)
@given(FILES, FILES)
def test_merging_overlays_files_and_refuses_changes_of_kind(below: dict[str, bytes], above: dict[str, bytes]) -> None:
    source = MemoryTree.of(above)
    for root in made(below):
        before, wanted = contents(root.tree), contents(source)
        clash = any(path in before and (before[path] is None) != (data is None) for path, data in wanted.items())
        if clash:
            with pytest.raises(LayerwrightError, match="cannot"):
                root.copy(source)
            assert contents(root.tree) == before, "nothing is written by a copy that cannot be"
        else:
            root.copy(source)
            assert contents(root.tree) == {**before, **wanted}


@settings(max_examples=40, deadline=None)
@given(FILES)
def test_copying_twice_changes_nothing_more(files: dict[str, bytes]) -> None:
    source = MemoryTree.of(files)
    for root in made({}):
        root.copy(source, to="/x/")
        once = contents(root.tree)
        root.copy(source, to="/x/")
        assert contents(root.tree) == once


@settings(max_examples=100, deadline=None)
@given(FILES, FILES)
def test_equal_keys_mean_equal_files(one: dict[str, bytes], other: dict[str, bytes]) -> None:
    source = CopyFrom(0, (".",))
    keys = [selection_digest(CopyAction((source,), "/"), source, MemoryTree.of(files), FileDigests(None)) for files in (one, other)]
    assert (keys[0] == keys[1]) is (one == other)
