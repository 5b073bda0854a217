"""One control group for one step with limits: made, read for how it went, and removed.

Both versions, each with its own file names and rules (kernel: admin-guide/cgroup-v1, cgroup-v2.rst). A step
without limits gets none: its usage comes from wait4(2), and killing is the pid namespace's.

A group is called `PID-N` below its parent, PID being the builder: a later build removes those of builders
that are gone. Limits that cannot be had are refused, never passed over.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Iterator
from contextlib import suppress

import msgspec

from runtime.spec import Resources
from runtime.unsupported import Unsupported

DEFAULT_PARENT = "layerwright"
DEFAULT_PERIOD = 100_000
_REMEDY = "run the builder as root, or in a delegated cgroup (systemd-run --user --scope -p Delegate=yes)"
_REMOVE_SECONDS = 2.0
_numbers = itertools.count()


class Setting(msgspec.Struct, frozen=True):
    """One line written to one file of a controller's directory."""

    controller: str
    file: str
    value: str


class Layout(msgspec.Struct, frozen=True):
    """How this host mounts its hierarchies: version, and (controller, mount point, own path) of each."""

    version: int
    hierarchies: tuple[tuple[str, str, str], ...]

    def find(self, controller: str) -> tuple[str, str] | None:
        for name, mount_point, own in self.hierarchies:
            if name in (controller, "*"):
                return mount_point, own
        return None


class Cgroup:
    """The directories of one step: one for version 2, one a hierarchy for version 1."""

    def __init__(self, version: int, directories: dict[str, str]) -> None:
        self._version = version
        self._directories = directories  # controller -> directory

    @property
    def entrances(self) -> tuple[str, ...]:
        """The files a process writes `0` to, to be in the group."""
        return tuple(f"{directory}/cgroup.procs" for directory in sorted(set(self._directories.values())))

    def out_of_memory(self) -> bool:
        """Whether the kernel killed something of the step because its memory limit was reached."""
        file = "memory.events" if self._version == 2 else "memory.oom_control"
        words = self._read("memory", file).split()
        return any(name == "oom_kill" and count != "0" for name, count in itertools.pairwise(words))

    def peak_memory(self) -> int:
        text = self._read("memory", "memory.peak" if self._version == 2 else "memory.max_usage_in_bytes").strip()
        return int(text) if text.isdigit() else 0

    def close(self) -> None:
        """Remove the group; its last processes may still be going."""
        until = time.monotonic() + _REMOVE_SECONDS
        for directory in set(self._directories.values()):
            while not _remove(directory) and time.monotonic() < until:
                time.sleep(0.005)

    def _read(self, controller: str, file: str) -> str:
        directory = self._directories.get(controller)
        if directory is None:
            return ""
        try:
            return _read(f"{directory}/{file}")
        except OSError:
            return ""


def limited(resources: Resources) -> bool:
    """Whether anything is asked for that needs a group."""
    return resources != Resources()


def open_cgroup(resources: Resources) -> Cgroup:
    """A new group with these limits; raises Unsupported."""
    layout = read_layout()
    settings = old_settings(resources) if layout.version == 1 else new_settings(resources)
    if not settings:
        settings = (Setting("memory", "", ""),)  # only a parent was named
    name = f"{os.getpid()}-{next(_numbers)}"
    made: dict[str, str] = {}
    try:
        for setting in settings:
            if setting.controller not in made:
                made[setting.controller] = _make(layout, setting.controller, resources.cgroup_parent, name)
            if setting.file:
                _set(f"{made[setting.controller]}/{setting.file}", setting)
    except BaseException:
        Cgroup(layout.version, made).close()
        raise
    return Cgroup(layout.version, made)


