"""Runs one process in a root file system: the Sandbox protocol, and the parent side of the one on namespaces.

A run() takes a supervisor that is free, or has the launcher (see child/launcher) fork one, sends it a request
with the write ends of two pipes, streams the pipes, and waits for the one message that comes back. Each
supervisor serves one run at a time, so several threads may run at once. Hanging up its channel is the order
to kill, so a builder that dies in any way takes its steps along.
"""

from __future__ import annotations

import os
import select
import socket
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from types import TracebackType
from typing import Any, Literal, Protocol

import msgspec

from runtime import etcfiles, network, pasta, rlimits
from runtime.cgroup import Cgroup, NoGroup, limited, open_cgroup
from runtime.child import libc, wire
from runtime.devicegroup import DeviceGroup, open_device_group
from runtime.launcher import Launcher
from runtime.network import Lease, Networks, NoNetwork, Pool
from runtime.pasta import PastaPool
from runtime.spec import Exit, Process, Usage
from runtime.unsupported import Unsupported, in_user_namespace, read, setup_remedy

Output = Callable[[Literal["stdout", "stderr"], bytes], None]

SHARED_NETWORK = "steps share the host's network: there is no pasta, or /dev/net/tun is closed to this user (`layerwright doctor` tells)"
OFFLINE = "steps have no network, for this host has no route to anywhere"
HOST_LEFT_OUT = "host-gateway lines of /etc/hosts are left out: pasta shows no more of the host than its loopback, which stays out of reach"
_CANCEL_INTERVAL_MS = 40
_CHUNK = 1 << 16


class Sandbox(Protocol):
    """Where processes run."""

    def run(self, process: Process, output: Output, cancel: threading.Event, terminal: int | None = None) -> Exit:
        """Run to the end and report how it ended; never raises for what the process or its set-up did wrong.

        Blocks; several threads may call it. `output` is called on the caller's thread. When `cancel` is set
        everything is killed and the Exit tells of a signal. On return nothing of the process is left.
        `terminal`, for a process that wants one, is a descriptor of it; `output` is then not called.
        """
        ...

    def make_ready(self, *, network: bool) -> None:
        """Begin with what the first run would wait for; returns at once. What fails here fails again in a run, and is told there."""
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


def device_group() -> DeviceGroup | None:
    """That of this host; None where there can be none: then everything is mounted `nodev`."""
    if in_user_namespace():
        return None
    try:
        return open_device_group()
    except Unsupported:
        return None


