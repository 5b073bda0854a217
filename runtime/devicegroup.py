"""The group of processes that may open no device nodes but those of the OCI runtime specification.

Root's steps have CAP_MKNOD, as in Docker, and an image may bring a node for the host's disk; with this group
around them a step can make and use `null` wherever it likes (debootstrap does), and open no other. Rules:

- The launcher is put into it before it is told anything, so every step is in it from its first instruction. It
  tries for itself whether the group holds (child/devices); if not, everything is mounted `nodev`.
- A step cannot leave: control groups are read-only to it, and changing the rules takes CAP_SYS_ADMIN.
- Any node may be made, since nodes belong into layers; only opening is refused.
- Builds of one host share the group, and it stays: in version 1 rewriting its list would shut out, for a moment,
  steps of other builds. It is made under a lock, and a half-made one is made again.

Version 1 has the controller `devices`, version 2 a program attached to the group (cgroup-v2.rst, "Device
controller"). An ordinary user can have neither, and needs none: in a user namespace no node can be made or opened.
"""

from __future__ import annotations

import fcntl
import os
import struct

from runtime.child import libc
from runtime.hierarchy import Hierarchy, Layout, missing, read, read_layout, write
from runtime.unsupported import Unsupported

NAME = "devices"
# config-linux.md "Default Devices", with the slaves of /dev/pts and without the console: major, minor (None: every one).
ALLOWED = ((1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 2), (136, None))
_LIST = ("b *:* m", "c *:* m", *(f"c {major}:{'*' if minor is None else minor} rwm" for major, minor in ALLOWED))
_REMEDY = "run the builder as root of the machine, where control groups can be written"
# linux/bpf_common.h
_LOAD, _COPY, _MOVE, _AND, _SHIFT, _IF, _UNLESS, _EXIT = 0x61, 0xBF, 0xB7, 0x54, 0x74, 0x15, 0x55, 0x95
_ACCESS_MKNOD, _TYPE_CHARACTER = 1, 2


class DeviceGroup:
    """A group that is ready; `admit` puts a process into it."""

    def __init__(self, directory: str, outside: str, program: int | None) -> None:
        self._directory = directory
        self.outside = outside  # the file that takes a process out again
        self._program = program

    def admit(self, pid: int) -> None:
        """Raises OSError."""
        write(f"{self._directory}/cgroup.procs", str(pid))

    def guard(self, directory: str) -> None:
        """The same rule for a group elsewhere in version 2's hierarchy, where a process is in one group only; raises OSError."""
        if self._program is None:
            return  # in version 1 a group with limits is in another hierarchy
        _attach(self._program, directory)

    @property
    def one_hierarchy(self) -> bool:
        """Whether entering a group with limits means leaving this one."""
        return self._program is not None

    def close(self) -> None:
        """The group stays. Idempotent."""
        if self._program is not None:
            os.close(self._program)
            self._program = None


def open_device_group(layout: Layout | None = None) -> DeviceGroup:
    """The group of this host, made if need be; raises Unsupported."""
    if layout is None:
        layout = read_layout()
    hierarchy = dict(layout.old).get("devices") or layout.unified
    if hierarchy is None:
        raise Unsupported("there is no device controller", _REMEDY)
    try:
        return _open(hierarchy)
    except OSError as error:
        raise Unsupported(f"device nodes cannot be guarded by a control group: {error.strerror}", _REMEDY) from error


def _open(hierarchy: Hierarchy) -> DeviceGroup:
    directory = f"{hierarchy.base()}/{NAME}"
    program = _load() if hierarchy.version == 2 else None
    try:
        for path in missing(directory):
            os.makedirs(path, exist_ok=True)  # another build may be making it too
        lock = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if program is None:
                _fill(directory)
            elif not libc.bpf_attached(lock):
                _attach(program, directory)
        finally:
            os.close(lock)
    except BaseException:
        if program is not None:
            os.close(program)
        raise
    return DeviceGroup(directory, hierarchy.entrance, program)


def _fill(directory: str) -> None:
    if sorted(read(f"{directory}/devices.list").splitlines()) == sorted(_LIST):
        return
    write(f"{directory}/devices.deny", "a")
    for line in _LIST:
        write(f"{directory}/devices.allow", line)


def _attach(program: int, directory: str) -> None:
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        libc.bpf_attach(program, fd)
    finally:
        os.close(fd)


def _load() -> int:
    """The rule as a program over `struct bpf_cgroup_dev_ctx`: access << 16 | type, major, minor; 1 allows (linux/bpf.h)."""
    allow, refuse = (_instruction(_MOVE, 0, 0, answer) + _instruction(_EXIT, 0, 0, 0) for answer in (1, 0))
    code = [
        _instruction(_LOAD, 2 | 1 << 4, 0, 0),
        _instruction(_COPY, 3 | 2 << 4, 0, 0),
        _instruction(_SHIFT, 3, 0, 16),
        _instruction(_AND, 2, 0, 0xFFFF),
        _instruction(_LOAD, 4 | 1 << 4, 4, 0),
        _instruction(_LOAD, 5 | 1 << 4, 8, 0),
        _instruction(_UNLESS, 3, 2, _ACCESS_MKNOD) + allow,
        _instruction(_IF, 2, 2, _TYPE_CHARACTER) + refuse,
    ]
    for major, minor in ALLOWED:
        code.append(_instruction(_UNLESS, 4, 2 if minor is None else 3, major))
        if minor is not None:
            code.append(_instruction(_UNLESS, 5, 2, minor))
        code.append(allow)
    return libc.bpf_load(libc.BPF_PROG_TYPE_CGROUP_DEVICE, b"".join((*code, refuse)))


def _instruction(operation: int, registers: int, jump: int, value: int) -> bytes:
    return struct.pack("=BBhi", operation, registers, jump, value)
