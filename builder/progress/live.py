"""The live view: a line for each finished step, and below them what runs now, a lane a step (the only module with rich)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TextIO, assert_never

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

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
from builder.progress.plain import size_text
from builder.progress.sanitise import Lines, clean

LOG_LINES = 4
LANES = 8


class _Lane:
    """A step that runs: its name, when it began, its last lines."""

    def __init__(self, name: str, started: int) -> None:
        self.name, self.started = name, started
        self.streams: dict[str, Lines] = {}
        self.tail: deque[str] = deque(maxlen=LOG_LINES)


class LiveView:
    """Draws with rich's own thread; `rich.Live` takes its own lock, and the caller gives one event at a time."""

    def __init__(self, out: TextIO, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._console = Console(file=out, highlight=False, emoji=False, markup=False)
        self._lanes: dict[str, _Lane] = {}
        self._moving: dict[str, Transfer] = {}
        self._done = 0
        self._total = 0
        self._live = Live(get_renderable=self._draw, console=self._console, refresh_per_second=8, transient=True)
        self._live.start()

    def on_event(self, event: Event) -> None:
        """Moves a lane, or prints a line above the lanes."""
        match event:
            case BuildStarted():
                self._total = event.steps
            case StepStarted():
                self._lanes[event.vertex] = _Lane(clean(event.name), event.time)
            case StepLog():
                lane = self._lane(event.vertex, event.time)
                lane.tail.extend(lane.streams.setdefault(event.stream, Lines()).feed(event.data))
            case StepCached():
                self._end(event.vertex, event.time, "CACHED", "cyan")
            case StepFinished():
                self._finish(event)
            case ExportStarted():
                self._lanes[f"export {event.id}"] = _Lane(clean(event.name), event.time)
            case ExportFinished():
                outcome, style = (_seconds(event.duration_ns), "green") if event.error is None else ("ERROR", "red")
                self._end(f"export {event.id}", event.time, outcome, style)
                for line in event.details:
                    self._print(Text(f"   {clean(line)}", "dim"))
            case Transfer():
                self._transfer(event)
            case Warning():
                self._print(Text("\n".join(clean(line) for line in event.text.split("\n")), "yellow"))
            case Note():
                self._print(Text(clean(event.message), "dim"))
            case BuildFinished():
                self.close()
            case _:
                assert_never(event)

    def close(self) -> None:
        """Gives the terminal back; safe to call twice."""
        self._live.stop()

    def _lane(self, key: str, time: int) -> _Lane:
        return self._lanes.setdefault(key, _Lane(clean(key), time))

    def _finish(self, event: StepFinished) -> None:
        if event.cancelled:
            self._end(event.vertex, event.time, "CANCELED", "yellow")
        elif event.error is None:
            self._end(event.vertex, event.time, _seconds(event.duration_ns), "green")
        else:  # its last lines come with the error, which the command prints
            self._end(event.vertex, event.time, "ERROR", "red")

    def _end(self, key: str, time: int, outcome: str, style: str) -> None:
        lane = self._lanes.pop(key, None) or _Lane(clean(key), time)
        self._done += 1
        self._print(self._line("✔" if style in ("green", "cyan") else "✘", lane.name, outcome, style))

    def _line(self, mark: str, name: str, outcome: str, style: str) -> Text:
        """One line of the terminal: the name gives way to the outcome."""
        shown = Text(name)
        shown.truncate(max(10, self._console.width - len(outcome) - 6), overflow="ellipsis")
        return Text.assemble((f" {mark} ", style), shown, "  ", (outcome, style))

    def _transfer(self, event: Transfer) -> None:
        key = f"{event.kind} {event.id}"
        if event.finished or (event.total and event.done >= event.total):
            self._moving.pop(key, None)
        else:
            self._moving[key] = event

    def _print(self, text: Text) -> None:
        self._console.print(text, soft_wrap=True)

    def _draw(self) -> RenderableType:
        """The lanes as they are now; called by rich's thread, hence the copies."""
        now = self._clock()
        lines: list[Text] = []
        lanes = list(self._lanes.values())
        for lane in lanes[:LANES]:
            lines.append(self._line("●", lane.name, _seconds(max(0, now - lane.started)), "blue"))
            lines.extend(Text(f"   {line}", "dim") for line in list(lane.tail)[-LOG_LINES:])
        if len(lanes) > LANES:
            lines.append(Text(f"   and {len(lanes) - LANES} more", "dim"))
        for event in list(self._moving.values())[:LANES]:
            total = f" / {size_text(event.total)}" if event.total else ""
            lines.append(Text(f"   {event.kind} {clean(event.id)[:23]} {size_text(event.done)}{total}", "dim"))
        if self._total:
            lines.append(Text(f" {self._done}/{self._total}", "dim"))
        for line in lines:
            line.truncate(max(10, self._console.width - 1), overflow="ellipsis")
        return Group(*lines)


def _seconds(duration_ns: int) -> str:
    return f"{duration_ns / 1e9:.1f}s"
