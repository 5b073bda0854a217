"""A sandbox over a writable overlay on the busybox root, for tests to run commands in."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from runtime.sandbox import Sandbox
from runtime.spec import Exit, Overlay, Process

PATH = ("PATH", "/bin:/usr/bin")


class Done:
    """How a command ended and what it wrote."""

    def __init__(self, exit: Exit, stdout: bytes, stderr: bytes) -> None:
        self.exit = exit
        self.stdout = stdout.decode("utf-8", "surrogateescape")
        self.stderr = stderr.decode("utf-8", "surrogateescape")

    def __repr__(self) -> str:
        return f"{self.exit}\nstdout: {self.stdout}\nstderr: {self.stderr}"

    def lines(self) -> list[str]:
        assert self.exit.ok, self
        return self.stdout.splitlines()


class Box:
    """One root: `lower` may be written by the test before the first run, `upper` is what a layer would hold."""

    def __init__(self, sandbox: Sandbox, base: Path, directory: Path) -> None:
        self.sandbox = sandbox
        self.base, self.directory = base, directory
        self.lower, self.upper, self.work = (directory / name for name in ("lower", "upper", "work"))
        for path in (self.lower, self.upper, self.work):
            path.mkdir(mode=0o755, parents=True)
        self.root = Overlay((str(self.lower), str(base)), str(self.upper), str(self.work))

    def run(self, command: str | Sequence[str], *, cancel: threading.Event | None = None, **process: Any) -> Done:
        argv = ("/bin/sh", "-c", command) if isinstance(command, str) else tuple(command)
        written: dict[str, list[bytes]] = {"stdout": [], "stderr": []}

        def output(stream: Literal["stdout", "stderr"], data: bytes) -> None:
            written[stream].append(data)

        options = {"env": (PATH,), "network": "none", "root": self.root, **process}
        exit = self.sandbox.run(Process(argv=argv, **options), output, cancel or threading.Event())
        return Done(exit, b"".join(written["stdout"]), b"".join(written["stderr"]))
