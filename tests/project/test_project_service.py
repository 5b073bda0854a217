"""A server does not outlive the test run that started it, however that ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.peers.service import Service, Unavailable, free_port, listens

REPOSITORY = Path(__file__).resolve().parents[2]
SERVER = "import socket, sys, time; s = socket.socket(); s.bind(('127.0.0.1', int(sys.argv[1]))); s.listen(); time.sleep(600)"


def test_a_server_starts_and_stops(tmp_path: Path) -> None:
    port = free_port()
    service = Service([sys.executable, "-c", SERVER, str(port)], tmp_path / "log")
    service.wait_until(lambda: listens(port))
    service.stop()
    assert not listens(port)


def test_a_server_that_ends_says_why(tmp_path: Path) -> None:
    service = Service([sys.executable, "-c", "print('no luck'); raise SystemExit(1)"], tmp_path / "log")
    with pytest.raises(Unavailable, match="no luck"):
        service.wait_until(lambda: False)


def test_a_killed_run_takes_its_servers_along(tmp_path: Path) -> None:
    port = free_port()
    code = (
        "import pathlib, time, sys; from tests.peers.service import Service, listens\n"
        f"s = Service([sys.executable, '-c', {SERVER!r}, '{port}'], pathlib.Path({str(tmp_path / 'log')!r}))\n"
        f"s.wait_until(lambda: listens({port})); time.sleep(600)\n"
    )
    run = subprocess.Popen([sys.executable, "-c", code], cwd=REPOSITORY, env={**os.environ, "PYTHONPATH": str(REPOSITORY)})
    deadline = time.monotonic() + 60
    while not listens(port) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert listens(port)
    run.send_signal(signal.SIGKILL)
    run.wait()
    while listens(port) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not listens(port)
