"""The process that forks sandboxes: one thread, started once a build, holding no file of the builder's.

It reads requests from one socket, forks a supervisor for each, and forgets it: supervisors report on their
own channel. When the socket closes, or the builder dies, it ends, and every supervisor kills its payload.
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
from runtime.child.supervise import Sandbox

if TYPE_CHECKING:
    from runtime.child.request import Hello, Request


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
    gc.collect()
    gc.freeze()
    serve(channel, hello["mount_point"], seccomp)


def serve(channel: socket.socket, mount_point: str, seccomp: bytes) -> None:
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
        request, fds = message
        if not os.fork():
            _sandbox(channel, request, fds, mount_point, seccomp)
        for fd in fds:
            os.close(fd)


def _sandbox(channel: socket.socket, request: Request, fds: list[int], mount_point: str, seccomp: bytes) -> None:
    try:
        gc.disable()
        channel.close()
        Sandbox(request, fds, mount_point, seccomp).run()
    finally:
        os._exit(0)  # a supervisor never falls back into the launcher's loop


def _reap() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass
