"""Unpacking layers: fidelity, the order of entries, whiteouts, what is taken from lower layers."""

from __future__ import annotations

import hashlib
import io
import os
import stat
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from builder.fs.entries import Entry, decode_path
from builder.fs.overlay import opaque_mark
from builder.fs.scan import layer_entries
from builder.fs.tarread import TarError
from builder.fs.tarwrite import TarWriter
from builder.fs.tree import DirTree, EmptyTree, MemoryTree, StackTree, Tree, walk
from builder.fs.unpack import Unpacked, unpack
from tests.fs.trees import Item, build, facts_of, needs_root, read_all
from tests.privileges import needs_root_of_the_machine

pytestmark = needs_root
CAPABILITY = bytes.fromhex("0100000200040000000000000000000000000000")


def tar(items: list[Item]) -> bytes:
    out = io.BytesIO()
    writer = TarWriter(out.write)
    for entry, data in items:
        writer.add(msgspec.structs.replace(entry, size=len(data or b"")), data)
    writer.close()
    return out.getvalue()


def unpacked(items: list[Item], target: Path, lower: Tree | None = None) -> Unpacked:
    target.mkdir(exist_ok=True)
    return unpack(io.BytesIO(tar(items)), str(target), lower or EmptyTree())


def file(path: str, data: bytes = b"x", **fields: object) -> Item:
    return Entry(path, "file", 0o644, **fields), data  # type: ignore[arg-type]


def folder(path: str, mode: int = 0o755, mtime_ns: int = 0) -> Item:
    return Entry(path, "dir", mode, mtime_ns=mtime_ns), None


def link(path: str, target: str) -> Item:
    return Entry(path, "symlink", 0o777, link=target), None


def hard(path: str, target: str) -> Item:
    return Entry(path, "hardlink", link=target), None


def gone(path: str) -> Item:
    return Entry(path, "whiteout"), None


def opaque(path: str) -> Item:
    return Entry(path, "opaque"), None


FULL: list[Item] = [
    (Entry("d", "dir", 0o3750, 10, 20, 5 * 10**9, xattrs=(("user.d", b"1"),)), None),
    (Entry("d/setuid", "file", 0o6755, 30, 40, 7 * 10**9, xattrs=(("security.capability", CAPABILITY), ("user.x", b"\0"))), b"data"),
    (Entry("d/null", "char", 0o666, 1, 2, 9 * 10**9, major=1, minor=3), None),
    (Entry("d/disk", "block", 0o660, 1, 2, 9 * 10**9, major=8, minor=1), None),
    (Entry("d/pipe", "fifo", 0o622, 1, 2, 9 * 10**9), None),
    (Entry("d/link", "symlink", 0o777, 5, 6, 11 * 10**9, link="../../../no where"), None),
    (Entry("d/hard", "hardlink", link="d/setuid"), None),
    (Entry("d/" + "n" * 255, "file", 0o000, 0, 0, 10**9), b"a" * 100_000),
    (Entry(decode_path(b"raw\xff\x01"), "file", 0o400, 2_000_000, 3_000_000, -(10**9)), b""),
    (Entry("/".join(["deep"] * 80), "dir", 0o700, 0, 0, 3 * 10**9), None),
]


@needs_root_of_the_machine
def test_everything_survives(tmp_path: Path) -> None:
    made = unpacked(FULL, tmp_path / "out")
    assert facts_of(StackTree([str(tmp_path / "out")])) == facts_of(MemoryTree(FULL))
    assert made.entries == len(FULL)
    assert made.skipped == ()


@needs_root_of_the_machine
def test_the_diff_id_is_that_of_all_bytes(tmp_path: Path) -> None:
    data = tar(FULL) + bytes(20 * 512) + b"trailing"
    (tmp_path / "out").mkdir()
    made = unpack(io.BytesIO(data), str(tmp_path / "out"), EmptyTree())
    assert made.diff_id == "sha256:" + hashlib.sha256(data).hexdigest()
    assert made.plain_size == len(data)


