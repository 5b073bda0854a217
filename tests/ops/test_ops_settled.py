"""A context that changes while it is copied: the result is used, and not kept under a key that means other bytes."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from builder.context.statcache import FileDigests
from builder.fs.tree import DirTree, MemoryTree
from builder.graph.operations import ContextSource, CopyAction, CopyFrom, GitSource, HttpSource, Scratch
from builder.graph.vertex import GraphBuilder, Label
from builder.ops.destination import Times
from builder.ops.digests import Witness, selection_digest
from builder.ops.protocol import RootInput, StepControl, TreeInput
from builder.ops.runner import Operations
from builder.snapshot.layers import Layers
from builder.store.store import Store
from tests.privileges import XATTR_PREFIX

ACTION = CopyAction((CopyFrom(0, ("s",), zero_owner=True),), "/d/")


def watched(root: Path) -> tuple[DirTree, Witness]:
    tree, witness = DirTree(root), Witness()
    selection_digest(ACTION, ACTION.sources[0], tree, FileDigests(None), witness)
    time.sleep(0.02)  # one tick of the file system's clock
    return tree, witness


CHANGES: dict[str, tuple[Callable[[Path], object], bool]] = {
    "nothing": (lambda root: None, True),
    "unrelated": (lambda root: (root / "other").write_text("2"), True),
    "read": (lambda root: (root / "s/a").read_text(), True),
    "write": (lambda root: (root / "s/a").write_text("2"), False),
    "chmod": (lambda root: (root / "s/a").chmod(0o600), False),
    "xattr": (lambda root: os.setxattr(root / "s/t/b", "user.x", b"1"), False),
    "replace": (lambda root: os.replace(root / "other", root / "s/a"), False),
    "add": (lambda root: (root / "s/t/new").write_text(""), False),
    "remove": (lambda root: (root / "s/t/b").unlink(), False),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_witness_tells_of_every_change(tmp_path: Path, name: str) -> None:
    (tmp_path / "s/t").mkdir(parents=True)
    for path in ("s/a", "s/t/b", "other"):
        (tmp_path / path).write_text("1")
    tree, witness = watched(tmp_path)
    change, holds = CHANGES[name]
    change(tmp_path)
    assert witness.holds(tree) is holds


def test_trees_without_inodes_are_not_watched() -> None:
    witness = Witness()
    selection_digest(ACTION, ACTION.sources[0], MemoryTree.of({"s/a": b"1"}), FileDigests(None), witness)
    assert witness.holds(MemoryTree.of({}))


class Changing(DirTree):
    """A context somebody works in: it changes when it is first read for the copy."""

    change: Callable[[], object] | None = None

    def open(self, path: str) -> int:
        fd = super().open(path)
        if self.change is not None:
            time.sleep(0.02)
            self.change()
            self.change = None
        return fd


class Nowhere:
    """Fetches nothing."""

    def pin(self, source: HttpSource | GitSource) -> str:
        raise AssertionError

    def fetch(self, source: HttpSource | GitSource) -> TreeInput:
        raise AssertionError


@pytest.mark.skipif(os.geteuid() != 0, reason="layers need root")
@pytest.mark.parametrize("changes", [False, True])
def test_a_copy_of_what_changed_meanwhile_is_not_settled(tmp_path: Path, changes: bool) -> None:
    context = tmp_path / "context"
    (context / "s").mkdir(parents=True)
    (context / "s/a").write_text("1")
    tree = Changing(context)
    graph = GraphBuilder()
    inputs = (graph.add(Scratch(), (), Label("")), graph.add(ContextSource("context"), (), Label("")))
    action = CopyAction((CopyFrom(1, ("s",), zero_owner=True),), "/d/")
    copy = graph.add(action, inputs, Label(""))
    vertices = graph.finish().vertices
    told: list[str] = []
    control = StepControl(lambda stream, data: None, lambda code, message: told.append(code), threading.Event())
    with Store.open(tmp_path / "store") as store, Layers(store, xattr_prefix=XATTR_PREFIX) as layers:
        steps: Any = None
        operations = Operations(layers, {"context": tree}, {}, Nowhere(), steps, FileDigests(store.index), Times(10**18))
        given = (operations.base(vertices[inputs[0]]), operations.source(vertices[inputs[1]]))
        assert isinstance(given[0], RootInput)
        operations.read_digest(vertices[copy], 1, given[1])
        if changes:
            tree.change = lambda: (context / "s/late").write_text("late")
        outcome = operations.run(vertices[copy], given, control)
        assert outcome.layer is not None
        assert outcome.settled is not changes
        assert told == (["context-changed"] if changes else [])
