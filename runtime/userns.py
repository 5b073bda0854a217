"""Becoming root in a user namespace, for a builder that an ordinary user started.

The process itself moves over (unshare(2)), so everything it does from then on, chown, mknod of whiteouts,
overlay mounts, works as if it were root, on ids of the user's subordinate ranges. A helper forked before
stays outside, since only there the setuid programs newuidmap and newgidmap may write the maps. A private mount
namespace comes with it: without one it could mount nothing.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from contextlib import suppress

from runtime import idmap
from runtime.child import libc
from runtime.unsupported import SUBIDS_REMEDY, Unsupported, in_user_namespace, user_namespace_remedy


def enter_user_namespace() -> None:
    """Make this process root of a new user and mount namespace; in one already, of a new mount namespace if it may.

    Nothing to do for root of the machine. To be called at the start, while there is one thread. Raises Unsupported;
    the process is then as before, or of no further use if the namespace turned out to be crippled.
    """
    if in_user_namespace():
        _leave_mounts()
        return
    if os.geteuid() == 0:
        return
    _one_thread()
    programs = _programs()
    uid_map = idmap.mapping(os.getuid(), _ranges("/etc/subuid"))
    gid_map = idmap.mapping(os.getgid(), _ranges("/etc/subgid"))
    _dumpable()
    pid, go_fd = _fork_helper(programs, uid_map, gid_map)
    try:
        libc.unshare(libc.CLONE_NEWUSER | libc.CLONE_NEWNS)
    except OSError as error:
        os.close(go_fd)
        os.waitpid(pid, 0)
        raise Unsupported(f"this user may not make user namespaces: {error.strerror}", user_namespace_remedy()) from error
    os.write(go_fd, b"x")
    os.close(go_fd)
    _pid, status = os.waitpid(pid, 0)
    if status:
        raise Unsupported("newuidmap or newgidmap refused this user's subordinate ids", SUBIDS_REMEDY)
    try:
        libc.mount("none", "/", None, libc.MS_REC | libc.MS_SLAVE)
    except OSError as error:
        raise Unsupported(f"a user namespace gives this user no rights to mount: {error.strerror}", user_namespace_remedy()) from error


def _leave_mounts() -> None:
    """Under `unshare -r` the mount namespace is still the host's; without one of its own the builder can do all but pasta."""
    if len(os.listdir("/proc/self/task")) == 1:
        with suppress(OSError):
            libc.unshare(libc.CLONE_NEWNS)
            libc.mount("none", "/", None, libc.MS_REC | libc.MS_SLAVE)


def obstacle() -> Unsupported | None:
    """What would keep this ordinary user from it, tried out in a child; None: nothing."""
    read_fd, write_fd = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            enter_user_namespace()
        except Unsupported as problem:
            os.write(write_fd, f"{problem.reason}\n{problem.remedy}".encode())
        finally:
            os._exit(0)
    os.close(write_fd)
    with open(read_fd, encoding="utf-8") as stream:
        reason, _newline, remedy = stream.read().partition("\n")
    os.waitpid(pid, 0)
    return Unsupported(reason, remedy) if reason else None


def _one_thread() -> None:
    if len(os.listdir("/proc/self/task")) != 1:
        raise Unsupported("a process with several threads cannot enter a user namespace")


def _programs() -> tuple[str, str]:
    found = tuple(shutil.which(name) for name in ("newuidmap", "newgidmap"))
    if found[0] is None or found[1] is None:
        raise Unsupported("newuidmap and newgidmap are not installed", "install the package uidmap (shadow-utils)")
    return found[0], found[1]


def _ranges(path: str) -> tuple[tuple[int, int], ...]:
    uid = os.getuid()
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        name = str(uid)
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as stream:
            text = stream.read()
    except OSError:
        text = ""
    found = idmap.subordinate(text, name, uid)
    if not found:
        raise Unsupported(f"{path} gives {name} no subordinate ids", SUBIDS_REMEDY)
    return found


def _dumpable() -> None:
    """newuidmap(1) goes by the owner of /proc/PID, which is root for a process that is not dumpable."""
    libc.prctl(libc.PR_SET_DUMPABLE, 1)


def _fork_helper(programs: tuple[str, str], uid_map: tuple[idmap.Range, ...], gid_map: tuple[idmap.Range, ...]) -> tuple[int, int]:
    """A child that writes this process's maps once told to; its exit status says whether it could."""
    parent = str(os.getpid())
    wait_fd, go_fd = os.pipe()
    pid = os.fork()
    if pid:
        os.close(wait_fd)
        return pid, go_fd
    status = 1
    try:
        os.close(go_fd)
        if os.read(wait_fd, 1):
            commands = [[program, parent, *idmap.arguments(ranges)] for program, ranges in zip(programs, (uid_map, gid_map), strict=True)]
            status = max(subprocess.run(command, capture_output=True, check=False).returncode != 0 for command in commands)
    finally:
        os._exit(int(status))
