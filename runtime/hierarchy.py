"""How this host mounts its control groups: which controller is in which hierarchy, and where this process is in it.

Version 1 has a hierarchy for each controller or a few, version 2 one for all. A host may have both (systemd's
hybrid layout): then each controller is in one of them only.
"""

from __future__ import annotations

import contextlib
import os

import msgspec

from runtime.unsupported import Unsupported

DEFAULT_PARENT = "layerwright"
LEAF = "builder"
REMEDY = "run the builder as root, or in a delegated cgroup (systemd-run --user --scope -p Delegate=yes)"


class Hierarchy(msgspec.Struct, frozen=True):
    """A mounted hierarchy; `own` is this process's group below the mount point."""

    version: int
    mount_point: str
    own: str

    def base(self, parent: str | None = None) -> str:
        """The directory for groups of ours, or that of the parent a user named."""
        if parent is not None:
            inside = os.path.normpath("/" + parent)
        elif self.version == 2 and os.access(self.mount_point, os.W_OK):
            inside = f"/{DEFAULT_PARENT}"  # not below our own: that one has processes, so it may have no controlled children
        elif self.version == 2:
            inside = self.own if self.delegated else os.path.dirname(self.own)
        else:
            inside = os.path.join(self.own, DEFAULT_PARENT)
        return os.path.normpath(f"{self.mount_point}/{inside}")

    @property
    def delegated(self) -> bool:
        """Whether this process's own group was handed to its user, and the one above was not (cgroup-v2.rst, "Delegation")."""
        if self.own == "/" or os.access(self.mount_point, os.W_OK):
            return False
        own = os.path.normpath(f"{self.mount_point}/{self.own}")
        return os.access(f"{own}/cgroup.subtree_control", os.W_OK) and not os.access(f"{os.path.dirname(own)}/cgroup.procs", os.W_OK)

    @property
    def entrance(self) -> str:
        """The file a process writes to, to be where this one is."""
        return os.path.normpath(f"{self.mount_point}/{self.own}/cgroup.procs")

    def step_down(self) -> None:
        """Move all processes of a delegated group into one below it: a group with processes has no controlled children."""
        leaf = os.path.normpath(f"{self.mount_point}/{self.own}/{LEAF}")
        os.makedirs(leaf, exist_ok=True)
        for pid in read(self.entrance).split():
            with contextlib.suppress(ProcessLookupError):  # it has ended
                write(f"{leaf}/cgroup.procs", pid)


class Layout(msgspec.Struct, frozen=True):
    """Version 1's hierarchies by controller, and version 2's."""

    old: tuple[tuple[str, Hierarchy], ...]
    unified: Hierarchy | None

    def find(self, controller: str) -> Hierarchy | None:
        """Where a controller is; version 2 is asked only for what it has."""
        for name, hierarchy in self.old:
            if name == controller:
                return hierarchy
        if self.unified is not None and controller in read(f"{self.unified.mount_point}/cgroup.controllers").split():
            return self.unified
        return None


def read_layout() -> Layout:
    """From /proc/self/mountinfo and /proc/self/cgroup; raises Unsupported where nothing is mounted."""
    groups = {}
    for line in read("/proc/self/cgroup").splitlines():
        _number, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            groups[controller] = path
    old: dict[str, Hierarchy] = {}
    unified = None
    for line in read("/proc/self/mountinfo").splitlines():
        before, _separator, after = line.partition(" - ")
        _id, _parent, _device, root, mount_point = before.split()[:5]
        kind, _source, options = after.split(" ", 2)
        if kind == "cgroup2" and unified is None:
            unified = Hierarchy(2, mount_point, _below(root, groups.get("", "/")))
        elif kind == "cgroup":
            for option in options.split(","):
                if option in groups:
                    old.setdefault(option, Hierarchy(1, mount_point, _below(root, groups[option])))
    if not old and unified is None:
        raise Unsupported("no cgroup file system is mounted, so a step's resources cannot be limited", REMEDY)
    return Layout(tuple(old.items()), unified)


def _below(root: str, path: str) -> str:
    """A group as a path below its mount: in a container without a cgroup namespace the mount begins at the container's group."""
    if root not in ("", "/") and (path == root or path.startswith(f"{root}/")):
        return path[len(root) :] or "/"
    return path


def missing(base: str) -> list[str]:
    """The directories that are to be made for `base` to be there, outermost first."""
    found: list[str] = []
    while not os.path.isdir(base):
        found.insert(0, base)
        base = os.path.dirname(base)
    return found


def read(path: str) -> str:
    with open(path, encoding="utf-8", errors="surrogateescape") as stream:
        return stream.read()


def write(path: str, text: str) -> None:
    """One line by one write(2), as these files take it."""
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)
