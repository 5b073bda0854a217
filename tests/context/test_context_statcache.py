"""The stat cache: what is read again and what is not."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

import pytest

from builder.context.ignore import IgnoredTree, parse_patterns
from builder.context.statcache import _BATCH, RACY_NS, FileDigests, MemoryDigests
from builder.errors import LayerwrightError
from builder.fs.tree import DirTree, MemoryTree


class Counting(DirTree):
    """Counts what is opened."""

    opened = 0

    def open(self, path: str) -> int:
        self.opened += 1
        return super().open(path)


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def later() -> int:
    """A clock by which all files are old."""
    return time.time_ns() + 2 * RACY_NS


def test_an_unchanged_file_is_not_read_again(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"1")
    store, tree = MemoryDigests(), Counting(tmp_path)
    assert FileDigests(store, clock=later).of(tree, ["a"]) == [sha(b"1")]
    assert FileDigests(store, clock=later).of(tree, ["a"]) == [sha(b"1")]
    assert tree.opened == 1


def test_a_write_that_keeps_size_and_mtime_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"1")
    store, tree = MemoryDigests(), DirTree(tmp_path)
    digests = FileDigests(store, clock=later)
    digests.of(tree, ["a"])
    before = path.stat()
    time.sleep(0.02)  # the kernel's tick: the next write gets another ctime
    path.write_bytes(b"2")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert digests.of(tree, ["a"]) == [sha(b"2")]


def test_a_file_that_just_changed_is_not_remembered(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"1")
    store = MemoryDigests()
    assert FileDigests(store).of(DirTree(tmp_path), ["a"]) == [sha(b"1")]
    assert store.rows == {}


def test_mtimes_of_the_future_are_not_remembered(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"1")
    os.utime(tmp_path / "a", ns=(later() * 2, later() * 2))
    store = MemoryDigests()
    FileDigests(store, clock=later).of(DirTree(tmp_path), ["a"])
    assert store.rows == {}


def test_another_file_in_its_place_is_read(tmp_path: Path) -> None:
    store, tree = MemoryDigests(), DirTree(tmp_path)
    digests = FileDigests(store, clock=later)
    (tmp_path / "a").write_bytes(b"1")
    (tmp_path / "b").write_bytes(b"2")
    digests.of(tree, ["a"])
    os.rename(tmp_path / "b", tmp_path / "a")
    assert digests.of(tree, ["a"]) == [sha(b"2")]


@pytest.mark.parametrize("threads", [1, 4])
def test_files_of_all_sizes_come_out_in_order(tmp_path: Path, threads: int) -> None:
    bodies = {f"f{size}": os.urandom(size) for size in (0, 1, 100, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 3 << 20, 2 << 20)}
    for name, body in bodies.items():
        (tmp_path / name).write_bytes(body)
    digests = FileDigests(None, threads=threads)
    assert digests.of(DirTree(tmp_path), list(bodies)) == [sha(body) for body in bodies.values()]


def test_any_tree_will_do(tmp_path: Path) -> None:
    tree = IgnoredTree(MemoryTree.of({"a": b"1", "b": b"2"}), parse_patterns(["b"]))
    assert FileDigests(MemoryDigests()).of(tree, ["a"]) == [sha(b"1")]
    assert FileDigests(MemoryDigests()).of(tree, []) == []


def test_a_file_that_vanished_is_an_error_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(LayerwrightError, match='"/gone" vanished'):
        FileDigests(None).of(DirTree(tmp_path), ["gone"])


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_cannot_be_read_is_an_error_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"1")
    (tmp_path / "a").chmod(0)
    with pytest.raises(LayerwrightError, match='"/a" cannot be read'):
        FileDigests(None).of(DirTree(tmp_path), ["a"])


def test_the_store_keeps_them(tmp_path: Path) -> None:
    from builder.store.store import Store

    (tmp_path / "a").write_bytes(b"1")
    tree = Counting(tmp_path)
    for _ in range(2):
        with Store.open(tmp_path / "store") as store:
            assert FileDigests(store.index, clock=later).of(tree, ["a"]) == [sha(b"1")]
    assert tree.opened == 1


def test_more_files_than_are_held_at_a_time(tmp_path: Path) -> None:
    tree = MemoryTree.of({f"f{number}": b"%d" % number for number in range(_BATCH + 100)})
    paths = [f"f{number}" for number in range(_BATCH + 100)]
    assert FileDigests(None).of(tree, paths) == [hashlib.sha256(b"%d" % number).hexdigest() for number in range(_BATCH + 100)]
