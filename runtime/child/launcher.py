"""The process that forks supervisors: one thread, started once a build, holding no file of the builder's.

It reads channels from one socket and forks a supervisor for each, which serves the requests that come on its
channel, one sandbox after another. When the socket closes, or the builder dies, it ends, and every supervisor
kills its payload.

Why a supervisor is used again: a fresh fork of an interpreter runs cold code, and copies each page it touches.
Measured with perf on 100 trivial steps: 1,450 page faults and 11 ms of processor time a step with a supervisor
for each, see docs/performance.md.
"""

from __future__ import annotations

import binascii
import gc
import os
import select
import signal
import socket

from runtime.child import libc, wire
from runtime.child.devices import others_are_refused
from runtime.child.supervise import Supervisor

TYPE_CHECKING = False  # see request
if TYPE_CHECKING:
    from runtime.child.request import Hello


def main(channel_fd: int) -> None:
    libc.prctl(libc.PR_SET_PDEATHSIG, signal.SIGTERM)
    libc.prctl(libc.PR_SET_DUMPABLE, 0)  # so that no payload reads its memory or follows its /proc links
    os.setsid()  # a terminal's interrupt is the builder's to handle
    libc.default_signals()  # for what it forks too: handlers end with execve(2), but what is ignored stays so
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    os.umask(0)
    os.chdir("/")
    channel = socket.socket(fileno=channel_fd)
    first = wire.receive(channel)
    if first is None:
        return
    hello: Hello = first[0]
    seccomp = binascii.a2b_base64(hello["seccomp"])
    guarded = hello["guarded"] and others_are_refused()
    gc.freeze()
    gc.enable()
    serve(channel, hello["mount_point"], seccomp, guarded)
    os._exit(0)  # at once: the builder waits for it


def serve(channel: socket.socket, mount_point: str, seccomp: bytes, guarded: bool) -> None:
    pid = os.getpid()
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
            _supervise(pid, channel, fds[0], mount_point, seccomp, guarded)
        for fd in fds:
            os.close(fd)


def _supervise(parent: int, launcher: socket.socket, channel_fd: int, mount_point: str, seccomp: bytes, guarded: bool) -> None:
    try:
        libc.prctl(libc.PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() == parent:  # else it has ended before that was said
            launcher.close()
            Supervisor(channel_fd, mount_point, seccomp).serve(guarded)
    finally:
        os._exit(0)  # a supervisor never falls back into the launcher's loop


def _reap() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass
