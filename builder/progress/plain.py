"""The plain view: BuildKit-like lines, whole steps together, the same text for the same events.

    #5 [build 2/4] RUN make
    #5 0.312 cc -o app app.c
    #5 DONE 0.4s

One step has the floor at a time; what others print meanwhile waits. A step that has been silent for
`PATIENCE` gives the floor to one that has something to say (`#5 ...`), except where the log is folded.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, assert_never

from builder.progress.events import (
    BuildFinished,
    BuildStarted,
    Event,
    ExportFinished,
    ExportStarted,
    Note,
    StepCached,
    StepFinished,
    StepLog,
    StepStarted,
    Transfer,
    Warning,
)
from builder.progress.folding import FOLDS, Fold
from builder.progress.sanitise import Lines, clean

PATIENCE = 2_000_000_000
Folding = Literal["none", "github", "gitlab"]


class _Step:
    """One numbered block and its lines that wait."""

    def __init__(self, number: int, name: str, time: int) -> None:
        self.number, self.name, self.started = number, name, time
        self.waiting: list[str] = []
        self.streams: dict[str, Lines] = {}
        self.last = time
        self.finished = False


class PlainView:
    """Writes lines to `write` (text that ends with newlines); `close` writes what still waits."""

    def __init__(self, write: Callable[[str], object], folding: Folding = "none") -> None:
        self._write = write
        self._fold: Fold = FOLDS[folding]
        self._steps: dict[str, _Step] = {}
        self._floor: _Step | None = None
        self._queue: list[_Step] = []
        self._between: list[str] = []
        self._time = 0
        self._count = 0

    def on_event(self, event: Event) -> None:
        """Takes note, then writes what may be written; the caller sees to one event at a time."""
        self._time = event.time
        match event:
            case BuildStarted():
                return
            case StepStarted():
                self._begin(event.vertex, clean(event.name))
            case StepLog():
                self._log(event)
            case StepCached():
                self._end(event.vertex, "CACHED")
            case StepFinished():
                self._end(event.vertex, _outcome(event.duration_ns, event.error, event.cancelled))
            case ExportStarted():
                self._begin(f"export {event.id}", clean(event.name))
            case ExportFinished():
                for line in event.details:
                    self._say(f"export {event.id}", clean(line))
                self._end(f"export {event.id}", _outcome(event.duration_ns, event.error, False))
            case Transfer():
                self._transfer(event)
            case Warning():
                self._between += [*(clean(line) for line in event.text.split("\n")), ""]
            case Note():
                self._between.append(clean(event.message))
            case BuildFinished():
                self.close()
                return
            case _:
                assert_never(event)
        self._flow()

    def close(self) -> None:
        """Writes everything that waits, finished or not; safe to call twice."""
        while self._floor is not None or self._take_floor():
            self._show_floor()
            self._leave_floor()

    def _begin(self, key: str, name: str) -> _Step:
        self._count += 1
        step = self._steps[key] = _Step(self._count, name, self._time)
        self._queue.append(step)
        return step

    def _step(self, key: str) -> _Step:
        return self._steps.get(key) or self._begin(key, clean(key))

    def _log(self, event: StepLog) -> None:
        step = self._step(event.vertex)
        for line in step.streams.setdefault(event.stream, Lines()).feed(event.data):
            self._stamp(step, line)

    def _say(self, key: str, line: str) -> None:
        step = self._step(key)
        step.waiting.append(f"#{step.number} {line}")
        step.last = self._time

    def _stamp(self, step: _Step, line: str) -> None:
        step.waiting.append(self._fold.line(f"#{step.number} {(self._time - step.started) / 1e9:.3f} {line}"))
        step.last = self._time

    def _end(self, key: str, outcome: str) -> None:
        step = self._step(key)
        for stream in step.streams.values():
            for line in stream.flush():
                self._stamp(step, line)
        step.waiting.append(f"#{step.number} {outcome}")
        step.finished = True
        del self._steps[key]

    def _transfer(self, event: Transfer) -> None:
        """Only ends are worth a line in a log; the live view draws what lies between."""
        if not (event.finished or (event.total and event.done >= event.total)):
            return
        line = f"{event.kind} {clean(event.id)} {size_text(event.done)}"
        if event.vertex is not None and event.vertex in self._steps:
            self._stamp(self._steps[event.vertex], line)
        else:
            self._between.append(line)

    def _flow(self) -> None:
        """Gives the floor, writes what its holder has, and passes it on when it is done or has been silent for long."""
        while self._floor is not None or self._take_floor():
            floor = self._show_floor()
            if floor.finished:
                self._leave_floor()
            elif self._fold.strict or self._time - floor.last < PATIENCE or not any(step.waiting for step in self._queue):
                return
            else:
                self._write(f"#{floor.number} ...\n")
                self._queue.append(floor)
                self._leave_floor()

    def _take_floor(self) -> bool:
        """Between two blocks: first what belongs to no step, then the first that has something to say, else the oldest."""
        if self._between:
            self._write("".join(f"{line}\n" for line in self._between))
            self._between.clear()
        if not self._queue:
            return False
        self._floor = next((step for step in self._queue if step.waiting), self._queue[0])
        self._queue.remove(self._floor)
        self._write(self._fold.open(self._floor.number, self._floor.name, self._time))
        return True

    def _show_floor(self) -> _Step:
        assert self._floor is not None
        if self._floor.waiting:
            self._write("".join(f"{line}\n" for line in self._floor.waiting))
            self._floor.waiting.clear()
        return self._floor

    def _leave_floor(self) -> None:
        assert self._floor is not None
        self._write(self._fold.close(self._floor.number, self._time))
        self._floor = None


def _outcome(duration_ns: int, error: str | None, cancelled: bool) -> str:
    if cancelled:
        return "CANCELED"
    if error is not None:
        return f"ERROR: {clean(error)}"
    return f"DONE {duration_ns / 1e9:.1f}s"


def size_text(count: int) -> str:
    """Bytes in decimal units, as docker prints them."""
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f}{unit}" if unit == "B" else f"{value:.2f}{unit}"
        value /= 1000
    return f"{value:.2f}TB"
