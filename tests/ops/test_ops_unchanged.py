"""Selections of a context that are as they were are known by their stats alone."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from builder.context.directory import with_ignore
from builder.context.statcache import RACY_NS, FileDigests
from builder.fs.entries import Entry
from builder.fs.tree import DirTree, Tree
from builder.graph.operations import ContextSource, CopyAction, CopyFrom, GitSource, HttpSource, Scratch
from builder.graph.vertex import GraphBuilder, Label
from builder.ops.destination import Times
from builder.ops.protocol import StepControl, TreeInput
from builder.ops.runner import Operations
from builder.ops.select import select
from builder.ops.unchanged import Glance, Unchanged
from builder.snapshot.layers import Layers
from builder.store.store import Store
from tests.privileges import XATTR_PREFIX, needs_root


class Notes:
    """Small values in memory."""

    def __init__(self) -> None:
        self.values: dict[str, bytes] = {}

    def get_setting(self, key: str) -> bytes | None:
        return self.values.get(key)

    def put_setting(self, key: str, value: bytes) -> None:
        self.values[key] = value


def later() -> int:
    return time.time_ns() + 10 * RACY_NS


def looks(notes: Notes, tree: Tree, clock: Callable[[], int] = later, rules: object = "") -> Glance:
    glance = Unchanged(notes, clock=clock).glance(tree, rules, select(tree, ("s",)).items)
    assert glance is not None
    return glance


@pytest.fixture
def context(tmp_path: Path) -> Path:
    root = tmp_path / "context"
    (root / "s/t").mkdir(parents=True)
    for path in ("s/a", "s/t/b", "other"):
        (root / path).write_text("1")
    return root


CHANGES: dict[str, tuple[Callable[[Path], object], bool]] = {
    "nothing": (lambda root: None, True),
    "unrelated": (lambda root: (root / "other").write_text("2"), True),
    "read": (lambda root: (root / "s/a").read_text(), True),
    "write": (lambda root: (root / "s/a").write_text("2"), False),
    "write and put the time back": (lambda root: ((root / "s/a").write_text("2"), os.utime(root / "s/a", ns=(5, 5))), False),
    "chmod": (lambda root: (root / "s/a").chmod(0o600), False),
    "xattr": (lambda root: os.setxattr(root / "s/t/b", "user.x", b"1"), False),
    "replace": (lambda root: os.replace(root / "other", root / "s/a"), False),
    "add": (lambda root: (root / "s/t/new").write_text(""), False),
    "remove": (lambda root: (root / "s/t/b").unlink(), False),
    "rename": (lambda root: (root / "s/t").rename(root / "s/u"), False),
    "link": (lambda root: os.link(root / "s/a", root / "elsewhere"), False),
    "chmod of the directory": (lambda root: (root / "s").chmod(0o700), False),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_digest_is_known_until_something_changes(context: Path, name: str) -> None:
    notes = Notes()
    first = looks(notes, DirTree(context))
    assert first.digest is None
    first.remember("digest", 3)
    change, same = CHANGES[name]
    time.sleep(0.02)  # one tick of the file system's clock
    change(context)
    again = looks(notes, DirTree(context))
    assert (again.digest, again.count) == (("digest", 3) if same else (None, 0))
    assert first.holds(DirTree(context)) is same


def test_what_is_young_is_not_remembered(context: Path) -> None:
    notes = Notes()
    looks(notes, DirTree(context), time.time_ns).remember("digest", 3)
    assert notes.values == {}
    looks(notes, DirTree(context), later).remember("digest", 3)
    assert len(notes.values) == 1


def test_other_rules_have_other_digests(context: Path) -> None:
    notes = Notes()
    looks(notes, DirTree(context), rules="one").remember("digest", 3)
    assert looks(notes, DirTree(context), rules="other").digest is None
    (context / ".dockerignore").write_text("nothing-there\n")
    assert looks(notes, with_ignore(DirTree(context)), rules="one").digest is None
    assert looks(notes, DirTree(context), rules="one").digest == "digest"


def test_what_is_ignored_does_not_count_and_what_is_taken_back_does(context: Path) -> None:
    (context / ".dockerignore").write_text("s/t\n!s/t/b\ns/log\n")
    (context / "s/log").write_text("1")
    notes = Notes()
    looks(notes, with_ignore(DirTree(context))).remember("digest", 3)
    time.sleep(0.02)
    (context / "s/log").write_text("22")
    assert looks(notes, with_ignore(DirTree(context))).digest == "digest"
    (context / "s/t/b").write_text("22")
    assert looks(notes, with_ignore(DirTree(context))).digest is None


def test_names_that_are_no_text_and_single_files(context: Path) -> None:
    (context / os.fsdecode(b"s/\xff")).write_text("1")
    notes = Notes()
    looks(notes, DirTree(context)).remember("digest", 3)
    assert looks(notes, DirTree(context)).digest == "digest"
    tree = DirTree(context)
    assert Unchanged(notes).glance(tree, "", select(tree, ("s/a", "other")).items) is None


class Counting(DirTree):
    """A context that counts what is asked of its files one by one."""

    asked = 0

    def scan(self, path: str) -> Iterator[tuple[str, Entry, os.stat_result, tuple[tuple[str, bytes], ...]]]:
        Counting.asked += 1
        return super().scan(path)


class Nowhere:
    """Fetches nothing."""

    def pin(self, source: HttpSource | GitSource) -> str:
        raise AssertionError

    def fetch(self, source: HttpSource | GitSource) -> TreeInput:
        raise AssertionError


@needs_root
def test_a_second_build_asks_no_file_for_more_than_its_stat(context: Path, tmp_path: Path) -> None:
    graph = GraphBuilder()
    inputs = (graph.add(Scratch(), (), Label("")), graph.add(ContextSource("context"), (), Label("")))
    copy = graph.add(CopyAction((CopyFrom(1, (".",), zero_owner=True),), "/d/"), inputs, Label(""))
    vertices = graph.finish().vertices
    steps: Any = None
    with Store.open(tmp_path / "store") as store, Layers(store, xattr_prefix=XATTR_PREFIX) as layers:

        def operations() -> Operations:
            unchanged = Unchanged(store.index, clock=later)
            return Operations(
                layers, {"context": Counting(context)}, {}, Nowhere(), steps, FileDigests(store.index), Times(10**18), unchanged=unchanged
            )

        first = operations()
        digest = first.read_digest(vertices[copy], 1, first.source(vertices[inputs[1]]))
        assert Counting.asked > 0
        Counting.asked = 0
        second = operations()
        given = (second.base(vertices[inputs[0]]), second.source(vertices[inputs[1]]))
        assert second.read_digest(vertices[copy], 1, given[1]) == digest
        assert Counting.asked == 0
        told: list[str] = []
        control = StepControl(lambda stream, data: None, lambda code, message: told.append(code), threading.Event())
        assert second.run(vertices[copy], given, control).settled
        (context / "s/late").write_text("late")
        assert not second.run(vertices[copy], given, control).settled
        assert told == ["context-changed"]