def test_unpacking_and_packing_again_is_the_same_tar(tmp_path: Path) -> None:
    items = [
        folder("a", mtime_ns=10**9),
        file("a/b", b"1"),
        gone("a/c"),
        (Entry("a/d", "hardlink", 0o644, link="a/b"), None),
        link("a/e", "b"),
        gone("z"),
    ]
    unpacked(items, tmp_path / "out")
    again = io.BytesIO()
    writer = TarWriter(again.write)
    for entry, opener in layer_entries(str(tmp_path / "out")):
        fd = opener() if opener else None
        writer.add(entry, fd)
        if fd is not None:
            os.close(fd)
    writer.close()
    assert again.getvalue() == tar(items)


def test_directory_times_are_set_at_the_end(tmp_path: Path) -> None:
    items = [
        folder("a", mtime_ns=10**9),
        folder("a/b", mtime_ns=2 * 10**9),
        file("a/b/c"),
        file("a/d"),
        folder("", 0o711, 3 * 10**9),
        file("e"),
    ]
    unpacked(items, tmp_path / "out")
    assert [os.stat(tmp_path / "out" / name).st_mtime_ns for name in ("a", "a/b", "")] == [10**9, 2 * 10**9, 3 * 10**9]
    assert stat.S_IMODE(os.stat(tmp_path / "out").st_mode) == 0o711


def test_a_directory_may_come_after_what_is_in_it(tmp_path: Path) -> None:
    unpacked([file("a/b"), folder("a", 0o700, 10**9)], tmp_path / "out")
    assert facts_of(DirTree(tmp_path / "out")) == facts_of(MemoryTree([folder("a", 0o700, 10**9), file("a/b")]))


def test_a_read_only_directory_can_be_filled(tmp_path: Path) -> None:
    unpacked([folder("a", 0o555), file("a/b")], tmp_path / "out")
    assert walk(DirTree(tmp_path / "out")) == ["a", "a/b"]


# -- what replaces what ---------------------------------------------------------------------------------


@pytest.mark.parametrize("first", [file("x", b"1"), folder("x"), link("x", "y"), hard("x", "other"), (Entry("x", "fifo"), None)])
@pytest.mark.parametrize("second", [file("x", b"2"), folder("x"), link("x", "z"), hard("x", "other"), (Entry("x", "fifo"), None)])
def test_the_later_of_two_wins(tmp_path: Path, first: Item, second: Item) -> None:
    unpacked([file("other", b"o"), file("y"), first, second], tmp_path / "out")
    tree = DirTree(tmp_path / "out")
    assert facts_of(tree) == facts_of(MemoryTree([file("other", b"o"), file("y"), second]))
    assert read_all(tree.open("other")) == b"o"


def test_a_directory_replaced_by_a_file_takes_its_contents_along(tmp_path: Path) -> None:
    unpacked([folder("x", mtime_ns=10**9), file("x/a/b"), file("x", b"new"), file("after")], tmp_path / "out")
    assert walk(DirTree(tmp_path / "out")) == ["after", "x"]
    assert os.stat(tmp_path / "out/x").st_mtime_ns == 0


def test_a_directory_replaced_by_a_link_and_again_by_a_directory(tmp_path: Path) -> None:
    items = [folder("x"), file("x/a"), link("x", "y"), folder("y"), file("x/b"), folder("x", mtime_ns=10**9), file("x/c")]
    unpacked(items, tmp_path / "out")
    assert walk(DirTree(tmp_path / "out")) == ["x", "x/c", "y", "y/b"]


def test_writing_to_a_name_does_not_write_to_what_it_was_linked_with(tmp_path: Path) -> None:
    unpacked([file("a", b"old"), hard("b", "a"), file("b", b"new")], tmp_path / "out")
    assert (tmp_path / "out/a").read_bytes() == b"old"
    assert (tmp_path / "out/b").read_bytes() == b"new"


def test_a_file_where_a_directory_is_needed_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(TarError, match="is not a directory") as caught:
        unpacked([file("a"), file("a/b")], tmp_path / "out")
    assert caught.value.code == "tar-parent"


@pytest.mark.parametrize(
    "items",
    [[hard("a", "missing")], [hard("a", "a")], [folder("d"), hard("a", "d")], [gone("w"), hard("a", "w")], [file("a/b"), hard("a", "a/b")]],
)
def test_hard_links_to_nothing(tmp_path: Path, items: list[Item]) -> None:
    with pytest.raises(TarError) as caught:
        unpacked(items, tmp_path / "out")
    assert caught.value.code == "tar-link"


