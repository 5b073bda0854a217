"""The launcher (see child/launcher) as the builder sees it: started once, handing out supervisors, ended by hanging up."""

from __future__ import annotations

import base64
import os
import platform
import select
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from typing import Any

from runtime import seccomp
from runtime.child import libc, wire
from runtime.devicegroup import DeviceGroup
from runtime.unsupported import Unsupported

_SUPERVISORS = 2
_ENTRY = os.path.join(os.path.dirname(os.path.abspath(__file__)), "child", "__main__.py")


class Launcher:
    """The process and the socket to it; what it forks is in the group `devices`, where there is one."""

    def __init__(self, mount_point: str, devices: DeviceGroup | None = None) -> None:
        self._devices = devices
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
        wire.send(self._channel, {"mount_point": mount_point, "seccomp": program, "guarded": self._devices is not None})

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
        """A supervisor that has reported may serve another run, as soon as it says that it is ready."""
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
        """A supervisor that is ready; None when another had better be forked.

        Each makes ready what its next sandbox needs while a step of another runs, so it takes two for one step after another.
        """
        while True:
            with self._lock:
                ready = self._ready()
                if not ready and len(self._free) < _SUPERVISORS:
                    return None
                channel = self._free.pop(ready[0] if ready else 0)
            with suppress(OSError, wire.WireError):
                if wire.receive(channel) is not None:
                    return channel
            channel.close()  # it ended, or somebody killed it

    def _ready(self) -> list[int]:
        poller = select.poll()
        for channel in self._free:
            poller.register(channel, select.POLLIN)
        heard = {fd for fd, _event in poller.poll(0)}
        return [index for index, channel in enumerate(self._free) if channel.fileno() in heard]

    def _keep(self) -> None:
        try:
            process = _start_launcher(self._far.fileno())
        except OSError as error:
            self._error = error
            self._up.set()
            return
        self._admit(process.pid)
        self._up.set()
        process.wait()
        self._ended.set()

    def _admit(self, pid: int) -> None:
        """While the interpreter starts, since entering a group for the first time costs the kernel's 15 ms of waiting."""
        if self._devices is not None:
            try:
                self._devices.admit(pid)
            except OSError:
                self._devices = None


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
