"""Starts a server as a child process, waits until it answers, and stops it for certain."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path


class Unavailable(Exception):
    """A peer cannot be had on this machine; the text says why, and is a test's reason to skip."""


class Service:
    """A running server; `stop` ends its whole process group."""

    def __init__(self, argv: Sequence[str], log: Path, env: Mapping[str, str] | None = None) -> None:
        self.log = log
        self.name = argv[0]
        log.parent.mkdir(parents=True, exist_ok=True)
        # A test run that is killed takes its servers along: they get SIGTERM when this process ends.
        tied = ["setpriv", "--pdeathsig", "TERM"] if shutil.which("setpriv") else []
        with open(log, "wb") as out:
            self.process = subprocess.Popen(
                [*tied, *argv],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env=None if env is None else {**os.environ, **env},
                start_new_session=True,
            )

    def wait_until(self, ready: Callable[[], bool], seconds: float = 20.0) -> None:
        """Polls until `ready`; raises Unavailable with the log's end when the server ends or time runs out."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            if ready():
                return
            time.sleep(0.05)
        tail = self.log.read_text(errors="replace")[-2000:]
        self.stop()
        raise Unavailable(f"{self.name} did not start: {tail}")

    def stop(self, seconds: float = 10.0) -> None:
        """Asks, then kills; safe to call twice."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            if self.process.poll() is not None:
                return
            try:
                os.killpg(self.process.pid, number)
                self.process.wait(seconds)
            except (ProcessLookupError, subprocess.TimeoutExpired):
                continue


def free_port() -> int:
    """A loopback port that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def listens(port: int) -> bool:
    """Whether something accepts connections on a loopback port."""
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0
