"""The process that forks supervisors: one thread, started once a build, holding no file of the builder's.

It reads channels from one socket and forks a supervisor for each, which serves the requests that come on its
channel, one sandbox after another. When the socket closes, or the builder dies, it ends, and every supervisor
kills its payload.

Why a supervisor is used again: a fresh fork of an interpreter runs cold code, and copies each page it touches.
Measured with perf on 100 trivial steps: 1,450 page faults and 11 ms of processor time a step with a supervisor
for each, see docs/performance.md.
"""

from __future__ import annotations

import base64
import gc
import os
import select
import signal
import socket
from typing import TYPE_CHECKING

from runtime.child import libc, wire
from runtime.child.devices import others_are_refused
from runtime.child.supervise import Home, Sandbox

if TYPE_CHECKING:
    from runtime.child.request import Hello


def main(channel_fd: int) -> None:
    libc.prctl(libc.PR_SET_PDEATHSIG, signal.SIGTERM)
    libc.prctl(libc.PR_SET_DUMPABLE, 0)  # so that no payload reads its memory or follows its /proc links
    os.setsid()  # a terminal's interrupt is the builder's to handle
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.umask(0)
    os.chdir("/")
    channel = socket.socket(fileno=channel_fd)
    first = wire.receive(channel)
    if first is None:
        return
    hello: Hello = first[0]
    seccomp = base64.b64decode(hello["seccomp"])
    guarded = hello["guarded"] and others_are_refused()
    gc.collect()
    gc.freeze()
    serve(channel, hello["mount_point"], seccomp, guarded)


def serve(channel: socket.socket, mount_point: str, seccomp: bytes, guarded: bool) -> None:
    poller = select.poll()
    poller.register(channel, select.POLLIN)
    while True:
        ready = poller.poll(1000)
        _reap()
        if not ready:
            continue
        message = wire.receive(channel)
        if message is None:
            return
        fds = message[1]
        if not os.fork():
            _supervise(channel, fds[0], mount_point, seccomp, guarded)
        for fd in fds:
            os.close(fd)


def _supervise(launcher: socket.socket, channel_fd: int, mount_point: str, seccomp: bytes, guarded: bool) -> None:
    """Sandboxes one after another, until the builder hangs up or one leaves a state that is not as it was."""
    try:
        libc.prctl(libc.PR_SET_PDEATHSIG, signal.SIGTERM)
        launcher.close()
        home = Home(channel_fd)
        while (message := wire.receive(home.channel)) is not None:
            request, fds = message
            request["guarded"] = guarded and request["guarded"]
            result, clean = Sandbox(request, fds, home.channel, mount_point, seccomp).run()
            result["again"] = clean and home.back()
            wire.send(home.channel, result)
            if not result["again"]:
                break
    finally:
        os._exit(0)  # a supervisor never falls back into the launcher's loop


def _reap() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass
