"""Locks, leases and removal: what other processes and hostile trees can do to them."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from builder.errors import BuildCancelled
from builder.store import leases
from builder.store.leases import Lease
from builder.store.locks import FileLock
from builder.store.removal import DEPTH, remove_tree


def test_a_lock_keeps_out_another_holder_and_another_process(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    held, other = FileLock(path), FileLock(path)
    assert held.try_acquire()
    assert not other.try_acquire()
    code = f"import sys; from builder.store.locks import FileLock; sys.exit(FileLock({str(path)!r}).try_acquire())"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    held.release()
    held.release()
    assert other.try_acquire()
    other.release()


def test_shared_holds_go_together_and_exclude_others(tmp_path: Path) -> None:
    one, two, alone = FileLock(tmp_path / "l", shared=True), FileLock(tmp_path / "l", shared=True), FileLock(tmp_path / "l")
    assert one.try_acquire()
    assert two.try_acquire()
    assert not alone.try_acquire()
    one.release()
    assert not alone.try_acquire()
    two.release()
    assert alone.try_acquire()
    alone.release()


def test_a_transient_lock_leaves_no_file_and_still_excludes(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    inside: list[int] = []
    most: list[int] = []

    def work() -> None:
        for _ in range(50):
            with FileLock(path, transient=True):
                inside.append(1)
                most.append(len(inside))
                inside.pop()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(most) == 1
    assert not path.exists()


def test_waiting_for_a_lock_can_be_cancelled(tmp_path: Path) -> None:
    cancel = threading.Event()
    with FileLock(tmp_path / "lock"):
        threading.Timer(0.05, cancel.set).start()
        began = time.monotonic()
        with pytest.raises(BuildCancelled):
            FileLock(tmp_path / "lock").acquire(cancel)
    assert time.monotonic() - began < 30


def test_a_living_lease_is_not_swept(tmp_path: Path) -> None:
    lease = Lease.start(tmp_path, 7)
    (lease.directory / "file").write_bytes(b"x")
    assert leases.sweep(tmp_path) == 0
    assert leases.oldest_living(tmp_path) == 7
    assert leases.oldest_living(tmp_path, lease) is None
    lease.close()
    lease.close()
    assert os.listdir(tmp_path) == []
    assert leases.oldest_living(tmp_path) is None


def test_the_oldest_living_lease_counts(tmp_path: Path) -> None:
    first, second = Lease.start(tmp_path, 9), Lease.start(tmp_path, 5)
    assert leases.oldest_living(tmp_path) == 5
    second.close()
    assert leases.oldest_living(tmp_path) == 9
    first.close()


def test_a_killed_process_loses_its_lease_and_its_directory(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys; from pathlib import Path; from builder.store.leases import Lease\n"
        f"lease = Lease.start(Path({str(tmp_path)!r}), 3); (lease.directory / 'deep/er').mkdir(parents=True)\n"
        "print('ready', flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).stdout == b"ready\n"
    assert len(os.listdir(tmp_path)) == 2
    assert leases.oldest_living(tmp_path) is None
    assert leases.sweep(tmp_path) == 1
    assert os.listdir(tmp_path) == []


def test_removing_never_follows_links(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/canary").write_bytes(b"x")
    (tmp_path / "tree").mkdir()
    os.symlink(tmp_path / "outside", tmp_path / "tree/link")
    os.symlink(tmp_path / "outside", tmp_path / "top")
    remove_tree(tmp_path / "tree")
    remove_tree(tmp_path / "top")
    remove_tree(tmp_path / "absent")
    assert os.listdir(tmp_path) == ["outside"]
    assert (tmp_path / "outside/canary").exists()


def test_removing_a_tree_deeper_than_any_path(tmp_path: Path) -> None:
    top = tmp_path / "tree"
    top.mkdir()
    fd = os.open(top, os.O_RDONLY | os.O_DIRECTORY)
    for _ in range(DEPTH * 40):
        os.mkdir("some-directory", dir_fd=fd)
        os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=fd))
        below = os.open("some-directory", os.O_RDONLY | os.O_DIRECTORY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(fd)
    before = len(os.listdir("/proc/self/fd"))
    remove_tree(top)
    assert not top.exists()
    assert len(os.listdir("/proc/self/fd")) == before


def test_removing_what_denies_its_owner(tmp_path: Path) -> None:
    (tmp_path / "tree/locked/inner").mkdir(parents=True)
    (tmp_path / "tree/locked/file").write_bytes(b"x")
    for name in ("tree/locked/inner", "tree/locked", "tree"):
        os.chmod(tmp_path / name, 0)
    remove_tree(tmp_path / "tree")
    assert os.listdir(tmp_path) == []
