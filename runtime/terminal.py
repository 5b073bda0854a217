"""A person's terminal lent to a process in a sandbox, by a pseudo-terminal of its own between the two.

The process never gets the person's terminal itself, so it can neither push input into it (TIOCSTI) nor keep it.
What is typed goes through raw, the window's size follows, and the terminal is given back as it was.
"""

from __future__ import annotations

import fcntl
import os
import select
import termios
import threading
import tty
from contextlib import suppress
from types import TracebackType
from typing import Any

_CHUNK = 1 << 14
_LOOK_MS = 200
"""How often the window's size is looked at: a signal handler would be the main thread's."""


class Terminal:
    """A context manager: `slave` is for the process, until the end."""

    def __init__(self, stdin: int, stdout: int) -> None:
        self._stdin = stdin
        self._stdout = stdout
        self._saved: list[Any] = []
        self._master = self.slave = -1
        self._size = b""
        self._pump = threading.Thread(target=self._copy, name="terminal", daemon=True)

    def __enter__(self) -> Terminal:
        self._saved = termios.tcgetattr(self._stdin)
        self._master, self.slave = os.openpty()
        self._follow_size()
        tty.setraw(self._stdin, termios.TCSADRAIN)
        self._pump.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        os.close(self.slave)  # the last one: the pump reads what is left, and then EIO
        self._pump.join(2)
        termios.tcsetattr(self._stdin, termios.TCSADRAIN, self._saved)
        os.close(self._master)

    def _copy(self) -> None:
        poller = select.poll()
        poller.register(self._stdin, select.POLLIN)
        poller.register(self._master, select.POLLIN)
        while True:
            ready = {fd for fd, _event in poller.poll(_LOOK_MS)}
            self._follow_size()
            if self._master in ready:
                data = _read(self._master)
                if not data:
                    return
                _write(self._stdout, data)
            elif self._stdin in ready:
                data = _read(self._stdin)
                if data:
                    _write(self._master, data)
                else:
                    poller.unregister(self._stdin)

    def _follow_size(self) -> None:
        with suppress(OSError):
            size = fcntl.ioctl(self._stdin, termios.TIOCGWINSZ, b"\0" * 8)
            if size != self._size:
                fcntl.ioctl(self._master, termios.TIOCSWINSZ, size)
                self._size = size


def _read(fd: int) -> bytes:
    """What there is; nothing at the end (EIO on a master whose slaves are all closed, pty(7))."""
    try:
        return os.read(fd, _CHUNK)
    except OSError:
        return b""


def _write(fd: int, data: bytes) -> None:
    with suppress(OSError):
        while data:
            data = data[os.write(fd, data) :]
