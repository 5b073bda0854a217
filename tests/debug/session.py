"""A command on a real pseudo-terminal: what is typed at it, and all that it showed."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.peers.users import OrdinaryUser

REPOSITORY = Path(__file__).resolve().parent.parent.parent
PATIENCE = 60.0


class Terminal:
    """A command as somebody at a terminal has it; a context manager that ends it."""

    def __init__(self, command: list[str], *, env: dict[str, str], cwd: str | Path = "/", user: OrdinaryUser | None = None) -> None:
        self._keyboard, tty = os.openpty()
        if user is not None:
            os.fchown(tty, user.uid, user.gid)
            command = ["setpriv", "--reuid", str(user.uid), "--regid", str(user.gid), "--init-groups", "--", *command]
        self._process = subprocess.Popen(command, stdin=tty, stdout=tty, stderr=tty, start_new_session=True, cwd=cwd, env=env)
        os.close(tty)
        self.screen = ""

    def type(self, text: str) -> None:
        """As if typed."""
        os.write(self._keyboard, text.encode())

    def wait_for(self, text: str) -> None:
        """Until it is on the screen."""
        until = time.monotonic() + PATIENCE
        while text not in self.screen:
            assert time.monotonic() < until, f"no {text!r} in:\n{self.screen}"
            assert self._read(), f"it ended without {text!r}:\n{self.screen}"

    def ask(self, command: str, answer: str) -> None:
        """A command whose answer is not in what was typed."""
        assert answer not in command
        self.type(command + "\n")
        self.wait_for(answer)

    def end(self) -> int:
        """Its exit code, once it has ended by itself."""
        while self._read():
            pass
        return self._process.wait(PATIENCE)

    def _read(self) -> bool:
        if not select.select([self._keyboard], [], [], PATIENCE)[0]:
            return False
        try:
            data = os.read(self._keyboard, 4096)
        except OSError:  # EIO: nobody has the terminal open any more
            return False
        self.screen += data.decode(errors="replace")
        return bool(data)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._keyboard)


class Session(Terminal):
    """`build` or `layerwright` (`module` is that of its main)."""

    def __init__(self, module: str, *args: str, env: dict[str, str], user: OrdinaryUser | None = None) -> None:
        python, path = (sys.executable, str(REPOSITORY)) if user is None else user.interpreter
        command = [python, "-c", f"from {module} import main; main()", *args]
        basic = {"TERM": "dumb", "PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "PYTHONPATH": path}
        super().__init__(command, env={**basic, **env}, user=user)