def read_layout() -> Layout:
    """From /proc/self/mountinfo and /proc/self/cgroup."""
    own = {}
    for line in _read("/proc/self/cgroup").splitlines():
        _number, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            own[controller] = path
    old, unified = [], None
    for line in _read("/proc/self/mountinfo").splitlines():
        before, _separator, after = line.partition(" - ")
        mount_point = before.split()[4]
        kind, _source, options = after.split(" ", 2)
        if kind == "cgroup2":
            unified = unified or mount_point
        elif kind == "cgroup":
            old += [(option, mount_point, own.get(option, "/")) for option in options.split(",") if option in own]
    if old:
        return Layout(1, tuple(dict.fromkeys(old)))
    if unified is None:
        raise Unsupported("no cgroup file system is mounted, so a step's resources cannot be limited", _REMEDY)
    return Layout(2, (("*", unified, own.get("", "/")),))


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


def _make(layout: Layout, controller: str, parent: str | None, name: str) -> str:
    found = layout.find(controller)
    if found is None:
        raise Unsupported(f"the cgroup controller {controller} is not there, so what it limits cannot be", _REMEDY)
    mount_point, own = found
    base = _base(layout.version, mount_point, own, parent)
    try:
        for directory in _missing(base):
            os.mkdir(directory)
            _inherit(layout.version, directory, controller)
        if layout.version == 2:
            _enable(mount_point, base, controller)
        _sweep(base)
        directory = f"{base}/{name}"
        os.makedirs(directory, exist_ok=True)
        _inherit(layout.version, directory, controller)
    except OSError as error:
        raise Unsupported(f"cannot make a cgroup for the step: {error.strerror} ({error.filename})", _REMEDY) from error
    return directory


def _base(version: int, mount_point: str, own: str, parent: str | None) -> str:
    if parent is not None:
        inside = os.path.normpath("/" + parent)
    elif version == 2 and os.access(mount_point, os.W_OK):
        inside = f"/{DEFAULT_PARENT}"  # not below our own: that one has processes, so it may have no controlled children
    elif version == 2:
        inside = os.path.dirname(own)
    else:
        inside = os.path.join(own, DEFAULT_PARENT)
    return os.path.normpath(f"{mount_point}/{inside}")


def _missing(base: str) -> list[str]:
    found: list[str] = []
    while not os.path.isdir(base):
        found.insert(0, base)
        base = os.path.dirname(base)
    return found


def _inherit(version: int, directory: str, controller: str) -> None:
    """A version 1 cpuset takes no process before it has processors and memory nodes."""
    if version == 1 and controller == "cpuset":
        for file in ("cpuset.cpus", "cpuset.mems"):
            if not _read(f"{directory}/{file}").strip():
                _write(f"{directory}/{file}", _read(f"{os.path.dirname(directory)}/{file}").strip())


def _enable(mount_point: str, base: str, controller: str) -> None:
    """Hand the controller down from the top to the children of `base`."""
    path = mount_point
    for part in ("", *(one for one in os.path.relpath(base, mount_point).split("/") if one != ".")):
        path = os.path.join(path, part) if part else path
        if controller not in _read(f"{path}/cgroup.subtree_control").split():
            _write(f"{path}/cgroup.subtree_control", f"+{controller}")


def _sweep(base: str) -> None:
    """Remove what builders that are gone have left."""
    for name in os.listdir(base):
        pid, dash, _number = name.partition("-")
        if dash and pid.isdigit() and not os.path.exists(f"/proc/{pid}"):
            _remove(f"{base}/{name}")


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
        _write(path, setting.value)
    except FileNotFoundError as error:
        if setting.file.endswith(("memsw.limit_in_bytes", "swap.max")):
            return  # a kernel that does not count swap: memory alone is limited, as with Docker
        raise Unsupported(f"this kernel has no {setting.file}", _REMEDY) from error
    except OSError as error:
        raise Unsupported(f"cannot limit the step: {setting.file} does not take {setting.value}: {error.strerror}") from error


def _read(path: str) -> str:
    with open(path, encoding="utf-8", errors="surrogateescape") as stream:
        return stream.read()


def _write(path: str, text: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    finally:
        with suppress(OSError):
            os.close(fd)
