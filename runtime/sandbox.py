"""Runs one process in a root file system: the Sandbox protocol, and the parent side of the one on namespaces.

A run() takes a supervisor that is free, or has the launcher (see child/launcher) fork one, sends it a request
with the write ends of two pipes, streams the pipes, and waits for the one message that comes back. Each
supervisor serves one run at a time, so several threads may run at once. Hanging up its channel is the order
to kill, so a builder that dies in any way takes its steps along.
"""

from __future__ import annotations

import base64
import os
import platform
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from types import TracebackType
from typing import Any, Literal, Protocol

import msgspec

from runtime import etcfiles, network, pasta, seccomp
from runtime.cgroup import Cgroup, limited, open_cgroup
from runtime.child import libc, wire
from runtime.network import Lease, Networks, Pool
from runtime.pasta import PastaPool
from runtime.spec import Exit, Process, Usage
from runtime.unsupported import Unsupported, in_user_namespace, read

Output = Callable[[Literal["stdout", "stderr"], bytes], None]

_CANCEL_INTERVAL_MS = 40
_CHUNK = 1 << 16
_ENTRY = os.path.join(os.path.dirname(os.path.abspath(__file__)), "child", "__main__.py")


class Sandbox(Protocol):
    """Where processes run."""

    def run(self, process: Process, output: Output, cancel: threading.Event, terminal: int | None = None) -> Exit:
        """Run to the end and report how it ended; never raises for what the process or its set-up did wrong.

        Blocks; several threads may call it. `output` is called on the caller's thread. When `cancel` is set
        everything is killed and the Exit tells of a signal. On return nothing of the process is left.
        `terminal`, for a process that wants one, is a descriptor of it; `output` is then not called.
        """
        ...

    def close(self) -> None:
        """Kill whatever runs, release everything. Idempotent."""
        ...

    def __enter__(self) -> Sandbox: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None: ...


def open_sandbox(*, state_dir: str, network_dir: str = network.DEFAULT_DIRECTORY) -> Sandbox:
    """The sandbox of this host; `state_dir` is an existing directory for its own small things.

    The process is not dumpable from here on: nobody but the host's root may read its memory, environment or
    descriptors, or trace it, while other people's code runs (CVE-2021-3602).
    """
    libc.prctl(libc.PR_SET_DUMPABLE, 0)
    return NamespaceSandbox(state_dir, _networks(state_dir, network_dir))


def _networks(state_dir: str, network_dir: str) -> Networks | None:
    """None: a step's default network is the host's, since this user has no other (host.probe() tells)."""
    if not in_user_namespace():
        return Pool(network_dir, avoid=_name_servers())
    return PastaPool(os.path.join(state_dir, "net")) if pasta.find() else None


class NamespaceSandbox:
    """Linux namespaces, as root or as root of a user namespace."""

    def __init__(self, state_dir: str, networks: Networks | None) -> None:
        self._networks = networks
        self._mount_point = os.path.join(os.path.abspath(state_dir), "mnt")
        self._userns = in_user_namespace()
        self._lock = threading.Lock()
        self._launcher: _Launcher | None = None
        self._closed = False

    def run(self, process: Process, output: Output, cancel: threading.Event, terminal: int | None = None) -> Exit:
        started = time.monotonic_ns()
        with ExitStack() as stack:
            try:
                launcher = self._started()
                lease = self._lease(process, stack)
                cgroup = self._cgroup(process, stack)
            except Unsupported as error:
                return Exit(125, setup_error=f"{error.reason}; {error.remedy}" if error.remedy else error.reason)
            run = _Run(launcher, self._request(process, lease, cgroup), lease, output, terminal if process.terminal else None)
            stack.callback(run.close)
            return _exit(run.wait(cancel), cgroup, time.monotonic_ns() - started)

    def close(self) -> None:
        with self._lock:
            launcher, self._launcher, self._closed = self._launcher, None, True
        if launcher is not None:
            launcher.close()
        if self._networks is not None:
            self._networks.close()

    def __enter__(self) -> NamespaceSandbox:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _started(self) -> _Launcher:
        with self._lock:
            if self._closed:
                raise Unsupported("the sandbox is closed")
            if self._launcher is None or self._launcher.ended:
                os.makedirs(self._mount_point, mode=0o700, exist_ok=True)
                self._launcher = _Launcher(self._mount_point)
            return self._launcher

    def _lease(self, process: Process, stack: ExitStack) -> Lease | None:
        if process.network != "default" or self._networks is None:
            return None
        lease = self._networks.lease()
        stack.callback(lease.close)
        if process.insecure:
            self._networks.spoil(lease)
        return lease

    def _cgroup(self, process: Process, stack: ExitStack) -> Cgroup | None:
        if not limited(process.resources):
            return None
        cgroup = open_cgroup(process.resources)
        stack.callback(cgroup.close)
        return cgroup

    def _request(self, process: Process, lease: Lease | None, cgroup: Cgroup | None) -> dict[str, Any]:
        resolv_conf, gateway = _read_resolv_conf(), lease.gateway if lease else None
        if process.network == "default" and lease is None:
            process = msgspec.structs.replace(process, network="host")
        if process.network == "host":
            gateway = "127.0.0.1"
        else:
            resolv_conf = etcfiles.without_loopback(resolv_conf)
        return {
            "process": msgspec.to_builtins(process),
            "hosts": etcfiles.hosts_file(process.hostname, process.hosts, gateway),
            "resolv_conf": resolv_conf,
            "cgroups": list(cgroup.entrances) if cgroup else [],
            "in_user_namespace": self._userns,
        }


