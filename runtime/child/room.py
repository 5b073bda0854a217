"""What every sandbox of one kind has, made before its request is there: namespaces, /dev, /sys, files of /etc, and the payload's place.

A supervisor makes a room ahead, while the builder commits one step and thinks about the next, and guesses that it will be
of the same kind. Nothing in it was ever seen by a step: namespaces, mounts and the process that becomes the payload are
new for each. Only the network is leased anew and again, as it is without rooms.

The mounts lie in a scratch tmpfs of the room's own mount namespace, each with what is mounted in it, and are moved to the
root as soon as that is known (move_mount(2) takes a whole tree along).
"""

from __future__ import annotations

import fcntl
import os
import socket
import stat

from runtime.child import libc
from runtime.child.cgroups import mount_cgroups
from runtime.child.devices import mount_dev
from runtime.child.errors import doing
from runtime.child.mounts import LOCKED_DOWN, attach, clone, fresh

TYPE_CHECKING = False  # see request
if TYPE_CHECKING:
    from runtime.child.request import Request

# moby daemon/pkg/oci/defaults.go
MASKED_SYS = ("devices/virtual/powercap", "firmware")
_CPUS = "devices/system/cpu"
_FILE_FLAGS = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW
_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC


def kind(request: Request, network: int | None) -> tuple[object, ...]:
    """What two requests must have in common to be served by the same room; `network` is a descriptor of a leased one."""
    process = request["process"]
    leased = None
    if network is not None:
        found = os.fstat(network)
        leased = (found.st_dev, found.st_ino)
    return (
        process["network"], leased, process["insecure"], process["hostname"], process["shm_size"],
        request["hosts"], request["resolv_conf"], request["cgroups"], request["guarded"],
    )  # fmt: skip


class Room:
    """The calling process is in the room's namespaces from here on, and what it forks is the first of its pid namespace."""

    def __init__(self, request: Request, network: int | None, scratch: str) -> None:
        self.kind = kind(request, network)
        self.scratch = scratch
        with doing("make a mount namespace"):
            libc.unshare(libc.CLONE_NEWNS)
            libc.mount("none", "/", None, libc.MS_REC | libc.MS_PRIVATE)
            self.space_fd = os.open(scratch, _DIRECTORY)
            attach(fresh("tmpfs", (("mode", "700"),), libc.ATTR_NOSUID | libc.ATTR_NODEV), os.dup(self.space_fd))
        _enter_namespaces(request, network)
        self.empty_fd = self._directory("empty")
        """An empty directory in this mount namespace, to mask directories with, and for overlayfs where there is no lower one."""
        self._directory("proc")
        self._mount_dev(request)
        self.null_fd = os.open(f"{scratch}/dev/null", os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
        """The sandbox's /dev/null, to mask files with."""
        self._mount_sys(request)
        self.files = Files(scratch)
        self.etc = [self._etc_file("etc/resolv.conf", request["resolv_conf"]), self._etc_file("etc/hosts", request["hosts"])]

    def tree(self, name: str) -> int:
        """The mount of this name in the scratch space, to be moved."""
        return os.open(f"{self.scratch}/{name}", _DIRECTORY)

    def _directory(self, name: str) -> int:
        path = f"{self.scratch}/{name}"
        os.mkdir(path, 0o755)
        return os.open(path, _DIRECTORY)

    def _mount_dev(self, request: Request) -> None:
        process = request["process"]
        with doing("mount /dev"):
            mount_dev(
                self._directory("dev"), process["shm_size"],
                in_user_namespace=request["in_user_namespace"], all_devices=process["insecure"], guarded=request["guarded"],
            )  # fmt: skip

    def _mount_sys(self, request: Request) -> None:
        insecure = request["process"]["insecure"]
        with doing("mount /sys"):
            self.sys_fd = _mount_sys(self._directory("sys"), insecure=insecure)
            if not insecure:
                _mask_sys(self.sys_fd, self.empty_fd)
            if not request["cgroups"]:
                mount_cgroups(self.sys_fd, read_only=not insecure)

    def _etc_file(self, path: str, content: str) -> tuple[str, int]:
        with doing(f"mount /{path}"):
            source = self.files.write(content.encode("utf-8", "surrogateescape"), 0o644, 0, 0)
            mount = clone(source, libc.ATTR_RDONLY | LOCKED_DOWN)
            os.close(source)
            return path, mount


class Files:
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


def _enter_namespaces(request: Request, network: int | None) -> None:
    kinds = libc.CLONE_NEWPID | libc.CLONE_NEWIPC | libc.CLONE_NEWUTS
    with doing("make the sandbox's namespaces"):
        if network is not None:
            libc.setns(network, libc.CLONE_NEWNET)
        elif request["process"]["network"] != "host":
            kinds |= libc.CLONE_NEWNET
        libc.unshare(kinds if request["cgroups"] else kinds | libc.CLONE_NEWCGROUP)
        libc.sethostname(os.fsencode(request["process"]["hostname"]))
        if kinds & libc.CLONE_NEWNET:
            _raise_loopback()


def _raise_loopback() -> None:
    """`ip link set lo up`: SIOCGIFFLAGS, IFF_UP, SIOCSIFFLAGS (netdevice(7))."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = bytearray(b"lo".ljust(40, b"\0"))
        fcntl.ioctl(control, 0x8913, request)
        request[16] |= 1
        fcntl.ioctl(control, 0x8914, request)


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
