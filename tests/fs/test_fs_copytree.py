"""Creating single entries, and copying contents."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.fs.copytree import copy_data, write_entry
from builder.fs.entries import Entry
from builder.fs.overlay import is_whiteout
from builder.fs.tree import DirTree
from builder.fs.upper import remove_tree
from tests.fs.trees import needs_root, read_all
from tests.privileges import needs_root_of_the_machine


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[int]:
    (tmp_path / "d").mkdir()
    fd = os.open(tmp_path / "d", os.O_RDONLY | os.O_DIRECTORY)
    yield fd
    os.close(fd)


CAPABILITY = bytes.fromhex("0100000200040000000000000000000000000000")
ENTRIES = [
    Entry("x", "file", 0o6755, 3, 4, 10**18 + 5, 4, xattrs=(("security.capability", CAPABILITY), ("user.a", b""))),
    Entry("x", "dir", 0o3777, 3, 4, 10**18 + 5, xattrs=(("user.a", b"1"),)),
    Entry("x", "symlink", 0o777, 3, 4, 10**18 + 5, link="/nowhere"),
    Entry("x", "char", 0o666, 3, 4, 10**18 + 5, major=1, minor=3),
    Entry("x", "block", 0o666, 3, 4, 10**18 + 5, major=8, minor=0),
    Entry("x", "fifo", 0o600, 3, 4, 10**18 + 5),
    Entry("x", "socket", 0o600, 3, 4, 10**18 + 5),
]


@needs_root_of_the_machine
@needs_root
@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.kind)
def test_every_kind(tmp_path: Path, directory: int, entry: Entry) -> None:
    write_entry(directory, b"x", entry, b"data" if entry.kind == "file" else None)
    tree = DirTree(tmp_path / "d")
    found = tree.lstat("x")
    assert found is not None
    assert found.xattrs == ()
    assert (found.kind, found.mode, found.uid, found.gid, found.mtime_ns, found.size) == (
        entry.kind,
        entry.mode,
        3,
        4,
        10**18 + 5,
        entry.size,
    )
    assert (found.link, found.major, found.minor, tree.xattrs("x")) == (entry.link, entry.major, entry.minor, entry.xattrs)


@needs_root
def test_a_whiteout(directory: int, tmp_path: Path) -> None:
    write_entry(directory, b"x", Entry("x", "whiteout"))
    assert is_whiteout(os.stat(tmp_path / "d/x"))


@needs_root
@pytest.mark.parametrize("entry", [*ENTRIES, Entry("x", "whiteout")], ids=lambda entry: entry.kind)
def test_nothing_is_written_over_or_followed(tmp_path: Path, directory: int, entry: Entry) -> None:
    (tmp_path / "outside").write_bytes(b"safe")
    os.symlink(tmp_path / "outside", tmp_path / "d/x")
    with pytest.raises(FileExistsError):
        write_entry(directory, b"x", entry, b"data")
    assert (tmp_path / "outside").read_bytes() == b"safe"


def test_a_directory_may_be_there(tmp_path: Path, directory: int) -> None:
    (tmp_path / "d/x").mkdir()
    (tmp_path / "d/x/keep").touch()
    write_entry(directory, b"x", Entry("x", "dir", 0o700, os.getuid(), os.getgid(), 10**18))
    assert stat.S_IMODE(os.stat(tmp_path / "d/x").st_mode) == 0o700
    assert (tmp_path / "d/x/keep").exists()


@pytest.mark.parametrize("kind", ["hardlink", "opaque"])
def test_what_cannot_be_made_alone(directory: int, kind: str) -> None:
    with pytest.raises(ValueError, match="not an entry"):
        write_entry(directory, b"x", Entry("x", kind))  # type: ignore[arg-type]


def sparse(path: Path, size: int, stretches: dict[int, bytes]) -> int:
    with path.open("wb") as file:
        for offset, data in stretches.items():
            file.seek(offset)
            file.write(data)
        file.truncate(size)
    return os.open(path, os.O_RDONLY)


@pytest.mark.parametrize(
    ("size", "stretches"),
    [
        (0, {}),
        (5, {0: b"hello"}),
        (10, {0: b"x"}),
        (3 << 20, {}),
        ((3 << 20) + 1, {1 << 20: b"a" * 70_000, 3 << 20: b"z"}),
        (1 << 20, {0: b"x" * (1 << 20)}),
    ],
)
def test_contents_and_holes(tmp_path: Path, size: int, stretches: dict[int, bytes]) -> None:
    source = sparse(tmp_path / "a", size, stretches)
    target = os.open(tmp_path / "b", os.O_WRONLY | os.O_CREAT)
    copy_data(source, target)
    os.close(target)
    assert (tmp_path / "b").read_bytes() == (tmp_path / "a").read_bytes()
    assert (tmp_path / "b").stat().st_blocks <= (tmp_path / "a").stat().st_blocks + 16
    os.close(source)


def test_contents_from_another_file_system(tmp_path: Path) -> None:
    source = os.memfd_create("x")
    os.write(source, b"y" * 3_000_000)
    target = os.open(tmp_path / "b", os.O_WRONLY | os.O_CREAT)
    copy_data(source, target)
    os.close(target)
    os.close(source)
    assert (tmp_path / "b").read_bytes() == b"y" * 3_000_000


def test_a_tree_as_deep_as_any_is_removed_with_few_descriptors(tmp_path: Path) -> None:
    (tmp_path / "top").mkdir()
    fd = os.open(tmp_path / "top", os.O_RDONLY)
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/keep").touch()
    for number in range(1500):
        os.mkdir("d", dir_fd=fd)
        if not number % 100:
            os.symlink(tmp_path / "outside", "link", dir_fd=fd)
            os.mkdir("other", dir_fd=fd)
        below = os.open("d", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(fd)
    above = os.open(tmp_path, os.O_RDONLY)
    remove_tree(above, b"top")
    os.close(above)
    assert sorted(os.listdir(tmp_path)) == ["outside"]
    assert os.listdir(tmp_path / "outside") == ["keep"]


def test_trees_are_read_by_many_threads(tmp_path: Path) -> None:
    for number in range(200):
        path = tmp_path / f"d{number}/e"
        path.mkdir(parents=True)
        (path / "f").write_bytes(b"%d" % number)
    tree = DirTree(tmp_path, keep=4)
    wrong: list[object] = []

    def work(start: int) -> None:
        for step in range(600):
            number = (start + step * 7) % 200
            try:
                if read_all(tree.open(f"d{number}/e/f")) != b"%d" % number:
                    wrong.append(number)
            except OSError as error:
                wrong.append(error)

    threads = [threading.Thread(target=work, args=(start,)) for start in (0, 50, 100, 150)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
