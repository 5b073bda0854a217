"""Runs a command and measures it; medians and ratios of what was run in turn."""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec


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


def timed(argv: Sequence[str], env: Mapping[str, str] | None = None, cwd: str | None = None) -> Sample:
    """The command's cost; raises Failed. What earlier runs left to be written is written before, not during."""
    os.sync()
    with _Group() as group:
        started = time.perf_counter()
        with subprocess.Popen(
            list(argv),
            env={**os.environ, **(env or {})},
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            preexec_fn=group.enter,
        ) as process:
            assert process.stdout is not None
            said = process.stdout.read()
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        wall = time.perf_counter() - started
        counted = group.cpu()
    if process.returncode != 0:
        raise Failed(f"{' '.join(argv)} ended with {process.returncode}: {said.decode(errors='replace')[-2000:]}")
    return Sample(wall, usage.ru_utime + usage.ru_stime if counted is None else counted, usage.ru_maxrss * 1024)


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
