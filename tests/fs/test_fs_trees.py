"""One suite for every tree."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from builder.fs.entries import Entry, decode_path
from builder.fs.overlay import make_opaque, make_whiteout
from builder.fs.tree import DirTree, EmptyTree, MemoryTree, StackTree, Tree, walk
from tests.fs.trees import Item, build, facts_of, read_all
from tests.privileges import needs_root_of_the_machine

RAW = decode_path(b"raw-\xff\x80")
LATE = "\U0001f600"

ITEMS: list[Item] = [
    (Entry("dir", "dir", 0o2750, 1, 2, 10**18), None),
    (Entry("dir/file", "file", 0o4755, 3, 4, 10**18, xattrs=(("user.note", b"a\0b"),)), b"contents"),
    (Entry("dir/link", "symlink", 0o777, 5, 6, 10**18, link="../../etc"), None),
    (Entry("dir/loop", "symlink", 0o777, 5, 6, 10**18, link="loop"), None),
    (Entry("dir/fifo", "fifo", 0o600, 0, 0, 10**18), None),
    (Entry("dir/null", "char", 0o666, 0, 0, 10**18, major=1, minor=3), None),
    (Entry("empty", "file", 0o600, 0, 0, 10**18), b""),
    (Entry("joined", "hardlink", link="dir/file"), None),
    (Entry("up", "symlink", 0o777, 0, 0, 10**18, link="dir"), None),
    (Entry(f"{RAW}/{LATE}", "file", 0o644, 0, 0, 10**18), b"raw"),
    (Entry(f"{RAW}/é", "file", 0o644, 0, 0, 10**18), b"raw"),
]

MakeTree = Callable[[Path], Tree]


def directory(path: Path) -> Tree:
    return DirTree(build(path / "one", ITEMS))


def memory(path: Path) -> Tree:
    return MemoryTree(ITEMS)


def stack_of_one(path: Path) -> Tree:
    return StackTree([str(build(path / "one", ITEMS))])


def frozen_stack(path: Path) -> Tree:
    return StackTree([str(build(path / "one", ITEMS))], frozen=True)


def split_stack(path: Path) -> Tree:
    """Two layers with half of the files each, a third that hides what it has below, over a fourth that is hidden."""
    pairs = [item for item in ITEMS if item[0].path in ("dir/file", "joined") or item[0].path == "dir"]
    rest = [item for item in ITEMS if item not in pairs or item[0].path == "dir"]
    hidden: list[Item] = [
        (Entry("gone/deep/file", "file", 0o600), b"x"),
        (Entry("dir/stale", "file", 0o600), b"x"),
        (Entry("up/x", "file"), b"x"),
    ]
    lowest = build(path / "lowest", hidden)
    low = build(path / "low", [*rest, (Entry("late", "file"), b"x")])
    hide(low, "gone", "dir/stale")
    top = build(path / "top", pairs)
    hide(top, "late")
    return StackTree([str(top), str(low), str(lowest)])


def frozen_split(path: Path) -> Tree:
    split_stack(path)
    return StackTree([str(path / "top"), str(path / "low"), str(path / "lowest")], "trusted.overlay.", frozen=True)


def hide(layer: Path, *paths: str) -> None:
    for path in paths:
        fd = os.open(layer / os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY)
        make_whiteout(fd, os.path.basename(path).encode())
        os.close(fd)
        times = 10**18 if "/" in path else 0
        os.utime(layer / os.path.dirname(path), ns=(times, times))


KINDS: list[MakeTree] = [directory, memory, stack_of_one, frozen_stack, split_stack, frozen_split]


@pytest.fixture(params=KINDS, ids=lambda make: make.__name__)
def tree(request: pytest.FixtureRequest, tmp_path: Path) -> Tree:
    made: Tree = request.param(tmp_path)
    return made


pytestmark = needs_root_of_the_machine  # a tree of everything has devices and trusted attributes


def test_all_trees_say_the_same(tree: Tree) -> None:
    assert facts_of(tree) == facts_of(MemoryTree(ITEMS))


def test_lstat_of_what_is_there(tree: Tree) -> None:
    assert tree.lstat("dir/file") == Entry("dir/file", "file", 0o4755, 3, 4, 10**18, 8)
    assert tree.lstat("dir/link") == Entry("dir/link", "symlink", 0o777, 5, 6, 10**18, 0, "../../etc")
    assert tree.lstat("dir/null") == Entry("dir/null", "char", 0o666, 0, 0, 10**18, major=1, minor=3)
    assert tree.lstat("dir") == Entry("dir", "dir", 0o2750, 1, 2, 10**18)


def test_the_root_is_always_there(tree: Tree) -> None:
    root = tree.lstat("")
    assert root is not None
    assert (root.path, root.kind) == ("", "dir")
    assert tree.xattrs("") == ()
    assert tree.identity("") is None


def test_names_are_sorted_by_their_bytes(tree: Tree) -> None:
    assert tree.names("") == ("dir", "empty", "joined", RAW, "up")
    assert tree.names(RAW) == ("é", LATE)


@pytest.mark.parametrize("path", ["nothing", "nothing/below", "dir/file/below", "up/file", "dir/link/passwd", "dir/loop/x", "a" * 300])
def test_absence_and_parents_that_are_no_directories(tree: Tree, path: str) -> None:
    assert tree.lstat(path) is None
    assert tree.names(path) == ()
    assert tree.xattrs(path) == ()
    assert tree.identity(path) is None
    with pytest.raises(OSError, match=r"."):
        tree.open(path)


@pytest.mark.parametrize("path", ["", "dir", "dir/link", "dir/fifo", "dir/null", "up"])
def test_only_regular_files_are_opened(tree: Tree, path: str) -> None:
    with pytest.raises(FileNotFoundError):
        tree.open(path)


def test_names_of_what_is_no_directory(tree: Tree) -> None:
    assert tree.names("dir/file") == ()
    assert tree.names("up") == ()


def test_open_reads_from_the_start_each_time(tree: Tree) -> None:
    assert read_all(tree.open("dir/file")) == b"contents"
    assert read_all(tree.open("joined")) == b"contents"
    assert read_all(tree.open("empty")) == b""


def test_hard_links_share_an_identity(tree: Tree) -> None:
    assert tree.identity("dir/file") is not None
    assert tree.identity("dir/file") == tree.identity("joined")
    assert tree.identity("empty") is None


def test_only_kept_xattrs_are_shown(tree: Tree) -> None:
    assert tree.xattrs("dir/file") == (("user.note", b"a\0b"),)


def test_xattrs_of_labels_acls_and_overlay_are_never_kept(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"")
    for name in ("user.overlay.opaque", "trusted.overlay.opaque", "security.selinux"):
        os.setxattr(tmp_path / "f", name, b"y")
    os.setxattr(tmp_path / "f", "security.capability", bytes.fromhex("0100000200040000000000000000000000000000"))
    assert [name for name, _ in DirTree(tmp_path).xattrs("f")] == ["security.capability"]


@pytest.mark.parametrize("path", ["..", "../x", "dir/../x", "dir/.", "dir//file", "/dir"])
def test_paths_that_are_not_clean_are_refused_by_what_reads_disks(tmp_path: Path, path: str) -> None:
    (tmp_path / "d").mkdir()
    for tree in (directory(tmp_path / "d"), stack_of_one(tmp_path), frozen_stack(tmp_path)):
        with pytest.raises(ValueError, match="not a path inside a tree"):
            tree.lstat(path)


def test_an_empty_stack() -> None:
    tree = EmptyTree()
    assert tree.lstat("") == Entry("", "dir", 0o755)
    assert tree.names("") == ()
    assert tree.lstat("x") is None


# -- what only a stack has ------------------------------------------------------------------------------


def test_an_opaque_directory_hides_all_below_it(tmp_path: Path) -> None:
    low = build(tmp_path / "low", [(Entry("d/old", "file"), b"1"), (Entry("d/sub/old", "file"), b"1"), (Entry("keep", "file"), b"1")])
    top = build(tmp_path / "top", [(Entry("d/sub/new", "file"), b"2")])
    make_opaque(os.fsencode(top / "d"), "trusted.overlay.opaque")
    for stack in ([str(top), str(low)], [str(build(tmp_path / "over", [])), str(top), str(low)]):
        tree = StackTree(stack)
        assert walk(tree) == ["d", "d/sub", "d/sub/new", "keep"]
        assert tree.lstat("d/sub/old") is None
        assert tree.lstat("d/old") is None


def test_a_file_hides_a_directory_below_it_and_the_reverse(tmp_path: Path) -> None:
    lowest = build(tmp_path / "lowest", [(Entry("a/x", "file"), b"1"), (Entry("b/x", "file"), b"1")])
    low = build(tmp_path / "low", [(Entry("a", "file"), b"2"), (Entry("b", "symlink", link="a"), None)])
    top = build(tmp_path / "top", [(Entry("a/y", "file"), b"3")])
    for stack in ([str(top), str(low), str(lowest)], [str(build(tmp_path / "over", [])), str(top), str(low), str(lowest)]):
        tree = StackTree(stack)
        assert walk(tree) == ["a", "a/y", "b"]
        assert tree.lstat("a/x") is None
        assert tree.lstat("b/x") is None


def test_attribute_whiteouts_count_only_in_marked_directories(tmp_path: Path) -> None:
    low = build(tmp_path / "low", [(Entry(path, "file"), b"1") for path in ("d/a", "d/b", "e/a")])
    top = build(tmp_path / "top", [(Entry(path, "file"), b"") for path in ("d/a", "e/a")])
    for path in ("d/a", "e/a"):
        os.setxattr(top / path, "trusted.overlay.whiteout", b"")
    os.setxattr(top / "d", "trusted.overlay.opaque", b"x")
    for stack in ([str(top), str(low)], [str(build(tmp_path / "over", [])), str(top), str(low)]):
        tree = StackTree(stack)
        assert walk(tree) == ["d", "d/b", "e", "e/a"]
        assert read_all(tree.open("e/a")) == b""


def test_the_topmost_directory_may_change(tmp_path: Path) -> None:
    low = build(tmp_path / "low", [(Entry("d/a", "file"), b"1")])
    top = build(tmp_path / "top", [])
    tree = StackTree([str(top), str(low)])
    assert walk(tree) == ["d", "d/a"]
    build(top, [(Entry("d/b", "file"), b"2")])
    assert walk(tree) == ["d", "d/a", "d/b"]
    make_opaque(os.fsencode(top / "d"), "trusted.overlay.opaque")
    assert walk(tree) == ["d", "d/b"]
    os.unlink(top / "d/b")
    os.rmdir(top / "d")
    make_whiteout(os.open(top, os.O_RDONLY), b"d")
    assert walk(tree) == []


def test_the_user_prefix_is_another_attribute(tmp_path: Path) -> None:
    low = build(tmp_path / "low", [(Entry("d/a", "file"), b"1")])
    top = build(tmp_path / "top", [(Entry("d/b", "file"), b"1")])
    make_opaque(os.fsencode(top / "d"), "user.overlay.opaque")
    assert walk(StackTree([str(top), str(low)])) == ["d", "d/a", "d/b"]
    assert walk(StackTree([str(top), str(low)], "user.overlay.")) == ["d", "d/b"]
    assert StackTree([str(top), str(low)], "user.overlay.opaque").xattrs("d") == ()


def test_a_deep_stack_needs_few_descriptors(tmp_path: Path) -> None:
    layers = [str(build(tmp_path / f"layer{number}", [(Entry(f"d{number}/e/f", "file"), b"1")])) for number in range(60)]
    tree = StackTree(layers, frozen=True)
    before = len(os.listdir("/proc/self/fd"))
    assert len(walk(tree)) == 180
    assert len(os.listdir("/proc/self/fd")) - before < 250


def test_directories_deeper_than_descriptors(tmp_path: Path) -> None:
    path = "/".join(["d"] * 600)
    tree = DirTree(build(tmp_path / "one", [(Entry(f"{path}/f", "file"), b"1")]))
    before = len(os.listdir("/proc/self/fd"))
    assert read_all(tree.open(f"{path}/f")) == b"1"
    assert tree.names(path) == ("f",)
    assert len(os.listdir("/proc/self/fd")) - before < 50