def test_a_hard_link_to_a_symlink_is_the_symlink(tmp_path: Path) -> None:
    unpacked([link("l", "target"), hard("h", "l")], tmp_path / "out")
    assert os.readlink(tmp_path / "out/h") == "target"
    assert DirTree(tmp_path / "out").identity("h") == DirTree(tmp_path / "out").identity("l")


# -- whiteouts ------------------------------------------------------------------------------------------

LOWER = [file("d/old", b"1"), file("d/sub/x", b"1"), file("f", b"1"), file("e/y", b"1"), folder("only", 0o700)]


def merged(tmp_path: Path, items: list[Item]) -> list[str]:
    low = build(tmp_path / "low", LOWER)
    unpacked(items, tmp_path / "out", StackTree([str(low)], frozen=True))
    return walk(StackTree([str(tmp_path / "out"), str(low)], frozen=True))


@needs_root_of_the_machine
@pytest.mark.parametrize(
    ("items", "wanted"),
    [
        ([gone("f")], "d d/old d/sub d/sub/x e e/y only"),
        ([gone("d")], "e e/y f only"),
        ([gone("d/sub/x")], "d d/old d/sub e e/y f only"),
        ([gone("missing")], "d d/old d/sub d/sub/x e e/y f only"),
        ([opaque("d")], "d e e/y f only"),
        ([opaque("d"), file("d/new")], "d d/new e e/y f only"),
        ([file("d/new"), opaque("d")], "d d/new e e/y f only"),
        ([file("d/sub/new"), opaque("d")], "d d/sub d/sub/new e e/y f only"),
        ([gone("d"), file("d/new")], "d d/new e e/y f only"),
        ([file("d/new"), gone("d")], "d d/new e e/y f only"),
        ([folder("d"), gone("d")], "d e e/y f only"),
        ([gone("d"), folder("d")], "d e e/y f only"),
        ([gone("f"), file("f", b"2")], "d d/old d/sub d/sub/x e e/y f only"),
        ([file("f", b"2"), gone("f")], "d d/old d/sub d/sub/x e e/y f only"),
        ([gone("d"), file("d", b"2")], "d e e/y f only"),
        ([gone("f"), folder("f"), file("f/new")], "d d/old d/sub d/sub/x e e/y f f/new only"),
        ([gone("f"), link("f", "d")], "d d/old d/sub d/sub/x e e/y f only"),
        ([opaque("")], ""),
        ([opaque(""), file("f", b"2"), file("d/new")], "d d/new f"),
        ([file("f", b"2"), file("d/new"), opaque("")], "d d/new f"),
        ([opaque("nothing/here")], "d d/old d/sub d/sub/x e e/y f nothing nothing/here only"),
        ([gone("d/old"), gone("d/old")], "d d/sub d/sub/x e e/y f only"),
        ([(Entry("f", "char"), None)], "d d/old d/sub d/sub/x e e/y only"),
    ],
)
def test_whiteouts_hide_lower_layers_only_and_in_any_order(tmp_path: Path, items: list[Item], wanted: str) -> None:
    assert merged(tmp_path, items) == wanted.split()


