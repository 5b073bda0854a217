"""Limits of one step: memory, processes, processors; and what is left of a control group afterwards."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from runtime import cgroup
from runtime.hierarchy import read_layout
from runtime.spec import Resources
from runtime.unsupported import Unsupported
from tests.privileges import needs_root_of_the_machine, root_of_the_machine_only
from tests.runtime.box import Box

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module", autouse=True)
def _delegated() -> None:
    try:
        cgroup.open_cgroup(Resources(memory=64 << 20, pids=100)).close()
    except Unsupported as error:
        pytest.skip(error.reason)


def _groups() -> list[str]:
    found = subprocess.run(
        ["find", "/sys/fs/cgroup", "-type", "d", "-path", f"*/{os.getpid()}-*"], capture_output=True, text=True, check=False
    )
    return found.stdout.split()


def test_memory_that_runs_out_is_told(box: Box) -> None:
    done = box.run("x=aaaaaaaa; while :; do x=$x$x; done", resources=Resources(memory=24 << 20))
    assert done.exit.out_of_memory
    assert not done.exit.ok
    assert 12 << 20 < done.exit.usage.peak_memory <= 24 << 20


def test_enough_memory_is_no_matter(box: Box) -> None:
    done = box.run("echo fine", resources=Resources(memory=64 << 20))
    assert done.lines() == ["fine"]
    assert not done.exit.out_of_memory


def test_a_fork_bomb_is_contained(box: Box) -> None:
    started = time.monotonic()
    done = box.run("f() { f | f & }; f; sleep 1; echo survived", resources=Resources(pids=40))
    assert time.monotonic() - started < 20
    assert done.exit.setup_error is None
    assert subprocess.run(["true"], check=False).returncode == 0


def test_processors(box: Box) -> None:
    done = box.run("grep Cpus_allowed_list /proc/self/status", resources=Resources(cpuset_cpus="0", cpu_shares=512, cpu_quota=50000))
    assert done.lines() == ["Cpus_allowed_list:\t0"]


def test_a_parent_of_ones_own(box: Box) -> None:
    assert box.run("true", resources=Resources(pids=50, cgroup_parent="lwtest/inner")).exit.ok
    for directory in subprocess.run(
        ["find", "/sys/fs/cgroup", "-depth", "-type", "d", "-path", "*/lwtest*"], capture_output=True, text=True, check=False
    ).stdout.split():
        os.rmdir(directory)


def test_a_limit_the_kernel_does_not_take_is_told(box: Box) -> None:
    done = box.run("true", resources=Resources(cpuset_cpus="4000"))
    assert done.exit.setup_error is not None
    assert done.exit.setup_error.startswith("cannot limit the step: cpuset.cpus does not take 4000")
    assert _groups() == []


def test_nothing_is_left(box: Box) -> None:
    assert box.run("sleep 100 & true", resources=Resources(memory=64 << 20, pids=20, cpu_shares=100)).exit.ok
    assert _groups() == []


def test_groups_of_dead_builders_are_swept(box: Box) -> None:
    group = cgroup.open_cgroup(Resources(pids=5))
    directory = os.path.dirname(group.entrances[0])
    dead = os.path.join(os.path.dirname(directory), "4194304-0")  # above pid_max
    os.mkdir(dead)
    group.close()
    cgroup.open_cgroup(Resources(pids=5)).close()
    assert not os.path.exists(dead)


def test_a_group_of_version_2() -> None:
    """For real where version 2 has a controller, even beside version 1: made, handed down, entered, and removed."""
    unified = read_layout().unified
    if unified is None or "hugetlb" not in cgroup.read(f"{unified.mount_point}/cgroup.controllers").split():
        pytest.skip("version 2 has no controller here that could be tried")
    root_of_the_machine_only()
    group = cgroup.Cgroup()
    try:
        group.add(cgroup.Setting("hugetlb", "hugetlb.2MB.max", "0"), unified, None)
        group.add(cgroup.Setting("hugetlb", "hugetlb.2MB.rsvd.max", "0"), unified, None)
        place = group.unified
        assert place is not None
        assert [cgroup.read(f"{place}/{name}") for name in ("hugetlb.2MB.max", "hugetlb.2MB.rsvd.max")] == ["0\n", "0\n"]
        (entrance,) = group.entrances
        script = f"import os; os.write(os.open({entrance!r}, os.O_WRONLY), b'0'); print(open('/proc/self/cgroup').read())"
        shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
        assert f"0::/layerwright/{os.path.basename(place)}" in shown
        assert (group.out_of_memory(), group.peak_memory()) == (False, 0)
    finally:
        group.close()
    assert not os.path.exists(place)


def test_groups_of_living_builders_stay() -> None:
    """Also of one in another pid namespace, whose number means nothing here: what counts is the lock."""
    group = cgroup.open_cgroup(Resources(pids=5))
    directory = os.path.dirname(group.entrances[0])
    foreign = os.path.join(os.path.dirname(directory), "4194305-0")
    os.mkdir(foreign)
    lock = os.open(foreign, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    cgroup.open_cgroup(Resources(pids=5)).close()
    assert os.path.exists(foreign)
    assert os.path.exists(directory)
    os.close(lock)
    group.close()
    cgroup.open_cgroup(Resources(pids=5)).close()
    assert not os.path.exists(foreign)


@pytest.mark.parametrize(
    ("resources", "old", "new"),
    [
        (
            Resources(memory=100),
            [("memory.limit_in_bytes", "100"), ("memory.memsw.limit_in_bytes", "200")],
            [("memory.max", "100"), ("memory.swap.max", "100")],
        ),
        (
            Resources(memory=100, memory_swap=-1),
            [("memory.limit_in_bytes", "100"), ("memory.memsw.limit_in_bytes", "-1")],
            [("memory.max", "100"), ("memory.swap.max", "max")],
        ),
        (Resources(cpu_shares=1024), [("cpu.shares", "1024")], [("cpu.weight", "39")]),
        (Resources(cpu_quota=5000), [("cpu.cfs_quota_us", "5000")], [("cpu.max", "5000 100000")]),
        (
            Resources(cpu_period=20000, cpu_quota=-1),
            [("cpu.cfs_period_us", "20000"), ("cpu.cfs_quota_us", "-1")],
            [("cpu.max", "max 20000")],
        ),
        (
            Resources(cpuset_cpus="0-1", cpuset_mems="0"),
            [("cpuset.cpus", "0-1"), ("cpuset.mems", "0")],
            [("cpuset.cpus", "0-1"), ("cpuset.mems", "0")],
        ),
        (Resources(pids=-1), [("pids.max", "max")], [("pids.max", "max")]),
    ],
)
def test_what_is_written_in_both_versions(resources: Resources, old: list[tuple[str, str]], new: list[tuple[str, str]]) -> None:
    assert [(setting.file, setting.value) for setting in cgroup.old_settings(resources)] == old
    assert [(setting.file, setting.value) for setting in cgroup.new_settings(resources)] == new


DELEGATED = """
import os, sys
from runtime.hierarchy import read_layout
open(sys.argv[1] + "/cgroup.procs", "w").write("0")
os.setresgid(65534, 65534, 65534)
os.setresuid(65534, 65534, 65534)
before = read_layout().unified
before.step_down() if before.delegated else None
after = read_layout().unified
print(before.delegated, after.delegated, after.own.removeprefix(before.own), after.base() == before.base() == sys.argv[1])
"""


@needs_root_of_the_machine
def test_a_delegated_group_is_stepped_down_from() -> None:
    """cgroup-v2.rst, "No Internal Process Constraint": the builder makes room for the groups of its steps."""
    hierarchy = read_layout().unified
    if hierarchy is None:
        pytest.skip("version 2 of control groups is not mounted")
    unit = f"{hierarchy.mount_point}/lwtest{os.getpid()}"
    os.mkdir(unit)
    try:
        for file in (unit, f"{unit}/cgroup.procs", f"{unit}/cgroup.subtree_control"):
            os.chown(file, 65534, 65534)
        command = [sys.executable, "-c", DELEGATED, unit]
        done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
        assert done.stdout == "True False /builder True\n", done.stderr
    finally:
        for directory in (f"{unit}/builder", unit):
            if os.path.isdir(directory):
                os.rmdir(directory)
