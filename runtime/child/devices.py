"""The /dev of a sandbox: a tmpfs with the nodes, links and file systems of the OCI runtime specification.

In a user namespace mknod(2) is refused, so the host's nodes are bound instead, each checked to be what its
name says by device number (CVE-2025-31133).
"""

from __future__ import annotations

import os
import stat

from runtime.child import libc
from runtime.child.mounts import LOCKED_DOWN, attach, clone, fresh

# config-linux.md "Default Devices"
NODES = {"null": (1, 3), "zero": (1, 5), "full": (1, 7), "random": (1, 8), "urandom": (1, 9), "tty": (5, 0)}
LINKS = {
    "fd": "/proc/self/fd",
    "stdin": "/proc/self/fd/0",
    "stdout": "/proc/self/fd/1",
    "stderr": "/proc/self/fd/2",
    "ptmx": "pts/ptmx",
    "core": "/proc/kcore",
}
_TTY_GROUP = 5
_HOST_ONLY = frozenset({"pts", "shm", "mqueue", "fd", "stdin", "stdout", "stderr", "ptmx", "core", "console", "hugepages"})


def mount_dev(target_fd: int, shm_size: int, *, in_user_namespace: bool, all_devices: bool, guarded: bool) -> None:
    """Mount /dev on the descriptor, which is closed. `guarded`: a control group refuses other nodes, so no mount has to."""
    dev = fresh("tmpfs", (("mode", "755"), ("size", "65536k")), libc.ATTR_NOSUID | libc.ATTR_STRICTATIME)
    root = os.dup(dev)
    attach(dev, target_fd)
    try:
        for name, target in LINKS.items():
            if name != "core" or os.path.exists(target):  # as runc: only where the host has one
                os.symlink(target, name, dir_fd=root)
        for name, (major, minor) in NODES.items():
            if in_user_namespace:
                _bind_node(root, name, major, minor)
            else:
                os.mknod(name, stat.S_IFCHR | 0o666, os.makedev(major, minor), dir_fd=root)
                if not all_devices and not guarded:
                    _mount_on_itself(root, name)
        if not all_devices and not guarded:
            libc.mount_setattr(root, libc.ATTR_NODEV)  # no other node that a step makes here can be opened
        elif all_devices and not in_user_namespace:
            _copy_host_nodes("/dev", root)
        _mount_inside(root, "pts", _devpts())
        _mount_inside(root, "shm", fresh("tmpfs", (("mode", "1777"), ("size", str(shm_size))), LOCKED_DOWN))
        _mount_inside(root, "mqueue", fresh("mqueue", (), LOCKED_DOWN))
    finally:
        os.close(root)


def others_are_refused() -> bool:
    """Whether this process is kept from nodes that are not a step's own, and not from those that are, wherever they lie."""
    try:
        space = fresh("tmpfs", (("mode", "700"),))
    except OSError:
        return False
    try:
        for kind, major, minor, wanted in ((stat.S_IFBLK, 7, 0, False), (stat.S_IFCHR, 1, 11, False), (stat.S_IFCHR, 1, 3, True)):
            os.mknod("node", kind | 0o600, os.makedev(major, minor), dir_fd=space)
            if _opens("node", space) != wanted:
                return False
            os.unlink("node", dir_fd=space)
        return True
    except OSError:
        return False
    finally:
        os.close(space)


def _opens(name: str, dir_fd: int) -> bool:
    """A device that is not there counts as one that opens: the question is who refuses."""
    try:
        os.close(os.open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=dir_fd))
    except PermissionError:
        return False
    except OSError:
        return True
    return True


def open_node(name: str, flags: int) -> int:
    """Open a node of the current /dev, if it is the device its name says."""
    fd = os.open(f"/dev/{name}", flags | os.O_CLOEXEC | os.O_NOFOLLOW)
    found = os.fstat(fd)
    if not stat.S_ISCHR(found.st_mode) or found.st_rdev != os.makedev(*NODES[name]):
        os.close(fd)
        raise OSError(19, "is not the device its name says", f"/dev/{name}")
    return fd


def _devpts() -> int:
    options = [("newinstance", ""), ("ptmxmode", "0666"), ("mode", "0620")]
    try:
        return fresh("devpts", [*options, ("gid", str(_TTY_GROUP))], libc.ATTR_NOSUID | libc.ATTR_NOEXEC)
    except OSError:
        # EINVAL: a user namespace in which the group has no number
        return fresh("devpts", options, libc.ATTR_NOSUID | libc.ATTR_NOEXEC)


def _mount_inside(dev_fd: int, name: str, mount_fd: int) -> None:
    os.mkdir(name, 0o755, dir_fd=dev_fd)
    attach(mount_fd, os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=dev_fd))


def _mount_on_itself(dev_fd: int, name: str) -> None:
    """A mount of its own, so that the node can still be opened when those beside it cannot."""
    node = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=dev_fd)
    attach(clone(node), node)


def _bind_node(dev_fd: int, name: str, major: int, minor: int) -> None:
    source = open_node(name, os.O_PATH)
    try:
        os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o666, dir_fd=dev_fd))
        attach(clone(source), os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=dev_fd))
    finally:
        os.close(source)


def _copy_host_nodes(host: str, dev_fd: int) -> None:
    """Every device node of the host, for an insecure step; what is there already stays."""
    with os.scandir(host) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            found = entry.stat(follow_symlinks=False)
            if entry.name in _HOST_ONLY or entry.name in NODES:
                continue
            if stat.S_ISDIR(found.st_mode):
                os.mkdir(entry.name, 0o755, dir_fd=dev_fd)
                inner = os.open(entry.name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=dev_fd)
                _copy_host_nodes(entry.path, inner)
                os.close(inner)
            elif stat.S_ISCHR(found.st_mode) or stat.S_ISBLK(found.st_mode):
                os.mknod(entry.name, found.st_mode, found.st_rdev, dir_fd=dev_fd)
                os.chown(entry.name, found.st_uid, found.st_gid, dir_fd=dev_fd)
