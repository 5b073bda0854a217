"""Runs a command and measures it; medians and ratios of what was run in turn."""

from __future__ import annotations

import mmap
import os
import signal
import statistics
import struct
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

LIMIT = 300.0
"""Seconds after which a command is ended and counts as failed."""


class Sample(msgspec.Struct, frozen=True):
    """One run: wall and cpu seconds, and the peak memory of its largest process in bytes.

    `cpu` is that of every process the command started, by a control group of its own: a sandbox's processes are
    nobody's children when they end, so wait4(2) does not count them. Without control groups it is wait4's. Work of a
    daemon that ran before is in neither. `peak` is wait4's: of the command and of those that it waited for.
    """

    wall: float
    cpu: float
    peak: int


class Failed(Exception):
    """A command of a benchmark did not succeed; the text holds what it said."""


def timed(argv: Sequence[str], env: Mapping[str, str] | None = None, cwd: str | None = None, limit: float = LIMIT) -> Sample:
    """The command's cost; raises Failed. What earlier runs left to be written is written before, not during.

    The clock starts in the command's own process, just before its exec: the fork of this one and the way into a
    control group took 4 to 8 ms, which is nobody's work.
    """
    os.sync()
    start = mmap.mmap(-1, 8)
    with _Group() as group:

        def enter() -> None:
            group.enter()
            struct.pack_into("d", start, 0, time.perf_counter())

        with subprocess.Popen(
            list(argv),
            # As a user has it: bytecode is kept.
            env={name: value for name, value in {**os.environ, **(env or {})}.items() if name != "PYTHONDONTWRITEBYTECODE"},
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            preexec_fn=enter,
            start_new_session=True,
        ) as process:
            assert process.stdout is not None
            with _ended(process, limit) as late:
                said = process.stdout.read()
                _, status, usage = os.wait4(process.pid, 0)
                wall = time.perf_counter() - struct.unpack_from("d", start)[0]
                process.returncode = os.waitstatus_to_exitcode(status)
        counted = group.cpu()
    if late.is_set():
        raise Failed(f"{' '.join(argv)} took more than {limit:.0f} s")
    if process.returncode != 0:
        raise Failed(f"{' '.join(argv)} ended with {process.returncode}: {said.decode(errors='replace')[-2000:]}")
    return Sample(wall, usage.ru_utime + usage.ru_stime if counted is None else counted, usage.ru_maxrss * 1024)


@contextmanager
def _ended(process: subprocess.Popen[bytes], limit: float) -> Iterator[threading.Event]:
    """The command's session ends with this context, also when a signal ends us; the event is set where it took too long."""
    late = threading.Event()

    def end() -> None:
        late.set()
        _end(process.pid)

    timer = threading.Timer(limit, end)
    timer.daemon = True
    timer.start()
    try:
        yield late
    except BaseException:
        _end(process.pid)
        raise
    finally:
        timer.cancel()


def _end(leader: int) -> None:
    """Asks, so that a builder can clean up, and kills what is still there after some seconds."""
    for number, seconds in ((signal.SIGTERM, 5.0), (signal.SIGKILL, 0.0)):
        with suppress(ProcessLookupError):
            os.killpg(leader, number)
        deadline = time.monotonic() + seconds
        with suppress(ChildProcessError):  # another thread has waited for it
            while time.monotonic() < deadline and os.waitid(os.P_PID, leader, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
                time.sleep(0.05)


def grouped() -> bool:
    """Whether processor time is that of every process."""
    with _Group() as group:
        return group.cpu() is not None


class _Group:
    """A control group around one command, of version 1 (cpuacct) or 2; nothing at all where none can be made."""

    def __init__(self) -> None:
        self._path: Path | None = None
        for base, marker in ((Path("/sys/fs/cgroup/cpuacct"), "cpuacct.usage"), (Path("/sys/fs/cgroup"), "cpu.stat")):
            path = base / f"layerwright-bench-{os.getpid()}-{time.monotonic_ns()}"
            try:
                path.mkdir()
            except OSError:
                continue
            if (path / marker).exists():
                self._path = path
                break
            path.rmdir()

    def enter(self) -> None:
        """Called by the command's process before its exec."""
        if self._path is not None:
            (self._path / "cgroup.procs").write_text(str(os.getpid()))

    def cpu(self) -> float | None:
        """Seconds of all processes that were ever in it."""
        if self._path is None:
            return None
        if (self._path / "cpuacct.usage").exists():
            return int((self._path / "cpuacct.usage").read_text()) / 1e9
        return int((self._path / "cpu.stat").read_text().split()[1]) / 1e6

    def __enter__(self) -> _Group:
        return self

    def __exit__(self, *_: object) -> None:
        """A sandbox's launcher ends a moment after its builder; what a command leaves running for longer keeps the group."""
        for _attempt in range(20 if self._path is not None else 0):
            assert self._path is not None
            with suppress(OSError):
                self._path.rmdir()
                return
            time.sleep(0.05)


def total(samples: Sequence[Sample]) -> Sample:
    """Commands that together do one thing."""
    return Sample(sum(s.wall for s in samples), sum(s.cpu for s in samples), max(s.peak for s in samples))


def median(values: Sequence[float]) -> float:
    """The median; of none, not a number."""
    return statistics.median(values) if values else float("nan")


def ratio(ours: Sequence[Sample], theirs: Sequence[Sample]) -> float:
    """The median of the ratios of runs that followed each other."""
    return median([a.wall / b.wall for a, b in zip(ours, theirs, strict=False)])
