"""The shape of the launcher's messages, for the type checker: the running child reads plain JSON.

It is spec.Process as msgspec turns it to builtins, and beside it what the parent side has decided.
Only imported under TYPE_CHECKING, a name that type checkers take for true whatever it is set to: `typing` costs the launcher
3 ms of its start.
"""

from __future__ import annotations

from typing import Literal, NotRequired, TypedDict


class RootData(TypedDict):
    type: Literal["overlay", "directory"]
    lowers: NotRequired[list[str]]
    upper: NotRequired[str | None]
    work: NotRequired[str | None]
    volatile: NotRequired[bool]
    path: NotRequired[str]
    read_only: NotRequired[bool]


class BindData(TypedDict):
    type: Literal["bind"]
    root: RootData
    source: str
    target: str
    read_only: bool


class TmpfsData(TypedDict):
    type: Literal["tmpfs"]
    target: str
    size: int | None
    mode: int


class FileData(TypedDict):
    type: Literal["file"]
    target: str
    content: str
    mode: int
    uid: int
    gid: int
    executable: bool


class SocketData(TypedDict):
    type: Literal["socket"]
    path: str
    target: str
    mode: int
    uid: int
    gid: int


MountData = BindData | TmpfsData | FileData | SocketData


class UserData(TypedDict):
    uid: int
    gid: int
    groups: list[int]


class UlimitData(TypedDict):
    name: str
    soft: int
    hard: int


class ProcessData(TypedDict):
    argv: list[str]
    root: RootData
    env: list[tuple[str, str]]
    cwd: str
    user: UserData
    mounts: list[MountData]
    network: Literal["default", "none", "host"]
    insecure: bool
    hostname: str
    shm_size: int
    ulimits: list[UlimitData]
    terminal: bool  # stdout and stderr are one


class Request(TypedDict):
    """One sandbox to run, sent on a supervisor's channel; its descriptors are stdout, stderr,
    and of a leased network the namespace and the lock. The Result comes back on the channel."""

    process: ProcessData
    hosts: str
    resolv_conf: str
    cgroups: list[str]  # the cgroup.procs files that the payload enters
    guarded: bool  # whether the group the payload will be in keeps it from device nodes
    in_user_namespace: bool


class Hello(TypedDict):
    """The first message to a launcher: what all its sandboxes share."""

    mount_point: str  # an existing directory of the host that sandboxes mount their scratch space on, each in its own namespace
    seccomp: str  # the compiled filter, base64
    guarded: bool  # whether the launcher was put into a group that may open no device nodes but the usual ones


class Result(TypedDict):
    """The one message of a sandbox back to its run()."""

    code: int | None
    signal: int | None
    setup_error: str | None
    user_ns: int
    system_ns: int
    peak_memory: int
    read_bytes: int
    written_bytes: int
    again: bool  # whether the supervisor serves another request
