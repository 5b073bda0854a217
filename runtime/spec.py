"""Plain data that crosses from the builder to the sandbox: process, root, mounts, limits, exit.

Paths inside the root are bytes-exact strings (surrogateescape). Nothing here does I/O.
"""

from __future__ import annotations

from typing import Literal

import msgspec


class Overlay(msgspec.Struct, frozen=True, tag="overlay"):
    """A root stacked by overlayfs: `lowers` topmost first, all absolute directories.

    `upper` and `work` None: read-only. The mount is made in the sandbox's own mount namespace, so
    nothing of it outlives the process.

    `volatile`: nothing is synced to disk, neither by fsync(2) inside nor when the overlay is unmounted, which
    otherwise flushes the whole file system that `upper` is on. For an upper that is thrown away, or whose
    owner syncs it before relying on it (overlayfs.rst, "Volatile mount").
    """

    lowers: tuple[str, ...]
    upper: str | None = None
    work: str | None = None
    volatile: bool = False


class Directory(msgspec.Struct, frozen=True, tag="directory"):
    """A root that is a plain directory, used as it is."""

    path: str
    read_only: bool = False


Root = Overlay | Directory


class BindMount(msgspec.Struct, frozen=True, tag="bind"):
    """`source` (inside `root`, resolved as a chroot would) at `target`.

    With read_only False the root must be writable; whoever made the root decides what becomes of writes.
    """

    root: Root
    source: str
    target: str
    read_only: bool = True


class TmpfsMount(msgspec.Struct, frozen=True, tag="tmpfs"):
    """An empty tmpfs; size in bytes, None: the kernel's default."""

    target: str
    size: int | None = None
    mode: int = 0o1777


class FileMount(msgspec.Struct, frozen=True, tag="file"):
    """Bytes as a file on a read-only, nosuid, nodev, noexec tmpfs (secrets, here-documents)."""

    target: str
    content: bytes
    mode: int
    uid: int = 0
    gid: int = 0
    executable: bool = False


class SocketMount(msgspec.Struct, frozen=True, tag="socket"):
    """A unix socket of the host (an ssh agent proxy) at `target`, with the owner and mode asked for."""

    path: str
    target: str
    mode: int
    uid: int = 0
    gid: int = 0


Mount = BindMount | TmpfsMount | FileMount | SocketMount


class User(msgspec.Struct, frozen=True):
    """Who the process is; `groups` are the supplementary ones."""

    uid: int = 0
    gid: int = 0
    groups: tuple[int, ...] = ()


class Ulimit(msgspec.Struct, frozen=True):
    """One rlimit by its lower-case name without RLIMIT_ (`nofile`); -1 is unlimited."""

    name: str
    soft: int
    hard: int


class Resources(msgspec.Struct, frozen=True):
    """Limits of one step: bytes, shares, microseconds, cpu lists; None leaves a thing unlimited."""

    memory: int | None = None
    memory_swap: int | None = None
    cpu_shares: int | None = None
    cpu_period: int | None = None
    cpu_quota: int | None = None
    cpuset_cpus: str | None = None
    cpuset_mems: str | None = None
    pids: int | None = None
    cgroup_parent: str | None = None


NetworkMode = Literal["default", "none", "host"]


class Process(msgspec.Struct, frozen=True):
    """One RUN step, whole.

    `env` is the entire environment. `cwd` is made by the caller beforehand; `hosts` are further lines
    (ip, name) of /etc/hosts; an ip of `host-gateway` is the host as seen from the step. `terminal`: the terminal
    that run() is given is its three standard streams, and controls its session.
    """

    argv: tuple[str, ...]
    root: Root
    env: tuple[tuple[str, str], ...] = ()
    cwd: str = "/"
    user: User = User()
    mounts: tuple[Mount, ...] = ()
    network: NetworkMode = "default"
    insecure: bool = False
    hostname: str = "buildkitsandbox"
    hosts: tuple[tuple[str, str], ...] = ()
    shm_size: int = 64 << 20
    ulimits: tuple[Ulimit, ...] = ()
    resources: Resources = Resources()
    terminal: bool = False


class Usage(msgspec.Struct, frozen=True):
    """What a step used: nanoseconds of cpu, bytes of peak memory, bytes read and written (0: not known)."""

    wall_ns: int = 0
    user_ns: int = 0
    system_ns: int = 0
    peak_memory: int = 0
    read_bytes: int = 0
    written_bytes: int = 0


class Exit(msgspec.Struct, frozen=True):
    """How a step ended: `code` (None if by `signal`), whether memory ran out, and what it used.

    `setup_error` is set when the process never started: one sentence, the cause; `setup_help` may say what to try. `notes`
    are sentences on what is weaker on this host than was asked for.
    """

    code: int | None
    signal: int | None = None
    out_of_memory: bool = False
    setup_error: str | None = None
    setup_help: str = ""
    usage: Usage = Usage()
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        return self.code == 0 and self.setup_error is None
