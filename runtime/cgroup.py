"""One control group for one step with limits: made, read for how it went, and removed.

Both versions, each with its own file names and rules (kernel: admin-guide/cgroup-v1, cgroup-v2.rst); each
controller is used where the host has it. A step without limits gets none: its usage comes from wait4(2), and
killing is the pid namespace's.

A group is called `PID-N` below its parent, PID being the builder, which holds a lock on the directory: a later
build removes those that nobody holds, also of builders in other pid namespaces. Limits that cannot be had are
refused, never passed over.
"""

from __future__ import annotations

import fcntl
import itertools
import os
import time
from collections.abc import Iterator

import msgspec

from runtime.hierarchy import REMEDY, Hierarchy, missing, read, read_layout, write
from runtime.spec import Resources
from runtime.unsupported import Unsupported

DEFAULT_PERIOD = 100_000
_REMOVE_SECONDS = 2.0
_numbers = itertools.count()


class NoGroup(Unsupported):
    """No control group can be had, whatever the limits are."""


class Setting(msgspec.Struct, frozen=True):
    """One line written to one file of a controller's directory."""

    controller: str
    file: str
    value: str


class Cgroup:
    """The directories of one step: one in version 2, one a hierarchy in version 1."""

    def __init__(self) -> None:
        self._directories: dict[str, tuple[int, str]] = {}  # controller -> version, directory
        self._locks: list[int] = []

    @property
    def entrances(self) -> tuple[str, ...]:
        """The files a process writes `0` to, to be in the group."""
        return tuple(f"{directory}/cgroup.procs" for _version, directory in self._unique())

    @property
    def unified(self) -> str | None:
        """The directory in version 2's hierarchy, if there is one."""
        return next((directory for version, directory in self._directories.values() if version == 2), None)

    def add(self, setting: Setting, hierarchy: Hierarchy, parent: str | None) -> None:
        """Make the directory for the setting's controller where it is not there yet, and set it."""
        if setting.controller not in self._directories:
            base = _prepared(hierarchy, setting.controller, parent)
            directory = self.unified if hierarchy.version == 2 else None
            if directory is None:
                directory, lock = _held(base)
                self._locks.append(lock)
            self._directories[setting.controller] = hierarchy.version, directory
            _inherit(hierarchy.version, directory, setting.controller)
        if setting.file:
            _set(f"{self._directories[setting.controller][1]}/{setting.file}", setting)

    def out_of_memory(self) -> bool:
        """Whether the kernel killed something of the step because its memory limit was reached."""
        words = self._read("memory", "memory.oom_control", "memory.events").split()
        return any(name == "oom_kill" and count != "0" for name, count in itertools.pairwise(words))

    def peak_memory(self) -> int:
        text = self._read("memory", "memory.max_usage_in_bytes", "memory.peak").strip()
        return int(text) if text.isdigit() else 0

    def close(self) -> None:
        """Remove the group; its last processes may still be going."""
        until = time.monotonic() + _REMOVE_SECONDS
        for _version, directory in self._unique():
            while not _remove(directory) and time.monotonic() < until:
                time.sleep(0.005)
        while self._locks:
            os.close(self._locks.pop())

    def _unique(self) -> list[tuple[int, str]]:
        return sorted(set(self._directories.values()))

    def _read(self, controller: str, old: str, new: str) -> str:
        found = self._directories.get(controller)
        if found is None:
            return ""
        try:
            return read(f"{found[1]}/{old if found[0] == 1 else new}")
        except OSError:
            return ""


def limited(resources: Resources) -> bool:
    """Whether anything is asked for that needs a group."""
    return resources != Resources()


def open_cgroup(resources: Resources) -> Cgroup:
    """A new group with these limits; raises Unsupported, NoGroup where it is not for a limit's value."""
    try:
        layout, parent = read_layout(), resources.cgroup_parent
    except Unsupported as error:
        raise NoGroup(error.reason, error.remedy) from error
    old, new = old_settings(resources), new_settings(resources)
    group = Cgroup()
    try:
        # The controllers are the same in both; each is set where it is. Without any, only a parent was named.
        for controller in dict.fromkeys(setting.controller for setting in (*old, *new)) or ("memory",):
            hierarchy = layout.find(controller)
            if hierarchy is None:
                raise NoGroup(f"the cgroup controller {controller} is not there, so what it limits cannot be", REMEDY)
            wanted = [setting for setting in (old if hierarchy.version == 1 else new) if setting.controller == controller]
            for setting in wanted or (Setting(controller, "", ""),):
                group.add(setting, hierarchy, parent)
    except BaseException:
        group.close()
        raise
    return group


def old_settings(resources: Resources) -> tuple[Setting, ...]:
    """Version 1; in an order the kernel accepts (memory before memory with swap)."""
    found: list[Setting] = []
    memory, swap = resources.memory, _total_swap(resources)
    if memory is not None:
        found.append(Setting("memory", "memory.limit_in_bytes", str(memory)))
    if swap is not None:
        found.append(Setting("memory", "memory.memsw.limit_in_bytes", str(swap)))
    if resources.cpu_shares is not None:
        found.append(Setting("cpu", "cpu.shares", str(resources.cpu_shares)))
    if resources.cpu_period is not None:
        found.append(Setting("cpu", "cpu.cfs_period_us", str(resources.cpu_period)))
    if resources.cpu_quota is not None:
        found.append(Setting("cpu", "cpu.cfs_quota_us", str(resources.cpu_quota)))
    found += _cpusets(resources)
    if resources.pids is not None:
        found.append(Setting("pids", "pids.max", str(resources.pids) if resources.pids > 0 else "max"))
    return tuple(found)


