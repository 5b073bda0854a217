"""A layer directory read as its layer's entries."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from builder.fs.entries import Entry, decode_path
from builder.fs.overlay import TRUSTED, make_opaque, make_whiteout
from builder.fs.scan import layer_entries
from tests.fs.trees import Item, build, needs_root, read_all
from tests.privileges import needs_root_of_the_machine

pytestmark = needs_root


def scanned(root: Path, attribute: str = TRUSTED) -> list[Entry]:
    return [entry for entry, _ in layer_entries(str(root), attribute)]


def whiteout(root: Path, path: str) -> None:
    fd = os.open(root / os.path.dirname(path), os.O_RDONLY)
    make_whiteout(fd, os.fsencode(os.path.basename(path)))
    os.close(fd)


ITEMS: list[Item] = [
    (Entry("b", "dir", 0o700, 1, 2, 10**9), None),
    (Entry("b/x", "file", 0o4755, 1, 2, 10**9, xattrs=(("user.a", b"1"),)), b"data"),
    (Entry("b/empty", "file", 0o644), b""),
    (Entry("a-", "file", 0o644), b"1"),
    (Entry("a", "hardlink", link="b/x"), None),
    (Entry("b.c", "symlink", 0o777, link="b"), None),
    (Entry("raw", "fifo", 0o600), None),
]


def test_entries_with_all_they_have(tmp_path: Path) -> None:
    root = build(tmp_path / "layer", ITEMS)
    found = scanned(root)
    assert [entry.path for entry in found] == ["a", "a-", "b", "b/empty", "b/x", "b.c", "raw"]
    # The first name in the walk is the file; the others repeat its metadata.
    assert found[0] == Entry("a", "file", 0o4755, 1, 2, 10**9, 4, xattrs=(("user.a", b"1"),))
    assert found[4] == Entry("b/x", "hardlink", 0o4755, 1, 2, 10**9, 0, "a", xattrs=(("user.a", b"1"),))
    assert found[2] == Entry("b", "dir", 0o700, 1, 2, 10**9)


def test_openers_stay_good_after_the_walk(tmp_path: Path) -> None:
    root = build(tmp_path / "layer", ITEMS)
    openers = {entry.path: opener for entry, opener in list(layer_entries(str(root)))}
    assert {path: read_all(opener()) for path, opener in openers.items() if opener} == {"a": b"data", "a-": b"1"}


def test_openers_follow_nothing(tmp_path: Path) -> None:
    root = build(tmp_path / "layer", ITEMS)
    openers = {entry.path: opener for entry, opener in layer_entries(str(root))}
    os.unlink(root / "a-")
    os.symlink("/etc/passwd", root / "a-")
    opener = openers["a-"]
    assert opener is not None
    with pytest.raises(OSError, match="symbolic links"):
        opener()


@needs_root_of_the_machine
def test_whiteouts_and_opaque_directories(tmp_path: Path) -> None:
    root = build(tmp_path / "layer", [(Entry("d/f", "file"), b""), (Entry("e", "dir", 0o755), None)])
    whiteout(root, "d/gone")
    whiteout(root, "d/e")
    make_opaque(os.fsencode(root / "d"), TRUSTED)
    os.utime(root / "d", ns=(0, 0))
    os.setxattr(root / "e", "user.overlay.opaque", b"y")
    wanted = ["d/", "d!", "d/e-", "d/f", "d/gone-", "e/"]
    assert [entry.path + {"dir": "/", "opaque": "!", "whiteout": "-"}.get(entry.kind, "") for entry in scanned(root)] == wanted
    assert Entry("d/gone", "whiteout") in scanned(root)
    assert [entry.path for entry in scanned(root, "user.overlay.") if entry.kind == "opaque"] == ["e"]


def test_order_is_by_component_and_by_bytes(tmp_path: Path) -> None:
    names = ["a", "a/z", "a/b", "a/b/c", "a.b", "a-b", "A", "é", "\U0001f600", decode_path(b"\xff"), decode_path(b"\x80")]
    items: list[Item] = [(Entry(name, "dir", 0o755), None) for name in names]
    found = [entry.path for entry in scanned(build(tmp_path / "layer", items))]
    assert found == ["A", "a", "a/b", "a/b/c", "a/z", "a-b", "a.b", decode_path(b"\x80"), "é", "\U0001f600", decode_path(b"\xff")]


def test_links_are_told_by_device_and_inode_of_this_layer_only(tmp_path: Path) -> None:
    root = build(tmp_path / "layer", [(Entry("a", "file"), b"1")])
    os.link(root / "a", tmp_path / "elsewhere")
    assert [entry.kind for entry in scanned(root)] == ["file"]


def test_deep_trees_take_few_descriptors(tmp_path: Path) -> None:
    root = build(tmp_path / "layer", [(Entry("/".join(["d"] * 900) + "/f", "file"), b"1")])
    before = len(os.listdir("/proc/self/fd"))
    most = 0
    for count, _ in enumerate(layer_entries(str(root))):
        if not count % 100:
            most = max(most, len(os.listdir("/proc/self/fd")))
    assert most - before < 120


def test_an_empty_layer(tmp_path: Path) -> None:
    assert scanned(build(tmp_path / "layer", [])) == []
