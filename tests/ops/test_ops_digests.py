"""Reference 1.15, COPY/ADD local: what is in the content key and what is not."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from builder.context.directory import open_directory
from builder.context.statcache import FileDigests, MemoryDigests
from builder.errors import NotFoundError
from builder.fs.entries import Entry
from builder.fs.tree import MemoryTree
from builder.graph.operations import CopyAction, CopyFrom
from builder.ops.digests import copy_digests, owner_digest, selection_digest, tree_digest

DIGESTS = FileDigests(None)
FILES: dict[str, object] = {"s/a": "1", "s/t/b": "22", "s/l": "-> a", "f": "3", "other": "4"}


def key(context: Path, *paths: str, **flags: Any) -> str:
    source = CopyFrom(0, paths, zero_owner=True)
    action = msgspec.structs.replace(CopyAction((source,), "/d/"), **flags)
    return selection_digest(action, source, open_directory(str(context)), DIGESTS)


def _touch(root: Path) -> None:
    os.utime(root / "s/a", ns=(1, 1))
    os.utime(root / "s", ns=(1, 1))


def _hard_link(root: Path) -> None:
    (root / "s/t/b").unlink()
    os.link(root / "s/a", root / "s/t/b")


def _same_size_and_mtime(root: Path) -> None:
    before = (root / "s/a").stat()
    (root / "s/a").write_text("9")
    os.utime(root / "s/a", ns=(before.st_atime_ns, before.st_mtime_ns))


def _relink(root: Path) -> None:
    (root / "s/l").unlink()
    (root / "s/l").symlink_to("b")


CHANGES: dict[str, tuple[Callable[[Path], object], bool]] = {
    "touch": (_touch, False),
    "unrelated_file": (lambda root: (root / "other").write_text("5"), False),
    "owner_of_a_context_file": (lambda root: os.chown(root / "s/a", 5, 5), False),
    "mode_of_the_context_itself": (lambda root: root.chmod(0o700), False),
    "rewritten_alike": (lambda root: (root / "s/a").write_text("1"), False),
    "chmod": (lambda root: (root / "s/a").chmod(0o755), True),
    "chmod_of_a_directory": (lambda root: (root / "s/t").chmod(0o700), True),
    "data": (lambda root: (root / "s/a").write_text("2"), True),
    "data_of_same_size_and_mtime": (_same_size_and_mtime, True),
    "rename_inside": (lambda root: (root / "s/a").rename(root / "s/c"), True),
    "move_inside": (lambda root: (root / "s/a").rename(root / "s/t/a"), True),
    "new_file": (lambda root: (root / "s/new").write_text(""), True),
    "new_directory": (lambda root: (root / "s/new").mkdir(), True),
    "removed": (lambda root: (root / "s/t/b").unlink(), True),
    "link_target": (_relink, True),
    "xattr": (lambda root: os.setxattr(root / "s/a", "user.x", b"1"), True),
    "hard_link_instead": (_hard_link, True),
}


@pytest.mark.parametrize("name", CHANGES)
def test_1_15_what_changes_the_key_of_a_directory(bench: Any, name: str) -> None:
    bench.fill(bench.context, FILES)
    change, changes = CHANGES[name]
    before = key(bench.context, "s")
    assert key(bench.context, "s") == before
    change(bench.context)
    assert (key(bench.context, "s") != before) is changes


def test_1_15_renaming_the_source_is_a_miss_and_moving_it_is_not(bench: Any) -> None:
    bench.fill(bench.context, {**FILES, "deep/": ""})
    whole, one = key(bench.context, "s"), key(bench.context, "f")
    shutil.copytree(bench.context / "s", bench.context / "renamed", symlinks=True)
    shutil.copytree(bench.context / "s", bench.context / "deep/s", symlinks=True)
    shutil.copy2(bench.context / "f", bench.context / "renamed_f")
    shutil.copy2(bench.context / "f", bench.context / "deep/f")
    assert key(bench.context, "renamed") != whole
    assert key(bench.context, "renamed_f") != one
    assert key(bench.context, "deep/s") == whole
    assert key(bench.context, "deep/f") == one


def test_1_15_excluded_files_do_not_count(bench: Any) -> None:
    bench.fill(bench.context, FILES)
    before = key(bench.context, "s", excludes=("t",))
    (bench.context / "s/t/b").write_text("changed")
    assert key(bench.context, "s", excludes=("t",)) == before
    assert key(bench.context, "s") != before


def test_1_15_ignored_files_do_not_count(bench: Any) -> None:
    bench.fill(bench.context, {**FILES, ".dockerignore": "s/t\n"})
    before = key(bench.context, "s")
    (bench.context / "s/t/b").write_text("changed")
    assert key(bench.context, "s") == before


def test_1_15_parents_count_with_their_paths_and_modes(bench: Any) -> None:
    bench.fill(bench.context, {"a/b/f": "1", "c/b/f": "1"})
    before = key(bench.context, "a/b/f", parents=True)
    assert key(bench.context, "c/b/f", parents=True) != before
    assert key(bench.context, "a/./b/f", parents=True) == key(bench.context, "c/./b/f", parents=True)
    (bench.context / "a").chmod(0o700)
    assert key(bench.context, "a/b/f", parents=True) != before


def test_1_15_wildcards_count_by_what_they_match(bench: Any) -> None:
    bench.fill(bench.context, {"x.c": "1", "y.h": "2"})
    before = key(bench.context, "*.c")
    assert key(bench.context, "x*") == before
    (bench.context / "z.c").write_text("3")
    assert key(bench.context, "*.c") != before


def test_1_15_owners_of_stages_count() -> None:
    def stage(uid: int) -> str:
        tree = MemoryTree([(Entry("a", "file", 0o644, uid, 0), b"1")])
        source = CopyFrom(0, ("a",))
        return copy_digests(CopyAction((source,), "/d"), [tree], DIGESTS)[0]

    assert stage(1) == stage(1)
    assert stage(1) != stage(2)


def test_1_15_names_and_contents_cannot_run_together() -> None:
    def one(files: dict[str, bytes]) -> str:
        source = CopyFrom(0, (".",))
        return selection_digest(CopyAction((source,), "/d"), source, MemoryTree.of(files), DIGESTS)

    keys = [one(files) for files in ({"ab": b"c"}, {"a": b"bc"}, {"a": b"b", "c": b""}, {"a": b"", "b": b"c"}, {"a/b": b"c"}, {})]
    assert len(set(keys)) == len(keys)


def test_1_15_a_missing_source_is_the_error_of_the_copy(bench: Any) -> None:
    with pytest.raises(NotFoundError, match='"/nope": not found'):
        key(bench.context, "nope")


def test_1_15_a_bind_mount_has_no_name(bench: Any) -> None:
    bench.fill(bench.context, FILES)
    shutil.copytree(bench.context / "s", bench.context / "renamed", symlinks=True)
    tree = open_directory(str(bench.context))
    assert tree_digest(tree, "s", DIGESTS, zero_owner=True) == tree_digest(tree, "/renamed", DIGESTS, zero_owner=True)
    assert tree_digest(tree, "f", DIGESTS, zero_owner=True) != tree_digest(tree, "other", DIGESTS, zero_owner=True)


def test_1_15_names_of_owners_count_by_their_numbers() -> None:
    def users(passwd: bytes) -> MemoryTree:
        return MemoryTree.of({"etc/passwd": passwd})

    action = CopyAction((), "/d", chown="app")
    before = owner_digest(action, users(b"app:x:5:5::/:\n"))
    assert owner_digest(action, users(b"other:x:9:9::/:\napp:x:5:5:new comment:/:\n")) == before
    assert owner_digest(action, users(b"app:x:6:5::/:\n")) != before


def test_1_15_the_digest_is_the_same_everywhere() -> None:
    """A key goes to other machines (cache export), so its bytes must not drift unseen."""
    source = CopyFrom(0, ("s", "f"))
    tree = MemoryTree([(Entry("s/a", "file", 0o755, 1, 2, xattrs=(("user.x", b"1"),)), b"1"), (Entry("f", "symlink", link="s/a"), None)])
    assert selection_digest(CopyAction((source,), "/d/"), source, tree, FileDigests(MemoryDigests())) == PINNED


PINNED = "55274cbdbec1645fdf197fa906dae6f0450877a457c67d094126716d9fadbe97"
