"""Everything mounted into a root before its payload is forked: /dev, /sys, /etc files, and the step's own mounts.

What needs the payload's own pid namespace (/proc), or cgroups that only it enters, is left to `payload`.
"""

from __future__ import annotations

import base64
import os
import stat
from typing import TYPE_CHECKING

from runtime.child import libc
from runtime.child.cgroups import mount_cgroups
from runtime.child.devices import mount_dev
from runtime.child.errors import SetupError, doing
from runtime.child.mounts import LOCKED_DOWN, Stacker, attach, clone, fresh
from runtime.child.paths import open_inside

if TYPE_CHECKING:
    from runtime.child.request import BindData, FileData, MountData, Request, SocketData, TmpfsData
    from runtime.child.stubs import Stubs

# moby daemon/pkg/oci/defaults.go
MASKED_SYS = ("devices/virtual/powercap", "firmware")
_CPUS = "devices/system/cpu"
_FILE_FLAGS = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW


class Room:
    """The descriptors of a furnished root that the payload goes on with."""

    def __init__(self, root_fd: int, proc_fd: int, sys_fd: int, empty_fd: int, null_fd: int) -> None:
        self.root_fd = root_fd
        self.proc_fd = proc_fd
        self.sys_fd = sys_fd
        self.empty_fd = empty_fd  # an empty directory in this mount namespace, to mask directories with
        self.null_fd = null_fd  # the sandbox's /dev/null, to mask files with


def furnish(request: Request, root_fd: int, stubs: Stubs, stacker: Stacker, scratch: str) -> Room:
    process = request["process"]
    insecure, userns = process["insecure"], request["in_user_namespace"]
    empty = f"{scratch}/empty"
    os.mkdir(empty, 0o755)
    empty_fd = os.open(empty, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    with doing("make the mount point /proc"):
        proc_fd = stubs.lasting("proc")
    with doing("mount /dev"):
        mount_dev(
            stubs.lasting("dev"), process["shm_size"],
            in_user_namespace=userns, all_devices=insecure, guarded=request["guarded"],
        )  # fmt: skip
        null_fd = open_inside(root_fd, "dev/null")
    with doing("mount /sys"):
        sys_fd = _mount_sys(stubs.lasting("sys"), insecure=insecure)
        if not insecure:
            _mask_sys(sys_fd, empty_fd)
        if not request["cgroups"]:
            # Here and not by the payload, whose code is always cold: a millisecond less with the ten mounts of version 1.
            mount_cgroups(sys_fd, read_only=not insecure)
    files = _Files(scratch)
    for path, content in (("etc/resolv.conf", request["resolv_conf"]), ("etc/hosts", request["hosts"])):
        with doing(f"mount /{path}"):
            source = files.write(content.encode("utf-8", "surrogateescape"), 0o644, 0, 0)
            attach(clone(source, libc.ATTR_RDONLY | LOCKED_DOWN), stubs.file(path))
            os.close(source)
    for mount in sorted(process["mounts"], key=lambda one: _parts(one["target"])):
        _mount_one(mount, stubs, stacker, files, devices=insecure or request["guarded"])
    return Room(root_fd, proc_fd, sys_fd, empty_fd, null_fd)


def mask(dir_fd: int, path: str, empty_fd: int, null_fd: int | None) -> None:
    """Hide a path of procfs or sysfs; one that is not there is fine."""
    try:
        fd = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=dir_fd)
    except (FileNotFoundError, NotADirectoryError):
        return
    if stat.S_ISDIR(os.fstat(fd).st_mode):
        attach(clone(empty_fd, libc.ATTR_RDONLY | LOCKED_DOWN), fd)
    elif null_fd is not None:
        attach(clone(null_fd), fd)
    else:
        os.close(fd)