def test_the_mark_is_the_prefix_asked_for(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    unpack(io.BytesIO(tar([folder("d"), opaque("d")])), str(tmp_path / "out"), EmptyTree(), "user.overlay.")
    assert opaque_mark(os.fsencode(tmp_path / "out/d"), "user.overlay.opaque") == "y"
    assert opaque_mark(os.fsencode(tmp_path / "out/d"), "trusted.overlay.opaque") == ""


# -- what comes from lower layers -----------------------------------------------------------------------


def lower_of(tmp_path: Path) -> StackTree:
    items: list[Item] = [
        (Entry("", "dir", 0o711, 1, 2, 4 * 10**9), None),
        (Entry("usr", "dir", 0o2775, 3, 4, 5 * 10**9, xattrs=(("user.x", b"1"),)), None),
        (Entry("usr/bin", "dir", 0o750, 5, 6, 6 * 10**9), None),
        (Entry("usr/bin/tool", "file", 0o4755, 7, 8, 7 * 10**9, xattrs=(("security.capability", CAPABILITY),)), b"tool"),
        (Entry("bin", "symlink", link="usr/bin"), None),
        (Entry("usr/pipe", "fifo", 0o600, 7, 8, 7 * 10**9), None),
    ]
    return StackTree([str(build(tmp_path / "low", items))], frozen=True)


def test_implied_parents_take_the_lower_metadata(tmp_path: Path) -> None:
    unpacked([file("usr/bin/new"), file("fresh/dir/f")], tmp_path / "out", lower_of(tmp_path))
    tree = DirTree(tmp_path / "out")
    assert tree.lstat("usr") == Entry("usr", "dir", 0o2775, 3, 4, 5 * 10**9)
    assert tree.xattrs("usr") == (("user.x", b"1"),)
    assert tree.lstat("usr/bin") == Entry("usr/bin", "dir", 0o750, 5, 6, 6 * 10**9)
    assert tree.lstat("fresh/dir") == Entry("fresh/dir", "dir", 0o755, 0, 0, 0)
    assert tree.lstat("") == Entry("", "dir", 0o711, 1, 2, 4 * 10**9)


def test_a_hard_link_to_a_lower_file_copies_it_up(tmp_path: Path) -> None:
    unpacked(
        [hard("usr/again", "usr/bin/tool"), hard("usr/third", "usr/bin/tool"), hard("p", "usr/pipe")], tmp_path / "out", lower_of(tmp_path)
    )
    tree = DirTree(tmp_path / "out")
    assert tree.identity("usr/again") == tree.identity("usr/bin/tool") == tree.identity("usr/third")
    assert tree.lstat("usr/again") == Entry("usr/again", "file", 0o4755, 7, 8, 7 * 10**9, 4)
    assert tree.xattrs("usr/third") == (("security.capability", CAPABILITY),)
    assert read_all(tree.open("usr/again")) == b"tool"
    entry = tree.lstat("p")
    assert entry is not None
    assert entry.kind == "fifo"
    assert tree.lstat("usr") == Entry("usr", "dir", 0o2775, 3, 4, 5 * 10**9)


def test_links_of_lower_layers_are_not_followed(tmp_path: Path) -> None:
    """docker's overlay2 and containerd's overlay snapshotter both unpack without looking below, so an image runs with a directory here."""
    unpacked([file("bin/new"), gone("bin/old")], tmp_path / "out", lower_of(tmp_path))
    tree = DirTree(tmp_path / "out")
    assert tree.lstat("bin") == Entry("bin", "dir", 0o755)
    assert tree.names("bin") == ("new", "old")
    assert tree.lstat("usr") is None


def test_links_of_the_same_layer_are_followed(tmp_path: Path) -> None:
    items = [
        link("lib", "usr/lib"),
        file("lib/a"),
        link("up", "../../usr/./lib"),
        file("up/b"),
        link("abs", "/usr/lib/../lib"),
        file("abs/c"),
        gone("abs/d"),
    ]
    unpacked(items, tmp_path / "out")
    assert DirTree(tmp_path / "out").names("usr/lib") == ("a", "b", "c", "d")
    assert os.readlink(tmp_path / "out/abs") == "/usr/lib/../lib"


# -- any archive ----------------------------------------------------------------------------------------

names = st.sampled_from(["a", "b", "c"])
paths = st.lists(names, min_size=1, max_size=3).map("/".join)
anything = st.one_of(
    paths.map(file),
    paths.map(folder),
    st.tuples(paths, paths).map(lambda pair: hard(*pair)),
    st.tuples(paths, st.sampled_from(["a", "../b", "/c", "../../..", "a/b/c", "."])).map(lambda pair: link(*pair)),
    paths.map(gone),
    paths.map(opaque),
)


@needs_root_of_the_machine
@given(st.lists(anything, max_size=12))
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_order_of_entries_ends_well_or_in_a_tar_error(tmp_path: Path, items: list[Item]) -> None:
    run = tmp_path / os.urandom(8).hex()
    run.mkdir()
    (run / "canary").write_bytes(b"safe")
    low = build(run / "low", [file("a/b/c"), file("b"), folder("c")])
    before = facts_of(StackTree([str(low)]))
    try:
        unpacked(items, run / "out", StackTree([str(low)], frozen=True))
    except TarError:
        pass
    else:
        for entry, _ in layer_entries(str(run / "out")):
            assert ".." not in entry.path.split("/")
    assert sorted(os.listdir(run)) == ["canary", "low", "out"]
    assert (run / "canary").read_bytes() == b"safe"
    assert facts_of(StackTree([str(low)])) == before
