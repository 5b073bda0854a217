"""Leases: what a living process works on stays, what a dead one left behind goes.

On disk, under `<root>/work/`:

    <start ns>-<random>.lock     flock'ed exclusively as long as its owner lives
    <start ns>-<random>/         the owner's private directory: drafts, half-written blobs, temporary files
        placing-<name>           the owner is moving a directory to layers/<name> and making its row

Rules. A lease says when its owner began. Whatever the owner uses it touches first (`used_ns` of a row in
the index, mtime of a blob) with a time not before its start; garbage collection takes nothing touched since
the oldest living lease began. So nothing needs to be listed by name, and a lease costs two system calls.
The kernel drops the flock when the owner dies, however it dies; then the next `sweep` removes its directory.
The lock file is made before the directory and removed after it.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from builder.store.removal import remove_tree

_LOCK = ".lock"
_PLACING = "placing-"


class Lease:
    """A living process's claim, and its private directory; close it when done."""

    def __init__(self, fd: int, directory: Path, started_ns: int) -> None:
        self._fd = fd
        self.directory = directory
        self.started_ns = started_ns
        self._numbers = 0

    @classmethod
    def start(cls, work: Path, now_ns: int) -> Lease:
        """Claims from `now_ns` on."""
        while True:
            name = f"{now_ns:020d}-{os.urandom(4).hex()}"
            path = work / (name + _LOCK)
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # Between open and flock a sweeper may have taken it for dead and unlinked it.
                if os.fstat(fd).st_nlink:
                    directory = work / name
                    directory.mkdir(0o700)
                    return cls(fd, directory, now_ns)
            except BlockingIOError:
                pass
            except BaseException:
                path.unlink(missing_ok=True)
                os.close(fd)
                raise
            os.close(fd)

    @contextmanager
    def placing(self, name: str) -> Iterator[None]:
        """Around the moving of a directory to layers/<name>: killed in between, it is found by the next sweep."""
        mark = self.directory / (_PLACING + name)
        os.close(os.open(mark, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
        yield
        mark.unlink()

    def close(self) -> None:
        """Removes the private directory and ends the claim; idempotent."""
        fd, self._fd = self._fd, -1
        if fd < 0:
            return
        try:
            remove_tree(self.directory)
            self.directory.with_name(self.directory.name + _LOCK).unlink(missing_ok=True)
        finally:
            os.close(fd)


def sweep(work: Path, unplaced: Callable[[str], None] = lambda name: None) -> int:
    """Removes what dead owners left; how many there were. `unplaced` is told the names that they were moving directories to."""
    dead = 0
    for path, fd in _dead(work):
        try:
            for name in _placing(path.with_suffix("")):
                unplaced(name)
            remove_tree(path.with_suffix(""))
            path.unlink(missing_ok=True)
            dead += 1
        finally:
            os.close(fd)
    return dead


def _placing(directory: Path) -> list[str]:
    try:
        return [name.removeprefix(_PLACING) for name in os.listdir(directory) if name.startswith(_PLACING)]
    except FileNotFoundError:
        return []


def oldest_living(work: Path, besides: Lease | None = None) -> int | None:
    """When the oldest lease whose owner lives began; None when there is none, not counting one's own."""
    dead = {besides.directory.name + _LOCK} if besides is not None else set()
    for path, fd in _dead(work):
        dead.add(path.name)
        os.close(fd)
    starts = [start for name in _locks(work) if name not in dead and (start := _start_of(name)) is not None]
    return min(starts, default=None)


def _locks(work: Path) -> list[str]:
    return sorted(name for name in os.listdir(work) if name.endswith(_LOCK))


def _start_of(name: str) -> int | None:
    digits = name.partition("-")[0]
    return int(digits) if digits.isdigit() else None


def _dead(work: Path) -> Iterator[tuple[Path, int]]:
    """Lock files nobody holds, each with an fd that holds it now; the caller closes it."""
    for name in _locks(work):
        try:
            fd = os.open(work / name, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            continue
        yield work / name, fd
