"""What this kernel and this user may do, with the reason for each "no" and what to try: what `doctor` prints."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from typing import Literal

import msgspec

from runtime import cgroup, idmap, pasta, rlimits, seccomp
from runtime.child import kernel
from runtime.devicegroup import open_device_group
from runtime.spec import Resources
from runtime.unsupported import KERNEL_REMEDY, ONE_ID_REMEDY, PRIVILEGE_REMEDY, PROC_REMEDY, Unsupported, in_user_namespace, read
from runtime.userns import obstacle

__all__ = ["Capability", "HostReport", "Unsupported", "in_user_namespace", "probe"]

Mode = Literal["root", "userns", "none"]
_ENTRY = os.path.join(os.path.dirname(os.path.abspath(__file__)), "child", "__main__.py")
_ASKED = Resources(memory=1 << 30, pids=1000)
_MOUNTS = {
    "mount-namespace": ("the builder may not make mount namespaces", PRIVILEGE_REMEDY),
    "mount-calls": ("the kernel lacks open_tree, move_mount and mount_setattr, or a filter refuses them", KERNEL_REMEDY),
    "overlay": (
        "overlayfs cannot be mounted here",
        "put the store on ext4, xfs or btrfs, not on an overlay",
    ),
    "pid-namespace": ("the builder may not make pid, ipc, uts, network and cgroup namespaces", PRIVILEGE_REMEDY),
    "proc": ("a fresh /proc cannot be mounted, probably since part of the host's is masked", PROC_REMEDY),
}


class Capability(msgspec.Struct, frozen=True):
    """One thing that a build may need; `reason` and `remedy` are empty when it is there."""

    name: str
    ok: bool
    reason: str = ""
    remedy: str = ""


class HostReport(msgspec.Struct, frozen=True):
    """`mode`: how steps run: as root, as root of a user namespace (this one, or one this user can enter), or not at all."""

    mode: Mode
    in_user_namespace: bool
    overlay: bool
    overlay_xattr_prefix: Literal["trusted.overlay.", "user.overlay."]
    capabilities: tuple[Capability, ...]

    def find(self, name: str) -> Capability:
        return next(one for one in self.capabilities if one.name == name)


def probe(directory: str | None = None) -> HostReport:
    """Try everything, the mounts in a process of their own below `directory` (where the store will be); takes some 50 ms."""
    inside = in_user_namespace()
    entry = Capability("user-namespace", True)
    if os.geteuid() != 0:
        entry = _told("user-namespace", obstacle())
    mounts = _probe_mounts(directory) if os.geteuid() == 0 else ()
    capabilities = (_kernel(), entry, *_subordinate(inside), *mounts, _filter(), *_devices(inside), _network(inside), _limits())
    works = all(one.ok for one in mounts if one.name != "overlay") and entry.ok and _kernel().ok
    mode: Mode = "none" if not works else "root" if os.geteuid() == 0 and not inside else "userns"
    return HostReport(
        mode=mode,
        in_user_namespace=inside,
        overlay=all(one.ok for one in mounts if one.name == "overlay"),
        overlay_xattr_prefix="trusted.overlay." if os.geteuid() == 0 and not inside else "user.overlay.",
        capabilities=capabilities,
    )


def _told(name: str, problem: Unsupported | None) -> Capability:
    return Capability(name, True) if problem is None else Capability(name, False, problem.reason, problem.remedy)


def _kernel() -> Capability:
    if kernel.version() >= kernel.NEEDED:
        return Capability("kernel", True)
    return Capability("kernel", False, f"Linux {platform.release()} is too old", KERNEL_REMEDY)


def _subordinate(inside: bool) -> tuple[Capability, ...]:
    if not inside:
        return ()
    count = idmap.highest(idmap.parse(read("/proc/self/uid_map")))
    if count >= 65536:
        return (Capability("ids", True),)
    if count == 1:
        reason = "this user namespace has one user id, so no files of other owners can be made, and no steps be run as another USER"
        return (Capability("ids", False, reason, ONE_ID_REMEDY),)
    reason = f"this user namespace has only {count} user ids, so files of other owners cannot be made"
    return (Capability("ids", False, reason, "map at least 65536 ids: see subuid(5)"),)


def _filter() -> Capability:
    if not seccomp.supported():
        return Capability(
            "seccomp", False, f"there is no filter of system calls for {platform.machine()} yet", "build on x86_64 or aarch64"
        )
    if not os.path.exists("/proc/sys/kernel/seccomp"):
        return Capability("seccomp", False, "the kernel has no seccomp filters", "use a kernel with CONFIG_SECCOMP_FILTER")
    return Capability("seccomp", True)


def _network(inside: bool) -> Capability:
    if inside or os.geteuid() != 0:
        if pasta.find():
            return Capability("network", True)
        reason = "steps share the host's network: pasta is not installed, or /dev/net/tun is closed to this user"
        return Capability("network", False, reason, pasta.REMEDY)
    if shutil.which("nft") or shutil.which("iptables"):
        return Capability("network", True)
    reason = "there is neither nft nor iptables to let a step's packets out"
    return Capability("network", False, reason, "install nftables, or use --network=host")


def _devices(inside: bool) -> tuple[Capability, ...]:
    if inside or os.geteuid() != 0:
        return ()  # in a user namespace no node can be made
    try:
        open_device_group().close()
    except Unsupported as problem:
        reason = f"nodes that steps make can be opened in /dev only, so debootstrap does not work: {problem.reason}"
        return (Capability("devices", False, reason, problem.remedy),)
    return (Capability("devices", True),)


def _limits() -> Capability:
    try:
        cgroup.open_cgroup(Resources(memory=1 << 30, pids=1000, cpu_shares=1024)).close()
    except Unsupported as problem:
        left = "; --memory and --pids-limit are kept by limits on each process and user" if rlimits.instead(_ASKED) is not None else ""
        return Capability("limits", False, f"{problem.reason}{left}", problem.remedy)
    return Capability("limits", True)


def _probe_mounts(directory: str | None) -> tuple[Capability, ...]:
    with tempfile.TemporaryDirectory(prefix="layerwright-probe-", dir=directory) as place:
        command = [sys.executable, "-I", "-S", "-E", _ENTRY, "--probe", place, "user" if in_user_namespace() else "root"]
        done = subprocess.run(command, capture_output=True, check=False)
    try:
        found: dict[str, str | None] = json.loads(done.stdout)
    except ValueError:
        return (Capability("mount-namespace", False, "the probe for mounts failed", done.stderr.decode(errors="replace").strip()[-200:]),)
    result = []
    for name, (reason, remedy) in _MOUNTS.items():
        error = found.get(name, "not tried")
        result.append(Capability(name, True) if error is None else Capability(name, False, f"{reason}: {error}", remedy))
    return tuple(result)