def _mount_sys(target_fd: int, *, insecure: bool) -> int:
    read_only = 0 if insecure else libc.ATTR_RDONLY
    try:
        mounted = fresh("sysfs", (), LOCKED_DOWN | read_only)
    except PermissionError:
        # The network namespace is the host's and not the user namespace's (sysfs belongs to both): show the host's.
        host = os.open("/sys", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        mounted = clone(host, LOCKED_DOWN | read_only, recursive=True)
        os.close(host)
    fd = os.dup(mounted)
    attach(mounted, target_fd)
    return fd


def _mask_sys(sys_fd: int, empty_fd: int) -> None:
    for path in MASKED_SYS:
        mask(sys_fd, path, empty_fd, None)
    try:
        cpus = os.open(_CPUS, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=sys_fd)
    except FileNotFoundError:
        return
    for name in os.listdir(cpus):
        if name.startswith("cpu") and name[3:].isdigit():
            mask(cpus, f"{name}/thermal_throttle", empty_fd, None)
    os.close(cpus)


class _Files:
    """Files written to the sandbox's scratch tmpfs, each to be bound somewhere."""

    def __init__(self, scratch: str) -> None:
        self._directory = f"{scratch}/files"
        os.mkdir(self._directory, 0o700)
        self._count = 0

    def write(self, content: bytes, mode: int, uid: int, gid: int) -> int:
        """An O_PATH descriptor of a new file."""
        path = f"{self._directory}/{self._count}"
        self._count += 1
        fd = os.open(path, _FILE_FLAGS, 0o600)
        try:
            view = memoryview(content)
            while view:
                view = view[os.write(fd, view) :]
            if uid or gid:
                os.fchown(fd, uid, gid)
            os.fchmod(fd, mode)
        finally:
            os.close(fd)
        return os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)


def _mount_one(mount: MountData, stubs: Stubs, stacker: Stacker, files: _Files, *, devices: bool) -> None:
    target = mount["target"]
    parts = _parts(target)
    if not parts or parts[0] == "proc":
        raise SetupError(f"cannot mount at {target}: neither the root nor anything in /proc may be mounted over")
    with doing(f"mount {mount['type']} at {target}"):
        if mount["type"] == "bind":
            _bind(mount, stubs, stacker)
        elif mount["type"] == "tmpfs":
            _tmpfs(mount, stubs, devices=devices)
        elif mount["type"] == "file":
            _file(mount, stubs, files)
        else:
            _socket(mount, stubs)


def _bind(mount: BindData, stubs: Stubs, stacker: Stacker) -> None:
    base = stacker.mount(mount["root"])
    try:
        source = open_inside(base, mount["source"])
    except OSError as error:
        raise SetupError(f"cannot mount {mount['source']} at {mount['target']}: {error.strerror}") from error
    finally:
        os.close(base)
    try:
        directory = stat.S_ISDIR(os.fstat(source).st_mode)
        tree = clone(source, libc.ATTR_RDONLY if mount["read_only"] else 0, recursive=True)
    finally:
        os.close(source)
    attach(tree, stubs.directory(mount["target"]) if directory else stubs.file(mount["target"]))


def _tmpfs(mount: TmpfsData, stubs: Stubs, *, devices: bool) -> None:
    options = [("mode", f"{mount['mode']:o}")]
    if mount["size"] is not None:
        options.append(("size", str(mount["size"])))
    attach(fresh("tmpfs", options, libc.ATTR_NOSUID | (0 if devices else libc.ATTR_NODEV)), stubs.directory(mount["target"]))


def _file(mount: FileData, stubs: Stubs, files: _Files) -> None:
    source = files.write(base64.b64decode(mount["content"]), mount["mode"], mount["uid"], mount["gid"])
    attributes = libc.ATTR_RDONLY | LOCKED_DOWN
    if mount["executable"]:
        attributes &= ~libc.ATTR_NOEXEC
    attach(clone(source, attributes), stubs.file(mount["target"]))
    os.close(source)


def _socket(mount: SocketData, stubs: Stubs) -> None:
    source = os.open(mount["path"], os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if not stat.S_ISSOCK(os.fstat(source).st_mode):
            raise SetupError(f"cannot mount a socket at {mount['target']}: {mount['path']} is no socket")
        here = f"/proc/self/fd/{source}"
        os.chown(here, mount["uid"], mount["gid"])
        os.chmod(here, mount["mode"])
        attach(clone(source, LOCKED_DOWN), stubs.file(mount["target"]))
    finally:
        os.close(source)


def _parts(path: str) -> tuple[str, ...]:
    return tuple(part for part in os.path.normpath("/" + path).split("/") if part)
