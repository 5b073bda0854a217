"""Limits of one step: memory, processes, processors; and what is left of a control group afterwards."""

from __future__ import annotations

import os
import subprocess
import time

import pytest

from runtime import cgroup
from runtime.spec import Resources
from runtime.unsupported import Unsupported
from tests.runtime.box import Box


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
