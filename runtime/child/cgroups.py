"""The /sys/fs/cgroup of a sandbox: what its cgroup namespace shows, read-only.

Version 2 is one mount; version 1 has a directory for each hierarchy on a tmpfs. Where the kernel refuses,
the directory stays empty.
"""

from __future__ import annotations

import os

from runtime.child import libc
from runtime.child.mounts import LOCKED_DOWN, attach, fresh


def mount_cgroups(sys_fd: int, *, read_only: bool) -> None:
    """Mount over fs/cgroup of the sysfs; to be called in the cgroup namespace, while /proc is still the host's."""
    try:
        target = os.open("fs/cgroup", os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=sys_fd)
    except OSError:
        return
    attributes = LOCKED_DOWN | (libc.ATTR_RDONLY if read_only else 0)
    hierarchies = _hierarchies()
    try:
        if not hierarchies:
            attach(fresh("cgroup2", (), attributes), target)
        else:
            _mount_old(hierarchies, target, attributes)
    except OSError:
        pass  # no namespace of its own, or a kernel that lets no user namespace see cgroups


def _hierarchies() -> list[str]:
    """The mounted version 1 hierarchies, as `memory`, `cpu,cpuacct` or `name=systemd`; none on a version 2 host."""
    with open("/proc/self/cgroup") as stream:
        return [line.split(":", 2)[1] for line in stream if not line.startswith("0:")]


def _mount_old(hierarchies: list[str], target: int, attributes: int) -> None:
    space = fresh("tmpfs", (("mode", "755"),), LOCKED_DOWN)
    top = os.dup(space)
    attach(space, target)
    for hierarchy in hierarchies:
        name = hierarchy.removeprefix("name=")
        options = [("none", ""), ("name", name)] if hierarchy.startswith("name=") else [(one, "") for one in hierarchy.split(",")]
        os.mkdir(name, 0o755, dir_fd=top)
        try:
            mounted = fresh("cgroup", options, attributes)
        except OSError:
            continue
        attach(mounted, os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=top))
    libc.mount_setattr(top, attributes)
    os.close(top)