def new_settings(resources: Resources) -> tuple[Setting, ...]:
    """Version 2."""
    found: list[Setting] = []
    memory, swap = resources.memory, _total_swap(resources)
    if memory is not None:
        found.append(Setting("memory", "memory.max", str(memory)))
    if swap is not None:
        found.append(Setting("memory", "memory.swap.max", "max" if swap < 0 else str(max(0, swap - (memory or 0)))))
    if resources.cpu_shares is not None:
        # The conversion of runc and systemd: shares 2..262144 to weight 1..10000.
        shares = min(max(resources.cpu_shares, 2), 262144)
        found.append(Setting("cpu", "cpu.weight", str(1 + (shares - 2) * 9999 // 262142)))
    if resources.cpu_period is not None or resources.cpu_quota is not None:
        quota = resources.cpu_quota
        found.append(
            Setting("cpu", "cpu.max", f"{'max' if quota is None or quota < 0 else quota} {resources.cpu_period or DEFAULT_PERIOD}")
        )
    found += _cpusets(resources)
    if resources.pids is not None:
        found.append(Setting("pids", "pids.max", str(resources.pids) if resources.pids > 0 else "max"))
    return tuple(found)


def _total_swap(resources: Resources) -> int | None:
    """Memory and swap together: as Docker does, twice the memory where only that is given; -1 is unlimited."""
    if resources.memory_swap is None:
        return None if resources.memory is None else 2 * resources.memory
    return resources.memory_swap


def _cpusets(resources: Resources) -> Iterator[Setting]:
    if resources.cpuset_cpus is not None:
        yield Setting("cpuset", "cpuset.cpus", resources.cpuset_cpus)
    if resources.cpuset_mems is not None:
        yield Setting("cpuset", "cpuset.mems", resources.cpuset_mems)


def _prepared(hierarchy: Hierarchy, controller: str, parent: str | None) -> str:
    """The directory that groups go into, the controller on in its children, and what builders before left in it taken away."""
    base = hierarchy.base(parent)
    try:
        for directory in missing(base):
            os.makedirs(directory, exist_ok=True)  # another build may be making it too
            _inherit(hierarchy.version, directory, controller)
        if hierarchy.version == 2:
            if parent is None and hierarchy.delegated:
                hierarchy.step_down()
            _enable(hierarchy.mount_point, base, controller)
        _sweep(base)
    except OSError as error:
        raise NoGroup(f"cannot make a cgroup for the step: {error.strerror} ({error.filename})", REMEDY) from error
    return base


def _held(base: str) -> tuple[str, int]:
    """A new directory and the lock on it; under the next name if a build that cleans up came in between."""
    while True:
        directory = f"{base}/{os.getpid()}-{next(_numbers)}"
        try:
            os.mkdir(directory)
            fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except (FileExistsError, FileNotFoundError):
            continue
        except OSError as error:
            raise NoGroup(f"cannot make a cgroup for the step: {error.strerror} ({error.filename})", REMEDY) from error
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.exists(directory):
                return directory, fd
        except BlockingIOError:  # about to be removed
            os.close(fd)
            continue
        os.close(fd)


def _inherit(version: int, directory: str, controller: str) -> None:
    """A version 1 cpuset takes no process before it has processors and memory nodes."""
    if version == 1 and controller == "cpuset":
        for file in ("cpuset.cpus", "cpuset.mems"):
            if not read(f"{directory}/{file}").strip():
                write(f"{directory}/{file}", read(f"{os.path.dirname(directory)}/{file}").strip())


def _enable(mount_point: str, base: str, controller: str) -> None:
    """Hand the controller down from the top to the children of `base`."""
    path = mount_point
    for part in ("", *(one for one in os.path.relpath(base, mount_point).split("/") if one != ".")):
        path = os.path.join(path, part) if part else path
        if controller not in read(f"{path}/cgroup.subtree_control").split():
            write(f"{path}/cgroup.subtree_control", f"+{controller}")


def _sweep(base: str) -> None:
    """Remove what builders that are gone have left."""
    for name in os.listdir(base):
        pid, dash, _number = name.partition("-")
        if not dash or not pid.isdigit():
            continue
        try:
            fd = os.open(f"{base}/{name}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _remove(f"{base}/{name}")
        except BlockingIOError:
            continue  # its builder lives
        finally:
            os.close(fd)


def _remove(directory: str) -> bool:
    try:
        os.rmdir(directory)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def _set(path: str, setting: Setting) -> None:
    try:
        write(path, setting.value)
    except FileNotFoundError as error:
        if setting.file.endswith(("memsw.limit_in_bytes", "swap.max")):
            return  # a kernel that does not count swap: memory alone is limited, as with Docker
        raise Unsupported(f"this kernel has no {setting.file}", REMEDY) from error
    except OSError as error:
        raise Unsupported(f"cannot limit the step: {setting.file} does not take {setting.value}: {error.strerror}") from error
