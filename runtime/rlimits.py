"""Limits of a step where no control group can be had: by setrlimit(2), which holds for less, and is told.

    --memory       RLIMIT_DATA: private writable memory, of each process by itself
    --pids-limit   RLIMIT_NPROC: processes of the step's user in this user namespace, so the builder's own are added

RLIMIT_AS would be stricter, but programs that reserve more addresses than they use (Go, Java) would not start. The
number of root's processes is never limited outside of a user namespace (kernel/fork.c, copy_process), and there is
nothing like it for processors: then the limit is refused, as before.
"""

from __future__ import annotations

import os
from contextlib import suppress

import msgspec

from runtime.spec import Resources, Ulimit
from runtime.unsupported import in_user_namespace

NOTE = "--memory and --pids-limit hold for each process and user by itself: no control group can be had (`layerwright doctor` tells)"


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


def _own_processes() -> int:
    """Threads of this user in this user namespace: the builder and what belongs to it."""
    count, here = 0, os.stat("/proc/self/ns/user").st_ino
    for name in os.listdir("/proc"):
        with suppress(OSError):  # it has ended, or is somebody else's
            if name.isdigit() and os.stat(f"/proc/{name}").st_uid in (os.geteuid(), 0) and os.stat(f"/proc/{name}/ns/user").st_ino == here:
                count += len(os.listdir(f"/proc/{name}/task"))
    return count
