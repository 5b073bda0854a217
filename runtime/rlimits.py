"""Limits by setrlimit(2): as much of them as may be had, and what stands in for a control group; what holds for less is told.

Without CAP_SYS_RESOURCE in the first user namespace nobody raises a hard limit (setrlimit(2)); then the builder's own is
the most that a step gets.

    --memory       RLIMIT_DATA: private writable memory, of each process by itself
    --pids-limit   RLIMIT_NPROC: processes of the step's user in this user namespace, so the builder's own are added

RLIMIT_AS would be stricter, but programs that reserve more addresses than they use (Go, Java) would not start. The
number of root's processes is never limited outside of a user namespace (kernel/fork.c, copy_process), and there is
nothing like it for processors: then the limit is refused, as before.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Sequence
from contextlib import suppress

import msgspec

from runtime.spec import Resources, Ulimit
from runtime.unsupported import in_user_namespace

NOTE = "--memory and --pids-limit hold for each process and user by itself: no control group can be had (`layerwright doctor` tells)"

_CAP_SYS_RESOURCE = 24


def instead(resources: Resources) -> tuple[Ulimit, ...] | None:
    """The limits that come nearest; None where something is asked for that has none."""
    covered = msgspec.structs.replace(resources, memory=None, memory_swap=None, pids=None)
    if covered != Resources():
        return None
    found: list[Ulimit] = []
    if resources.memory is not None:
        found.append(Ulimit("data", resources.memory, resources.memory))
    if resources.pids is not None and resources.pids > 0:
        if not in_user_namespace():
            return None
        most = resources.pids + _own_processes()
        found.append(Ulimit("nproc", most, most))
    return tuple(found)


def reachable(wanted: Sequence[Ulimit]) -> tuple[tuple[Ulimit, ...], tuple[str, ...]]:
    """The limits as far as this process may set them, and a word on each that is lower than asked for."""
    if _may_raise():
        return tuple(wanted), ()
    found = tuple(_within(limit) for limit in wanted)
    notes = tuple(
        f"the limit {limit.name} of a step is {given.soft}:{given.hard}, as much as the builder itself may have"
        for limit, given in zip(wanted, found, strict=True)
        if limit != given
    )
    return found, notes


def _within(limit: Ulimit) -> Ulimit:
    kind = getattr(resource, f"RLIMIT_{limit.name.upper()}", None)
    ceiling = resource.RLIM_INFINITY if kind is None else resource.getrlimit(kind)[1]
    if ceiling == resource.RLIM_INFINITY:
        return limit
    soft, hard = (ceiling if value == resource.RLIM_INFINITY else min(value, ceiling) for value in (limit.soft, limit.hard))
    return Ulimit(limit.name, soft, hard)


def _may_raise() -> bool:
    if in_user_namespace():
        return False
    with open("/proc/self/status", encoding="ascii") as status:
        effective = next(line for line in status if line.startswith("CapEff:")).split()[1]
    return bool(int(effective, 16) >> _CAP_SYS_RESOURCE & 1)


def _own_processes() -> int:
    """Threads of this user in this user namespace: the builder and what belongs to it."""
    count, here = 0, os.stat("/proc/self/ns/user").st_ino
    for name in os.listdir("/proc"):
        with suppress(OSError):  # it has ended, or is somebody else's
            if name.isdigit() and os.stat(f"/proc/{name}").st_uid in (os.geteuid(), 0) and os.stat(f"/proc/{name}/ns/user").st_ino == here:
                count += len(os.listdir(f"/proc/{name}/task"))
    return count
