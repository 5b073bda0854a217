"""Sockets of ssh agents, handed to a step: a socket of the step's own, relayed to the agent.

The agent's own socket stays out of the sandbox: a step may ask for another owner and mode, which must not become
those of the user's agent, and an agent answers its own user only (openssh's ssh-agent, getpeereid(3)), while a
step may run as any.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import tempfile
import threading
from types import TracebackType

CHUNK = 1 << 16


class AgentRelay:
    """Listens at `path` until it is closed, and connects whoever comes to the agent; connections end with it."""

    def __init__(self, agent: str) -> None:
        self._agent = agent
        self._directory = tempfile.mkdtemp(prefix="layerwright-agent-")
        self.path = os.path.join(self._directory, "socket")
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(self.path)
        self._listener.listen(16)
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(target=self._accept, name="ssh-agent", daemon=True)
        self._thread.start()

    def __enter__(self) -> AgentRelay:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Ends every connection. Idempotent."""
        with self._lock:
            self._closed = True
            for link in (self._listener, *self._open):
                with contextlib.suppress(OSError):
                    link.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()
        shutil.rmtree(self._directory, ignore_errors=True)

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._relay, args=(near,), name="ssh-agent-relay", daemon=True).start()

    def _relay(self, near: socket.socket) -> None:
        with near, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as far:
            with self._lock:
                if self._closed:
                    return
                self._open.update((near, far))
            try:
                far.connect(self._agent)
                back = threading.Thread(target=_pump, args=(far, near), name="ssh-agent-answers", daemon=True)
                back.start()
                _pump(near, far)
                back.join()
            except OSError:
                pass  # the agent is gone: the step sees its connection end, as without a relay
            finally:
                with self._lock:
                    self._open.difference_update((near, far))


def _pump(source: socket.socket, sink: socket.socket) -> None:
    """Bytes from one to the other until there are no more, which the other then hears."""
    with contextlib.suppress(OSError):
        while data := source.recv(CHUNK):
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