class _Launcher:
    """The launcher process and the socket to it."""

    def __init__(self, mount_point: str) -> None:
        self._lock = threading.Lock()
        self._free: list[socket.socket] = []
        self._channel, self._far = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self._ended = threading.Event()
        self._up = threading.Event()
        self._error: OSError | None = None
        # The signal for a dead parent comes when the *thread* that forked ends (prctl(2)), and a build's worker
        # threads come and go: so one thread starts the launcher and stays for as long as it lives.
        threading.Thread(target=self._keep, name="launcher-keeper", daemon=True).start()
        program = base64.b64encode(_filter()).decode()  # compiled while the launcher starts
        self._up.wait()
        self._far.close()
        if self._error is not None:
            raise Unsupported(f"cannot start the sandbox launcher: {self._error.strerror}")
        wire.send(self._channel, {"mount_point": mount_point, "seccomp": program})

    @property
    def ended(self) -> bool:
        """Whether it died by itself, or somebody killed it."""
        return self._ended.is_set()

    def start(self, request: dict[str, Any], fds: tuple[int, ...]) -> socket.socket:
        """Sends the request to a supervisor; its channel, on which the report will come. OSError when the launcher is gone."""
        while (channel := self._taken()) is not None:
            try:
                wire.send(channel, request, fds)
                return channel
            except OSError:  # somebody killed it
                channel.close()
        channel, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with self._lock, far:
                wire.send(self._channel, {}, (far.fileno(),))
            wire.send(channel, request, fds)
        except OSError:
            channel.close()
            raise
        return channel

    def keep(self, channel: socket.socket) -> None:
        """A supervisor that has reported may serve another run."""
        with self._lock:
            self._free.append(channel)

    def close(self) -> None:
        self._channel.close()
        with self._lock:
            for channel in self._free:
                channel.close()
            self._free.clear()
        self._ended.wait(5)

    def _taken(self) -> socket.socket | None:
        with self._lock:
            return self._free.pop() if self._free else None

    def _keep(self) -> None:
        try:
            process = _start_launcher(self._far.fileno())
        except OSError as error:
            self._error = error
            self._up.set()
            return
        self._up.set()
        process.wait()
        self._ended.set()


def _filter() -> bytes:
    machine = platform.machine()
    if not seccomp.supported(machine):
        raise Unsupported(f"there is no filter of system calls for {machine} yet", "build on x86_64 or aarch64")
    return seccomp.program(machine)


def _start_launcher(channel: int) -> subprocess.Popen[bytes]:
    fds = [channel]
    executable = sys.executable
    try:
        # Executed through a read-only mount of its own, so that /proc/self/exe gives no payload a way to write to
        # the host's interpreter (CVE-2019-5736).
        mounted = libc.open_tree(libc.AT_FDCWD, os.path.realpath(executable), libc.OPEN_TREE_CLONE)
        libc.mount_setattr(mounted, libc.ATTR_RDONLY)
    except OSError:
        pass  # in a user namespace without a mount namespace; the file is not ours to write there
    else:
        fds.append(mounted)
        executable = f"/proc/self/fd/{mounted}"
    try:
        return subprocess.Popen(
            [sys.executable, "-I", "-S", "-E", _ENTRY, str(channel)],
            executable=executable,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=fds,
            env={"LC_ALL": "C.UTF-8"},
        )
    finally:
        for fd in fds[1:]:
            os.close(fd)


class _Run:
    """One process under way: its pipes, its channel, and the loop over them."""

    def __init__(self, launcher: _Launcher, request: dict[str, Any], lease: Lease | None, output: Output, terminal: int | None) -> None:
        self._launcher = launcher
        self._output = output
        self._channel: socket.socket | None = None
        self._pipes: dict[int, Literal["stdout", "stderr"]] = {}
        ends = self._make_pipes() if terminal is None else (os.dup(terminal), os.dup(terminal))
        try:
            self._channel = launcher.start(request, ends if lease is None else (*ends, lease.namespace_fd, *lease.held))
        except OSError:
            pass  # the launcher is gone; wait() says so
        finally:
            for end in ends:
                os.close(end)

    def _make_pipes(self) -> tuple[int, int]:
        stdout, stdout_end = os.pipe()
        stderr, stderr_end = os.pipe()
        self._pipes = {stdout: "stdout", stderr: "stderr"}
        for fd in self._pipes:
            os.set_blocking(fd, False)
        return stdout_end, stderr_end

    def wait(self, cancel: threading.Event) -> dict[str, Any] | None:
        """The sandbox's report; None if it went away without one."""
        channel = self._channel
        if channel is None:
            return None
        poller = select.poll()
        for fd in (*self._pipes, channel.fileno()):
            poller.register(fd, select.POLLIN)
        hung_up = False
        while True:
            for fd, _event in poller.poll(_CANCEL_INTERVAL_MS):
                if fd == channel.fileno():
                    return self._report(channel, keep=not hung_up)
                if not self._read(fd):
                    poller.unregister(fd)
            if cancel.is_set() and not hung_up:
                hung_up = True
                with suppress(OSError):
                    channel.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Hangs up, unless the supervisor has been given back."""
        if self._channel is not None:
            self._channel.close()
        for fd in self._pipes:
            os.close(fd)

    def _report(self, channel: socket.socket, *, keep: bool) -> dict[str, Any] | None:
        try:
            message = wire.receive(channel)
        except (OSError, wire.WireError):
            message = None
        for fd in self._pipes:
            while self._read(fd):
                pass
        if message is None:
            return None
        result: dict[str, Any] = message[0]
        if keep and result["again"]:
            self._channel = None
            self._launcher.keep(channel)
        return result

    def _read(self, fd: int) -> bool:
        """Pass on what there is; False at the end, and when there is nothing now."""
        try:
            data = os.read(fd, _CHUNK)
        except BlockingIOError:
            return False
        if data:
            self._output(self._pipes[fd], data)
        return bool(data)


def _exit(result: dict[str, Any] | None, cgroup: Cgroup | None, wall_ns: int) -> Exit:
    if result is None:
        return Exit(125, setup_error="the sandbox went away without a word", usage=Usage(wall_ns=wall_ns))
    usage = Usage(
        wall_ns=wall_ns,
        user_ns=result["user_ns"],
        system_ns=result["system_ns"],
        peak_memory=(cgroup.peak_memory() if cgroup else 0) or result["peak_memory"],
        read_bytes=result["read_bytes"],
        written_bytes=result["written_bytes"],
    )
    out_of_memory = cgroup is not None and cgroup.out_of_memory()
    return Exit(result["code"], result["signal"], out_of_memory, result["setup_error"], usage)


def _read_resolv_conf() -> str:
    """What the host uses; systemd-resolved's own file where only its loopback stub is named (moby resolvconf.Path)."""
    content = read("/etc/resolv.conf")
    if etcfiles.only_loopback(content):
        return read("/run/systemd/resolve/resolv.conf") or content
    return content


def _name_servers() -> tuple[str, ...]:
    return tuple(server for server in etcfiles.servers(_read_resolv_conf()) if ":" not in server)
