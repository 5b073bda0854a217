"""Tries out what a sandbox needs, in a process of its own, and prints what failed: {name: error or null}."""

from __future__ import annotations

import json
import os

from runtime.child import libc
from runtime.child.mounts import attach, clone, fresh

_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC


def main(place: str, kind: str) -> None:
    found: dict[str, str | None] = {}
    steps = (
        ("mount-namespace", _namespace),
        ("mount-calls", _calls),
        ("overlay", _overlay),
        ("pid-namespace", _namespaces),
        ("proc", _proc),
    )
    for name, step in steps:
        try:
            step(place, kind == "user")
            found[name] = None
        except OSError as error:
            found[name] = (error.strerror or "failed").lower()
            if name == "mount-namespace":
                break
    print(json.dumps(found))


def _namespace(_place: str, _user: bool) -> None:
    libc.unshare(libc.CLONE_NEWNS)
    libc.mount("none", "/", None, libc.MS_REC | libc.MS_PRIVATE)


def _calls(place: str, _user: bool) -> None:
    fd = os.open(place, _DIRECTORY)
    attach(clone(fd, libc.ATTR_NOSUID), os.open(place, _DIRECTORY))
    os.close(fd)


def _overlay(place: str, user: bool) -> None:
    for name in ("lower", "upper", "work", "merged"):
        os.mkdir(f"{place}/{name}")
    options = f"lowerdir={place}/lower,upperdir={place}/upper,workdir={place}/work,index=off" + (",userxattr" if user else "")
    libc.mount("overlay", f"{place}/merged", "overlay", 0, options)
    with open(f"{place}/merged/file", "w"):
        pass
    os.unlink(f"{place}/merged/file")
    libc.umount(f"{place}/merged")


def _namespaces(_place: str, _user: bool) -> None:
    libc.unshare(libc.CLONE_NEWPID | libc.CLONE_NEWIPC | libc.CLONE_NEWUTS | libc.CLONE_NEWNET | libc.CLONE_NEWCGROUP)


def _proc(_place: str, _user: bool) -> None:
    """By a child, since only that is in the new pid namespace."""
    pid = os.fork()
    if not pid:
        code = 1
        try:
            os.close(fresh("proc"))
            code = 0
        except OSError as error:
            code = error.errno or 1
        finally:
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if code:
        raise OSError(code, os.strerror(code))
