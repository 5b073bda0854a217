"""Rooms made ahead: each step gets one of its own kind, nothing of an earlier step is in it, and one that is lost is made anew."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.sandbox import NamespaceSandbox
from runtime.spec import FileMount, Resources
from tests.privileges import ROOT_OF_THE_MACHINE
from tests.runtime.box import Box

RUNS = 5  # two supervisors take turns, so from the third run on a room was made ahead


@pytest.fixture
def box(busybox_root: Path, tmp_path: Path) -> Iterator[Box]:
    """With supervisors of its own."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    with NamespaceSandbox(str(tmp_path / "state"), None) as sandbox:
        yield Box(sandbox, busybox_root, tmp_path / "box")


def test_a_step_of_another_kind_gets_a_room_of_its_own(box: Box) -> None:
    for number in range(RUNS):
        assert box.run("hostname").lines() == ["buildkitsandbox"]
        assert box.run("hostname", hostname=f"host{number}").lines() == [f"host{number}"]
        assert box.run("df -k /dev/shm | tail -1 | awk '{print $2}'", shm_size=(number + 1) << 20).lines() == [str((number + 1) << 10)]
        assert box.run("grep other /etc/hosts", hosts=(("10.0.0.1", f"other{number}"),)).lines() == [f"10.0.0.1\tother{number}"]
        assert box.run("ls /sys/class/net", network="none").lines() == ["lo"]
        assert box.run("readlink /proc/self/ns/net", network="host").lines() == [os.readlink("/proc/self/ns/net")]


def test_nothing_of_a_step_is_in_the_next_room(box: Box) -> None:
    look = "ls /dev/shm /dev/mine /run/secret 2>/dev/null; hostname; grep -c mine /proc/mounts; wc -l < /proc/sysvipc/shm; echo $X"
    leave = "touch /dev/shm/a /dev/mine; hostname mine; mkdir -p /mine; mount -t tmpfs mine /mine; sleep 1000 & true"
    clean = box.run(look).stdout
    for number in range(RUNS):
        secret = FileMount("/run/secret", b"hidden", 0o400)
        assert box.run(leave, mounts=(secret,), env=(("PATH", "/bin:/usr/bin"), ("X", f"value{number}"))).exit.code is not None
        assert box.run(look).stdout == clean


def test_every_room_has_namespaces_of_its_own(box: Box) -> None:
    kinds = ("mnt", "pid", "ipc", "uts", "net", "cgroup")
    host = {os.readlink(f"/proc/self/ns/{kind}") for kind in kinds}
    for _run in range(RUNS):
        done = box.run(" ; ".join(f"readlink /proc/self/ns/{kind}" for kind in kinds)).lines()
        assert not set(done) & host
        assert len(set(done)) == len(kinds)


def test_limits_and_insecure_steps_between_others(box: Box) -> None:
    for _run in range(3):
        assert box.run("echo $$").lines() == ["1"]
        limited = box.run("echo limited", resources=Resources(pids=50)).exit
        assert limited.ok or limited.setup_error is not None
        assert box.run("mount -t tmpfs none /tmp && echo mounted", insecure=True).lines() == ["mounted"]
        assert not box.run("mount -t tmpfs none /tmp").exit.ok


def _waiting(before: set[int]) -> list[int]:
    """The supervisors: children of our launcher that live."""
    launchers = {int(pid) for task in Path("/proc/self/task").glob("*/children") for pid in task.read_text().split()} - before
    children = [int(pid) for one in launchers for pid in Path(f"/proc/{one}/task/{one}/children").read_text().split()]
    return [pid for pid in children if not _ended(pid)]


def _ended(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_supervisors_that_were_killed_are_replaced(busybox_root: Path, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    before = {int(pid) for task in Path("/proc/self/task").glob("*/children") for pid in task.read_text().split()}
    with NamespaceSandbox(str(tmp_path / "state"), None) as sandbox:
        box = Box(sandbox, busybox_root, tmp_path / "box")
        for _round in range(3):
            for _run in range(3):
                assert box.run("echo here").lines() == ["here"]
            found = _waiting(before)
            # Root of a user namespace cannot go back to the host's, so there each step takes a supervisor of its own.
            assert (1 if ROOT_OF_THE_MACHINE else 0) <= len(found) <= 2
            for pid in found:
                os.kill(pid, signal.SIGKILL)
            until = time.monotonic() + 10
            while set(_waiting(before)) & set(found) and time.monotonic() < until:
                time.sleep(0.01)
        assert box.run("echo again").lines() == ["again"]


def test_the_process_that_waits_in_a_room_goes_with_the_sandbox(busybox_root: Path, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    before = {int(pid) for task in Path("/proc/self/task").glob("*/children") for pid in task.read_text().split()}
    with NamespaceSandbox(str(tmp_path / "state"), None) as sandbox:
        box = Box(sandbox, busybox_root, tmp_path / "box")
        for _run in range(3):
            assert box.run("true").exit.ok
        supervisors = _waiting(before)
        places = [int(pid) for one in supervisors for pid in Path(f"/proc/{one}/task/{one}/children").read_text().split()]
    until = time.monotonic() + 10
    while any(os.path.exists(f"/proc/{pid}") for pid in (*supervisors, *places)) and time.monotonic() < until:
        time.sleep(0.01)
    assert not [pid for pid in (*supervisors, *places) if os.path.exists(f"/proc/{pid}")]
