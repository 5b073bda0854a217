"""The live view: a line for each finished step, and below them what runs now, stages side by side (the only module with rich).

     ✔     4.1s  [fetch 2/3] RUN apt-get update
     ●     5.6s  [docs 3/4] RUN make docs
        rendering
     7 of 12 steps  5.6s

Steps that are finished scroll away and stay as the build's record; the rest is drawn again eight times a second. On
a terminal of 160 columns or more what runs stands in as many columns of 80.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import TextIO, assert_never

from rich.console import Console
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
from builder.progress.frame import Frame
from builder.progress.plain import size_text
from builder.progress.sanitise import Lines, clean
from builder.progress.snippet import fitted

LOG_LINES = 4
MOVING = 4
COLUMN = 80
REFRESH = 1 / 8


class _Lane:
    """A step that runs: its name, when it began, its last lines."""

    def __init__(self, name: str, started: int) -> None:
        self.name, self.started = name, started
        self.streams: dict[str, Lines] = {}
        self.tail: deque[str] = deque(maxlen=LOG_LINES)

    def last(self, count: int) -> list[str]:
        """The last lines, those included that no newline has ended yet (a progress bar)."""
        open_lines = [line for stream in self.streams.values() if (line := stream.unfinished())]
        return [*self.tail, *open_lines][-count:] if count else []


class _Moving:
    """Bytes on their way, and since when."""

    def __init__(self, first: Transfer) -> None:
        self.first = self.now = first

    def text(self) -> str:
        """`pull 83b60620f8bf   12.30MB of 45.00MB   5.10MB/s   6s left`."""
        event = self.now
        name = clean(event.id).removeprefix("sha256:")
        parts = [f"{event.kind} {name[:12] if event.id.startswith('sha256:') else name[:40]}"]
        parts.append(size_text(event.done) + (f" of {size_text(event.total)}" if event.total else ""))
        elapsed = event.time - self.first.time
        rate = (event.done - self.first.done) * 10**9 // elapsed if elapsed > 0 else 0
        if rate > 0:
            parts.append(f"{size_text(rate)}/s")
            if event.total:
                parts.append(f"{duration_text((event.total - event.done) * 10**9 // rate, whole=True)} left")
        return "   ".join(parts)


class LiveView:
    """Draws with a thread of its own; the caller gives one event at a time.

    `refresh` None: only `draw` draws. `size`: columns and rows of the terminal, asked anew each time.
    """

    def __init__(
        self, out: TextIO, clock: Callable[[], int], *, refresh: float | None = REFRESH, size: Callable[[], tuple[int, int]] | None = None
    ) -> None:
        self._clock = clock
        self._console = Console(file=out, highlight=False, emoji=False, markup=False)
        self._size = size or self._measured
        self._frame = Frame(out)
        self._still = self._console.is_dumb_terminal
        self._lanes: dict[str, _Lane] = {}
        self._moving: dict[str, _Moving] = {}
        self._started: int | None = None
        self._done = 0
        self._total = 0
        self._lock = threading.RLock()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._redraw, args=(refresh,), name="layerwright-live", daemon=True)
        if refresh is not None and not self._still:
            self._thread.start()

    def on_event(self, event: Event) -> None:
        """Moves a lane, or prints a line above the lanes."""
        with self._lock:
            if self._started is None:
                self._started = event.time
            self._take(event)

    def _take(self, event: Event) -> None:
        match event:
            case BuildStarted():
                self._total = event.steps
            case StepStarted():
                self._lanes[event.vertex] = _Lane(clean(event.name), event.time)
            case StepLog():
                lane = self._lane(event.vertex, event.time)
                lane.tail.extend(lane.streams.setdefault(event.stream, Lines()).feed(event.data))
            case StepCached():
                self._end(event.vertex, event.time, "✔", "CACHED", "cyan")
            case StepFinished():
                self._finish(event)
            case ExportStarted():
                self._lanes[f"export {event.id}"] = _Lane(clean(event.name), event.time)
            case ExportFinished():
                mark, outcome, style = ("✔", duration_text(event.duration_ns), "green") if event.error is None else _FAILED
                self._end(f"export {event.id}", event.time, mark, outcome, style, counts=False)
                self._print(*(Text(self._indented(clean(line)), "dim") for line in event.details))
            case Transfer():
                self._transfer(event)
            case Warning():
                self._print(Text(fitted("\n".join(clean(line) for line in event.text.split("\n")), self._width), "yellow"))
            case Note():
                self._print(Text(clean(event.message), "dim"))
            case BuildFinished():
                self._closing(event)
            case _:
                assert_never(event)

    def close(self) -> None:
        """Gives the terminal back; safe to call twice."""
        self._closed.set()
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join()
        with self._lock:
            self._frame.draw((), self._size()[0])

    def draw(self) -> None:
        """Draws what runs now."""
        with self._lock:
            if not self._closed.is_set() and not self._still:
                self._frame.draw(self._lines(), self._size()[0])

    def _redraw(self, refresh: float) -> None:
        while not self._closed.wait(refresh):
            self.draw()

    def _lane(self, key: str, time: int) -> _Lane:
        return self._lanes.setdefault(key, _Lane(clean(key), time))

    def _finish(self, event: StepFinished) -> None:
        if event.cancelled:
            self._end(event.vertex, event.time, "✘", "CANCELED", "yellow")
        elif event.error is None:
            self._end(event.vertex, event.time, "✔", duration_text(event.duration_ns), "green")
        else:  # its last lines come with the error, which the command prints
            self._end(event.vertex, event.time, *_FAILED)

    def _end(self, key: str, time: int, mark: str, outcome: str, style: str, *, counts: bool = True) -> None:
        lane = self._lanes.pop(key, None) or _Lane(clean(key), time)
        self._done += counts
        self._print(_line(mark, outcome, lane.name, style, self._width))

    def _transfer(self, event: Transfer) -> None:
        key = f"{event.kind} {event.id}"
        if event.finished or (event.total and event.done >= event.total):
            self._moving.pop(key, None)
        else:
            self._moving.setdefault(key, _Moving(event)).now = event

    def _closing(self, event: BuildFinished) -> None:
        if event.error is None:
            ran = f"{event.ran} step{'' if event.ran == 1 else 's'} ran, {event.cached} cached"
            self._print(_line("✔", duration_text(event.duration_ns), f"built: {ran}", "bold green", self._width))
        self.close()

    # Drawing

    def _measured(self) -> tuple[int, int]:
        return self._console.size

    @property
    def _width(self) -> int:
        """The last column stays free: some terminals wrap when it is written to."""
        return max(20, self._size()[0] - 1)

    def _print(self, *texts: Text) -> None:
        """Lines that stay; long ones are wrapped by the terminal, which keeps them whole for whoever copies them."""
        above = "".join(self._painted(text)[0] + "\n" for text in texts)
        if above:
            lines = () if self._closed.is_set() or self._still else self._lines()
            self._frame.draw(lines, self._size()[0], above)

    def _indented(self, line: str) -> str:
        """Without an indent where that keeps it on one line: a manifest and its digest are 80 columns."""
        return f"     {line}" if len(line) + 5 <= self._size()[0] or len(line) > self._size()[0] else line

    def _painted(self, text: Text) -> tuple[str, int]:
        with self._console.capture() as capture:
            self._console.print(text, soft_wrap=True, end="")
        return capture.get(), text.cell_len

    def _lines(self) -> list[tuple[str, int]]:
        """The frame as it is now, no higher than the terminal."""
        now = self._clock()
        moving = list(self._moving.values())
        foot = [Text(f"     {move.text()}", "dim") for move in moving[:MOVING]]
        if len(moving) > MOVING:
            foot.append(Text(f"     and {len(moving) - MOVING} more transfers", "dim"))
        if self._total and self._started is not None:
            foot.append(Text(f" {self._done} of {self._total} steps  {duration_text(now - self._started)}", "dim"))
        lines = [*self._running(now, max(1, self._size()[1] - 2 - len(foot))), *foot]
        for line in lines:
            line.truncate(self._width, overflow="ellipsis")
        return [self._painted(line) for line in lines]

    def _running(self, now: int, height: int) -> list[Text]:
        """The lanes, in columns, in so many lines."""
        lanes = list(self._lanes.values())
        columns = max(1, min(len(lanes), self._size()[0] // COLUMN))
        width = (self._width - 2 * (columns - 1)) // columns
        shown = lanes if -(-len(lanes) // columns) <= height else lanes[: max(0, height - 1) * columns]
        rows = -(-len(shown) // columns)
        logs = min(LOG_LINES, (height - rows) // rows) if rows else 0
        lines: list[Text] = []
        for row in range(rows):
            blocks = [self._block(lane, now, logs, width) for lane in shown[row * columns : (row + 1) * columns]]
            lines += _beside(blocks, width)
        if len(shown) < len(lanes):
            lines.append(Text(f"     and {len(lanes) - len(shown)} more steps", "dim"))
        return lines

    def _block(self, lane: _Lane, now: int, logs: int, width: int) -> list[Text]:
        block = [_line("●", duration_text(max(0, now - lane.started)), lane.name, "blue", width)]
        for line in lane.last(logs):
            text = Text(f"     {line}", "dim")
            text.truncate(width, overflow="ellipsis")
            block.append(text)
        return block


_FAILED = ("✘", "ERROR", "red")


def _line(mark: str, outcome: str, name: str, style: str, width: int) -> Text:
    """One line: the mark, the outcome in a column of its own, and as much of the name as there is room for."""
    text = Text.assemble((f" {mark} {outcome:>8}  ", style), name)
    text.truncate(width, overflow="ellipsis")
    return text


def _beside(blocks: Sequence[Sequence[Text]], width: int) -> list[Text]:
    """Blocks of lines side by side, each `width` wide."""
    lines: list[Text] = []
    for number in range(max(len(block) for block in blocks)):
        line = Text()
        for place, block in enumerate(blocks):
            if number < len(block):
                line.append(" " * (place * (width + 2) - line.cell_len))
                line.append_text(block[number])
        lines.append(line)
    return lines


def duration_text(duration_ns: int, *, whole: bool = False) -> str:
    """`4.1s`, `2m05s`, `1h02m`; `whole` without tenths."""
    seconds = duration_ns / 1e9
    if seconds < 59.95:
        return f"{seconds:.0f}s" if whole else f"{seconds:.1f}s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}m{rest:02}s" if minutes < 60 else f"{minutes // 60}h{minutes % 60:02}m"
