"""File systems of a sandbox: overlays, plain binds and fresh mounts, attached by descriptor.

Needs the mount calls of Linux 5.12 (open_tree, move_mount, mount_setattr). An overlay's layers are given to mount(2) as
numbers of descriptors, relative to /proc/self/fd: 500 of them, as many as overlayfs takes, fit into its one page of options.
"""

from __future__ import annotations

import os

from runtime.child import libc

TYPE_CHECKING = False  # see request
if TYPE_CHECKING:
    from collections.abc import Sequence

    from runtime.child.request import RootData

LOCKED_DOWN = libc.ATTR_NOSUID | libc.ATTR_NODEV | libc.ATTR_NOEXEC
_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
# nofollow: no layer may send a lookup elsewhere by an xattr (redirect_dir, overlayfs.rst "Redirecting directories").
_OVERLAY_OPTIONS = ("index=off", "metacopy=off", "redirect_dir=nofollow")


def fresh(kind: str, options: Sequence[tuple[str, str]] = (), attributes: int = 0) -> int:
    """A new, detached mount of a file system; closing the descriptor before it is attached takes it away."""
    fs = libc.fsopen(kind)
    try:
        libc.fsconfig_string(fs, "source", kind)
        for key, value in options:
            if value:
                libc.fsconfig_string(fs, key, value)
            else:
                libc.fsconfig_flag(fs, key)
        libc.fsconfig_create(fs)
        return libc.fsmount(fs, attributes)
    finally:
        os.close(fs)


def clone(fd: int, attributes: int = 0, *, clear: int = 0, recursive: bool = False) -> int:
    """A detached bind mount of what the descriptor is open on."""
    tree = libc.open_tree(fd, "", libc.OPEN_TREE_CLONE | libc.AT_EMPTY_PATH | (libc.AT_RECURSIVE if recursive else 0))
    if attributes or clear:
        try:
            libc.mount_setattr(tree, attributes, clear=clear, recursive=recursive)
        except OSError:
            os.close(tree)
            raise
    return tree


def attach(mount_fd: int, target_fd: int) -> None:
    """Attach a detached mount and close both descriptors."""
    try:
        libc.move_mount(mount_fd, target_fd)
    finally:
        os.close(mount_fd)
        os.close(target_fd)


def forget_volatile(root: RootData) -> None:
    """After a clean unmount, remove the mark that keeps a volatile upper from being mounted again (overlayfs.rst)."""
    work = root.get("work")
    if root.get("volatile") and work is not None:
        marks = f"{work}/work/incompat"
        os.unlink(f"{marks}/volatile/dirty")
        os.rmdir(f"{marks}/volatile")
        os.rmdir(marks)


class Stacker:
    """Mounts roots below one scratch tmpfs of the sandbox.

    `scratch` is its path, `empty_fd` an empty directory, which overlayfs wants where there is no lower one.

    Without `devices` no device node in them can be opened, wherever it comes from: an image may bring one for the
    host's disk, and a step may make one (CAP_MKNOD is among Docker's default capabilities). With them a control group
    must refuse to open what is not the step's, as Docker's does, or the step was given every device.
    """

    def __init__(self, scratch: str, empty_fd: int, in_user_namespace: bool, *, devices: bool = False) -> None:
        self._scratch = scratch
        self._empty_fd = empty_fd
        self._userns = in_user_namespace
        self._devices = devices
        self._count = 0

    def mount(self, root: RootData) -> int:
        """Mount a root in the scratch space; an O_PATH descriptor of it."""
        where = f"{self._scratch}/m{self._count}"
        self._count += 1
        os.mkdir(where, 0o755)
        if root["type"] == "directory":
            self._bind(root["path"], where, read_only=root["read_only"])
        elif root["upper"] is None and len(root["lowers"]) < 2:
            self._bind(root["lowers"][0] if root["lowers"] else f"/proc/self/fd/{self._empty_fd}", where, read_only=True)
        else:
            self._overlay(root, where)
        mounted = os.open(where, _DIRECTORY)
        if not self._devices:
            libc.mount_setattr(mounted, libc.ATTR_NODEV)
        return mounted

    def _bind(self, path: str, where: str, *, read_only: bool) -> None:
        fd = os.open(path, _DIRECTORY)
        try:
            attach(clone(fd, libc.ATTR_RDONLY if read_only else 0, recursive=True), os.open(where, _DIRECTORY))
        finally:
            os.close(fd)

    def _overlay(self, root: RootData, where: str) -> None:
        lowers = [os.open(path, _DIRECTORY) for path in root["lowers"]] or [os.dup(self._empty_fd)]
        upper, work = root["upper"], root["work"]
        written = [os.open(path, _DIRECTORY) for path in (upper, work) if path is not None]
        try:
            self._overlay_of(lowers, written, where, volatile=bool(written) and root.get("volatile", False))
        finally:
            for fd in (*lowers, *written):
                os.close(fd)

    def _overlay_of(self, lowers: list[int], written: list[int], where: str, *, volatile: bool) -> None:
        # Descriptors stand for the directories: no length limit, no escaping of `:` and `,`, and nothing of the
        # host's paths in the sandbox's own /proc/self/mountinfo. By mount(2), which works alike on all kernels.
        options = ["userxattr"] if self._userns else []
        options += ["volatile"] if volatile else []
        options += [f"{key}={fd}" for key, fd in zip(("upperdir", "workdir"), written, strict=False)]
        os.chdir("/proc/self/fd")
        try:
            libc.mount("overlay", where, "overlay", 0, ",".join((f"lowerdir={':'.join(map(str, lowers))}", *options, *_OVERLAY_OPTIONS)))
        except OSError as error:
            raise OSError(error.errno, os.strerror(error.errno or 0), "overlay") from None
        finally:
            os.chdir("/")
