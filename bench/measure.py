"""Runs a command and measures it; medians and ratios of what was run in turn."""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from collections.abc import Mapping, Sequence

import msgspec


class Sample(msgspec.Struct, frozen=True):
    """One run: wall and cpu seconds, and the peak memory of its largest process in bytes."""

    wall: float
    cpu: float
    peak: int


class Failed(Exception):
    """A command of a benchmark did not succeed; the text holds what it said."""


def timed(argv: Sequence[str], env: Mapping[str, str] | None = None, cwd: str | None = None) -> Sample:
    """The command's cost; raises Failed. What earlier runs left to be written is written before, not during."""
    os.sync()
    started = time.perf_counter()
    with subprocess.Popen(
        list(argv), env={**os.environ, **(env or {})}, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        assert process.stdout is not None
        said = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    wall = time.perf_counter() - started
    if process.returncode != 0:
        raise Failed(f"{' '.join(argv)} ended with {process.returncode}: {said.decode(errors='replace')[-2000:]}")
    return Sample(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)


def total(samples: Sequence[Sample]) -> Sample:
    """Commands that together do one thing."""
    return Sample(sum(s.wall for s in samples), sum(s.cpu for s in samples), max(s.peak for s in samples))


def median(values: Sequence[float]) -> float:
    """The median; of none, not a number."""
    return statistics.median(values) if values else float("nan")


def ratio(ours: Sequence[Sample], theirs: Sequence[Sample]) -> float:
    """The median of the ratios of runs that followed each other."""
    return median([a.wall / b.wall for a, b in zip(ours, theirs, strict=False)])
