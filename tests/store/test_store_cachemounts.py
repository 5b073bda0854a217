"""Cache mounts: what sharing means, between threads and processes, and that no id leads anywhere."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.errors import BuildCancelled
from builder.store.cachemounts import CacheMounts, directory_name
from builder.store.index import StoredMount
from builder.store.store import Store
from tests.privileges import root_only


@pytest.fixture
def store(store_root: Path) -> Iterator[Store]:
    with Store.open(store_root) as opened:
        yield opened


@pytest.fixture
def mounts(store: Store) -> CacheMounts:
    root_only()
    return CacheMounts(store)


@pytest.mark.parametrize("name", ["../../etc", "/etc", "a/../../b", "nul\0nul", "x" * 5000, "", "..", "\udcff", "new\nline"])
def test_no_id_leads_out_of_the_store(store: Store, mounts: CacheMounts, name: str) -> None:
    with mounts.open(name, "shared") as mount:
        assert mount.path.parent == store.root / "caches"
        assert mount.path.name == directory_name(name) + ".0"
        assert mount.path.is_dir()
        assert mount.fresh
    assert len(os.listdir(store.root / "caches")) == 2


def test_id_and_seed_are_framed() -> None:
    names = {directory_name("ab", "c"), directory_name("a", "bc"), directory_name("abc"), directory_name("1:a", "")}
    assert len(names) == 4


def test_the_content_stays(store: Store, mounts: CacheMounts) -> None:
    with mounts.open("apt", "shared") as mount:
        (mount.path / "file").write_text("kept")
    for sharing in ("shared", "locked", "private"):
        with mounts.open("apt", sharing) as mount:  # type: ignore[arg-type]
            assert (mount.path / "file").read_text() == "kept"
            assert not mount.fresh
    row: StoredMount = store.index.mounts()[0]
    assert (row.id, row.seed) == ("apt", "")


def test_shared_users_see_each_other(mounts: CacheMounts) -> None:
    with mounts.open("apt", "shared") as one, mounts.open("apt", "shared") as two:
        assert one.path == two.path


def test_private_users_do_not(mounts: CacheMounts) -> None:
    with mounts.open("apt", "private") as one, mounts.open("apt", "private") as two:
        assert one.path != two.path
        with mounts.open("apt", "shared") as three:
            assert three.path not in (one.path, two.path)
    with mounts.open("apt", "private") as again:
        assert again.path == one.path


def test_locked_users_wait_for_each_other(mounts: CacheMounts) -> None:
    order: list[str] = []

    def second() -> None:
        with mounts.open("apt", "locked"):
            order.append("second")

    with mounts.open("apt", "locked"):
        thread = threading.Thread(target=second)
        thread.start()
        time.sleep(0.1)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


def test_waiting_can_be_cancelled(mounts: CacheMounts) -> None:
    cancel = threading.Event()
    with mounts.open("apt", "locked"):
        threading.Timer(0.05, cancel.set).start()
        with pytest.raises(BuildCancelled):
            mounts.open("apt", "locked", cancel=cancel)
    with mounts.open("apt", "locked", cancel=threading.Event()):
        pass


def test_locked_holds_between_processes(store: Store, mounts: CacheMounts) -> None:
    code = (
        "from pathlib import Path; from builder.store.store import Store; from builder.store.cachemounts import CacheMounts\n"
        f"with Store.open(Path({str(store.root)!r})) as store:\n"
        "    for _ in range(20):\n"
        "        with CacheMounts(store).open('n', 'locked') as mount:\n"
        "            path = mount.path / 'count'\n"
        "            number = int(path.read_text()) if path.exists() else 0\n"
        "            path.write_text(str(number + 1))"
    )
    running = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(3)]
    assert [process.wait() for process in running] == [0, 0, 0]
    with mounts.open("n", "locked") as mount:
        assert (mount.path / "count").read_text() == "60"


def test_a_new_directory_is_filled_once_with_its_mode_and_owner(mounts: CacheMounts) -> None:
    filled: list[str] = []

    def fill(path: str) -> None:
        filled.append(path)
        Path(path, "seed").write_text("s")

    uid, gid = os.getuid(), os.getgid()
    with mounts.open("n", "shared", seed="base:1", mode=0o1777, uid=uid, gid=gid, fill=fill) as mount:
        info = mount.path.stat()
        assert (info.st_mode & 0o7777, info.st_uid, info.st_gid) == (0o1777, uid, gid)
        assert (mount.path / "seed").read_text() == "s"
    with mounts.open("n", "shared", seed="base:1", fill=fill) as mount:
        assert not mount.fresh
    assert len(filled) == 1
    with mounts.open("n", "shared", seed="base:2", fill=fill) as mount:
        assert mount.fresh
    with mounts.open("n", "shared") as mount:
        assert os.listdir(mount.path) == []


def test_a_failed_fill_leaves_nothing_to_find(mounts: CacheMounts) -> None:
    def fail(path: str) -> None:
        Path(path, "half").write_text("h")
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        mounts.open("n", "locked", fill=fail)
    with mounts.open("n", "locked") as mount:
        assert mount.fresh
        assert os.listdir(mount.path) == []


def test_threads_that_come_at_once_fill_once(mounts: CacheMounts) -> None:
    filled: list[str] = []

    def fill(path: str) -> None:
        time.sleep(0.05)
        filled.append(path)
        Path(path, "seed").write_text("s")

    def work() -> None:
        with mounts.open("n", "shared", fill=fill) as mount:
            assert (mount.path / "seed").read_text() == "s"

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(filled) == 1


def test_what_is_mounted_is_not_removed(store: Store, mounts: CacheMounts) -> None:
    with mounts.open("n", "shared") as mount:
        assert not mounts.remove(mount.path.name, 1 << 62)
        assert mount.path.is_dir()
    assert not mounts.remove(mount.path.name, 0)
    assert mounts.remove(mount.path.name, 1 << 62)
    assert os.listdir(store.root / "caches") == []
    with mounts.open("n", "shared") as mount:
        assert mount.fresh