class NamespaceSandbox:
    """Linux namespaces, as root or as root of a user namespace."""

    def __init__(self, state_dir: str, networks: Networks | None, guard: Callable[[], DeviceGroup | None] | None = None) -> None:
        """`guard` opens the group that keeps steps from device nodes; by default this host's."""
        self._networks = networks
        self._guard = guard or device_group
        self._devices: DeviceGroup | None = None
        self._mount_point = os.path.join(os.path.abspath(state_dir), "mnt")
        self._userns = in_user_namespace()
        self._lock = threading.Lock()
        self._launcher: Launcher | None = None
        self._closed = False

    def run(self, process: Process, output: Output, cancel: threading.Event, terminal: int | None = None) -> Exit:
        started = time.monotonic_ns()
        with ExitStack() as stack:
            try:
                launcher = self._started()
                process, lease, network_notes = self._networked(process, stack)
                process, cgroup, notes = self._limited(process, stack)
            except Unsupported as error:
                return Exit(125, setup_error=error.reason, setup_help=error.remedy)
            run = _Run(launcher, self._request(process, lease, cgroup), lease, output, terminal if process.terminal else None)
            stack.callback(run.close)
            ended = _exit(run.wait(cancel), cgroup, time.monotonic_ns() - started)
            return msgspec.structs.replace(ended, notes=(*notes, *network_notes))

    def make_ready(self, *, network: bool) -> None:
        def start() -> None:
            with suppress(Unsupported, OSError):
                self._started()

        threading.Thread(target=start, name="launcher-start", daemon=True).start()
        if network and self._networks is not None:
            self._networks.make_ready()

    def close(self) -> None:
        with self._lock:
            launcher, self._launcher, self._closed = self._launcher, None, True
        if launcher is not None:
            launcher.close()
        if self._devices is not None:
            self._devices.close()
        if self._networks is not None:
            self._networks.close()

    def __enter__(self) -> NamespaceSandbox:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _started(self) -> Launcher:
        with self._lock:
            if self._closed:
                raise Unsupported("the sandbox is closed")
            if self._launcher is None or self._launcher.ended:
                os.makedirs(self._mount_point, mode=0o700, exist_ok=True)
                self._devices = self._devices or self._guard()
                self._launcher = Launcher(self._mount_point, self._devices)
            return self._launcher

    def _networked(self, process: Process, stack: ExitStack) -> tuple[Process, Lease | None, tuple[str, ...]]:
        """The namespace leased for a default network; where there can be none, the process with another network and a word on it."""
        if process.network != "default":
            return process, None, ()
        if self._networks is None:
            return msgspec.structs.replace(process, network="host"), None, (SHARED_NETWORK,)
        try:
            lease = self._networks.lease()
        except NoNetwork:
            return msgspec.structs.replace(process, network="none"), None, (OFFLINE,)
        stack.callback(lease.close)
        if process.insecure:
            self._networks.spoil(lease)
        asked = any(ip == etcfiles.HOST_GATEWAY for ip, _name in process.hosts)
        return process, lease, (HOST_LEFT_OUT,) if asked and lease.gateway is None else ()

    def _limited(self, process: Process, stack: ExitStack) -> tuple[Process, Cgroup | None, tuple[str, ...]]:
        """The group with the step's limits; else the process with what comes nearest, and a word on it."""
        ulimits, notes = rlimits.reachable(process.ulimits) if process.ulimits else ((), ())
        process = msgspec.structs.replace(process, ulimits=ulimits)
        if not limited(process.resources):
            return process, None, notes
        try:
            cgroup = open_cgroup(process.resources)
        except NoGroup:
            found = rlimits.instead(process.resources)
            if found is None:
                raise
            given = {limit.name for limit in process.ulimits}
            more = tuple(limit for limit in found if limit.name not in given)
            return msgspec.structs.replace(process, ulimits=(*more, *process.ulimits)), None, (*notes, rlimits.NOTE)
        stack.callback(cgroup.close)
        return process, cgroup, notes

    def _request(self, process: Process, lease: Lease | None, cgroup: Cgroup | None) -> dict[str, Any]:
        resolv_conf, gateway = _read_resolv_conf(), lease.gateway if lease else None
        if process.network == "host":
            gateway = "127.0.0.1"
        else:
            resolv_conf = etcfiles.without_loopback(resolv_conf)
        cgroups, guarded = self._groups(process, cgroup)
        return {
            "process": msgspec.to_builtins(process),
            "hosts": etcfiles.hosts_file(process.hostname, process.hosts, gateway),
            "resolv_conf": resolv_conf,
            "cgroups": cgroups,
            "guarded": guarded,
            "in_user_namespace": self._userns,
        }

    def _groups(self, process: Process, cgroup: Cgroup | None) -> tuple[list[str], bool]:
        """What the payload enters, and whether it is then still kept from device nodes."""
        entrances, devices = list(cgroup.entrances) if cgroup else [], self._devices
        if devices is None:
            return entrances, False
        leaves = devices.one_hierarchy and cgroup is not None and cgroup.unified is not None
        if process.insecure:
            return (entrances if leaves else [devices.outside, *entrances]), False
        if leaves and cgroup is not None and cgroup.unified is not None:
            try:
                devices.guard(cgroup.unified)
            except OSError:
                return entrances, False
        return entrances, True


class _Run:
    """One process under way: its pipes, its channel, and the loop over them."""

    def __init__(self, launcher: Launcher, request: dict[str, Any], lease: Lease | None, output: Output, terminal: int | None) -> None:
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
    error = result["setup_error"]
    return Exit(result["code"], result["signal"], out_of_memory, error, setup_remedy(error) if error else "", usage)


def _read_resolv_conf() -> str:
    """What the host uses; systemd-resolved's own file where only its loopback stub is named (moby resolvconf.Path)."""
    content = read("/etc/resolv.conf")
    if etcfiles.only_loopback(content):
        return read("/run/systemd/resolve/resolv.conf") or content
    return content


def _name_servers() -> tuple[str, ...]:
    return tuple(server for server in etcfiles.servers(_read_resolv_conf()) if ":" not in server)
