"""Digests of what a tree holds: what changes them and what does not."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest

from builder.fs.contenthash import breakdown, tree_digest
from builder.fs.entries import Entry
from builder.fs.tree import DirTree, MemoryTree, Tree
from tests.fs.trees import Item, build, needs_root

ITEMS: list[Item] = [
    (Entry("d", "dir", 0o755, 1, 2, 5), None),
    (Entry("d/f", "file", 0o644, 1, 2, 5, xattrs=(("user.a", b"1"),)), b"data"),
    (Entry("d/l", "symlink", 0o777, 0, 0, 5, link="f"), None),
    (Entry("d/n", "char", 0o666, major=1, minor=3), None),
    (Entry("e", "file", 0o644, 0, 0, 5), b""),
]


def changed(at: str, data: bytes | None = None, **fields: object) -> Tree:
    items = []
    for entry, content in ITEMS:
        if entry.path == at:
            items.append((msgspec.structs.replace(entry, **fields), content if data is None else data))
        else:
            items.append((entry, content))
    return MemoryTree(items)


BASE = tree_digest(MemoryTree(ITEMS))


@pytest.mark.parametrize(
    "tree",
    [
        changed("d/f", b"DATA"), changed("d/f", mode=0o600), changed("d/f", uid=9), changed("d/f", gid=9),
        changed("d/f", path="d/g"), changed("d/f", path="f"),
        changed("d/f", xattrs=(("user.a", b"2"),)), changed("d/f", xattrs=()), changed("d/l", link="e"), changed("d/n", minor=5),
        changed("d/n", kind="block"),
        changed("d", mode=0o700), changed("e", kind="dir"), MemoryTree(ITEMS[:-1]), MemoryTree([*ITEMS, (Entry("z", "dir"), None)]),
    ],
)  # fmt: skip
def test_what_changes_the_digest(tree: Tree) -> None:
    assert tree_digest(tree) != BASE


@pytest.mark.parametrize("path", ["d", "d/f", "d/l", "e"])
def test_times_do_not(path: str) -> None:
    assert tree_digest(changed(path, mtime_ns=10**18)) == BASE


def test_owners_do_not_where_they_are_zeroed() -> None:
    assert tree_digest(changed("d/f", uid=9), zero_owner=True) == tree_digest(MemoryTree(ITEMS), zero_owner=True)
    assert tree_digest(MemoryTree(ITEMS), zero_owner=True) != BASE


def test_the_selected_name_does_not() -> None:
    one = MemoryTree([(Entry("x/f", "file", 0o644), b"1")])
    other = MemoryTree([(Entry("y/z/f", "file", 0o644), b"1")])
    assert tree_digest(one, ["x"]) == tree_digest(other, ["y/z"])
    assert tree_digest(one, ["x/f"]) == tree_digest(other, ["y/z/f"])
    assert tree_digest(one, ["x"]) != tree_digest(one, ["x/f"])
    assert tree_digest(one, ["x", "x"]) != tree_digest(one, ["x"])
    assert tree_digest(one, ["x", "x/f"]) != tree_digest(one, ["x/f", "x"])


def test_only_what_is_selected_counts() -> None:
    assert tree_digest(changed("e", b"changed"), ["d"]) == tree_digest(MemoryTree(ITEMS), ["d"])


def test_an_absent_path_is_an_error() -> None:
    with pytest.raises(FileNotFoundError):
        tree_digest(MemoryTree(ITEMS), ["nothing"])


def test_hard_links_are_not_two_files() -> None:
    one = MemoryTree([(Entry("a", "file"), b"1"), (Entry("b", "file"), b"1")])
    other = MemoryTree([(Entry("a", "file"), b"1"), (Entry("b", "hardlink", link="a"), None)])
    assert tree_digest(one) != tree_digest(other)
    # Outside of what is selected it does not matter.
    assert tree_digest(one, ["b"]) == tree_digest(other, ["b"])


def test_names_and_contents_cannot_be_mistaken_for_each_other() -> None:
    shapes: list[dict[str, bytes]] = [
        {"a": b"b", "c": b""},
        {"a": b"bc"},
        {"ab": b"", "c": b""},
        {"a/b": b"c"},
        {"a": b"b/c"},
        {"ab": b"c"},
    ]
    assert len({tree_digest(MemoryTree.of(shape)) for shape in shapes}) == len(shapes)


def test_digests_of_contents_can_be_handed_in() -> None:
    asked: list[str] = []

    def known(path: str, entry: Entry) -> str:
        asked.append(path)
        return "known"

    first = tree_digest(MemoryTree(ITEMS), file_digest=known)
    assert asked == ["d/f", "e"]
    assert first != BASE
    assert tree_digest(changed("d/f", b"DATA"), file_digest=known) == first


def test_the_breakdown_tells_what_differs() -> None:
    before = dict(breakdown(MemoryTree(ITEMS), "d"))
    after = dict(breakdown(changed("d/f", b"DATA"), "d"))
    assert list(before) == ["", "f", "l", "n"]
    assert [path for path in before if before[path] != after[path]] == ["f"]


@needs_root
def test_a_directory_on_disk_gives_the_same(tmp_path: Path) -> None:
    assert tree_digest(DirTree(build(tmp_path / "d", ITEMS))) == BASE


def test_names_that_are_not_utf_8(tmp_path: Path) -> None:
    found = set()
    for name in (b"\xff", b"\xfe"):
        path = os.path.join(os.fsencode(tmp_path), name)
        with open(path, "wb"):
            found.add(tree_digest(DirTree(tmp_path)))
        os.unlink(path)
    assert len(found) == 2
