"""Listens to a build: when each step and output began and ended and how, warnings, and each step's whole log in a file of its own.

A step's number is its place among those that began, as the plain view counts; of one that two platforms share the
first time counts. A log that cannot be written
(a full disk) is given up; the build goes on.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import msgspec

from builder.history.record import ExportRecord, Outcome, WarningRecord
from builder.progress.events import (
    Event,
    ExportFinished,
    ExportStarted,
    StepCached,
    StepFinished,
    StepLog,
    StepStarted,
    Warning,
)
from builder.store.buildfiles import log_path
from runtime.spec import Usage


class Heard(msgspec.Struct):
    """What became of one vertex."""

    number: int
    started_ns: int
    outcome: Outcome = "waiting"
    duration_ns: int = 0
    usage: Usage | None = None
    error: str | None = None
    logged: bool = False


class Recorder:
    """A listener; safe to be called from several threads."""

    def __init__(self, root: Path, build: str) -> None:
        self._root = root
        self._build = build
        self._lock = threading.Lock()
        self._logs: dict[str, BinaryIO | None] = {}
        self._count = 0
        self.heard: dict[str, Heard] = {}
        self.exports: dict[str, ExportRecord] = {}
        self.warnings: list[WarningRecord] = []

    def on_event(self, event: Event) -> None:
        """Takes note of what happens to steps."""
        match event:
            case StepStarted():
                with self._lock:
                    self._count += 1
                    self.heard.setdefault(event.vertex, Heard(self._count, event.time))
            case StepCached() if event.vertex in self.heard and self.heard[event.vertex].outcome == "waiting":
                self.heard[event.vertex].outcome = "cached"
            case StepLog() if event.vertex in self.heard:
                self._write(event)
            case StepFinished() if event.vertex in self.heard:
                self._finish(event)
            case ExportStarted():
                self.exports[event.id] = ExportRecord(event.name, event.time)
            case ExportFinished() if event.id in self.exports:
                self.exports[event.id] = msgspec.structs.replace(
                    self.exports[event.id], duration_ns=event.duration_ns, details=event.details, error=event.error
                )
            case Warning():
                self.warnings.append(WarningRecord(event.code, event.message, event.text, event.span.line if event.span else 0))
            case _:
                pass

    def close(self) -> None:
        """Ends all logs; idempotent."""
        for name in tuple(self._logs):
            self._end_log(name)

    def _finish(self, event: StepFinished) -> None:
        step = self.heard[event.vertex]
        step.outcome = "cancelled" if event.cancelled else "failed" if event.error is not None else "ran"
        step.duration_ns, step.usage, step.error = event.duration_ns, event.usage, event.error
        self._end_log(event.vertex)

    def _write(self, event: StepLog) -> None:
        """Events of one vertex come one at a time, so only the table of logs needs the lock."""
        if event.vertex not in self._logs:
            self._begin_log(event.vertex)
        log = self._logs[event.vertex]
        if log is not None:
            try:
                log.write(event.data)
            except OSError:
                self._end_log(event.vertex)
                self._logs[event.vertex] = None

    def _begin_log(self, vertex: str) -> None:
        step = self.heard[vertex]
        path = log_path(self._root, self._build, step.number)
        log: BinaryIO | None
        try:
            path.parent.mkdir(0o700, parents=True, exist_ok=True)
            log = path.open("wb")
        except OSError:
            log = None
        with self._lock:
            self._logs[vertex] = log
        step.logged = log is not None

    def _end_log(self, vertex: str) -> None:
        with self._lock:
            log = self._logs.pop(vertex, None)
        if log is not None:
            with suppress(OSError):  # the last buffer did not fit on the disk
                log.close()
