"""Ctrl-C and SIGTERM end a build at once, with everything it started; a failing step ends the others."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from tests.acceptance.command import Command


def _sleepers(mark: str) -> list[int]:
    """Processes whose command line holds the mark."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                if mark.encode() in Path(f"/proc/{entry}/cmdline").read_bytes().split(b"\0"):
                    found.append(int(entry))
            except OSError:
                continue
    return found


def _until(condition: object, seconds: float = 120) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():  # type: ignore[operator]
            return True
        time.sleep(0.02)
    return False


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_build_leaves_nothing_running(command: Command, box_tar: Path, number: signal.Signals) -> None:
    mark = f"7{os.getpid()}.{int(number)}"
    os.link(box_tar, command.cwd / "box.tar")
    (command.cwd / "Dockerfile").write_text(
        f"FROM scratch AS box\nADD box.tar /\nFROM box AS a\nRUN --network=none sleep {mark}\n"
        f"FROM box\nRUN --network=none sleep {mark} & sleep {mark}\nCOPY --from=a / /\n"
    )
    process = command.start("build", ".")
    assert _until(lambda: len(_sleepers(mark)) >= 3), "the steps did not start"
    process.send_signal(number)
    process.communicate(timeout=120)
    assert process.returncode == 130
    assert _sleepers(mark) == []
    assert os.listdir(command.root / "work") == []


def test_the_first_failure_ends_the_other_steps(command: Command, box_tar: Path) -> None:
    mark = f"6{os.getpid()}.5"
    os.link(box_tar, command.cwd / "box.tar")
    (command.cwd / "Dockerfile").write_text(
        f"FROM scratch AS box\nADD box.tar /\nFROM box AS a\nRUN --network=none sleep {mark}\n"
        "FROM box\nRUN --network=none sleep 1; exit 3\nCOPY --from=a / /\n"
    )
    started = time.monotonic()
    ended = command.build(".", check=False)
    assert time.monotonic() - started < 30
    assert ended.returncode == 1
    assert "the command ended with exit code 3" in ended.stderr
    assert _sleepers(mark) == []
