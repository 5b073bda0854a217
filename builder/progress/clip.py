"""Bounds what one step may print: a listener around a listener, with BuildKit's limits."""

from __future__ import annotations

import msgspec

from builder.progress.events import Event, Listener, StepFinished, StepLog, StepStarted


class LogLimits(msgspec.Struct, frozen=True):
    """Bytes a step, and bytes a second averaged since its start; -1 is unlimited (BUILDKIT_STEP_LOG_MAX_SIZE, _SPEED)."""

    size: int = 2 << 20
    speed: int = 200 << 10


class _Count:
    """What one step has printed so far."""

    __slots__ = ("passed", "said", "start")

    def __init__(self, start: int) -> None:
        self.start, self.passed, self.said = start, 0, False


class Clip:
    """Passes everything on but output beyond the limits, where it says once that output was left out."""

    def __init__(self, inner: Listener, limits: LogLimits) -> None:
        self._inner = inner
        self._limits = limits
        self._counts: dict[str, _Count] = {}

    def on_event(self, event: Event) -> None:
        """Counts a step's output; the caller (Broadcast) sees to one event at a time."""
        match event:
            case StepStarted():
                self._counts[event.vertex] = _Count(event.time)
            case StepLog():
                kept = self._keep(event)
                if kept is None:
                    return
                event = kept
            case StepFinished():
                self._counts.pop(event.vertex, None)
        self._inner.on_event(event)

    def _keep(self, event: StepLog) -> StepLog | None:
        """The event as far as the limits allow; speed has a burst of one second."""
        count = self._counts.setdefault(event.vertex, _Count(event.time))
        seconds = max(0, event.time - count.start) / 1e9
        room = len(event.data)
        reason = ""
        if self._limits.speed >= 0 and count.passed + room > self._limits.speed * (seconds + 1):
            room, reason = max(0, int(self._limits.speed * (seconds + 1)) - count.passed), f"{_size(self._limits.speed)}/s"
        if self._limits.size >= 0 and count.passed + room > self._limits.size:
            room, reason = max(0, self._limits.size - count.passed), _size(self._limits.size)
        count.passed += room
        data = event.data[:room]
        if not reason:
            count.said = False
        elif not count.said:
            count.said = True
            data += f"\n[output clipped, log limit {reason} reached]\n".encode()
        return msgspec.structs.replace(event, data=data) if data else None


def _size(count: int) -> str:
    return f"{count >> 20}MiB" if count >= 1 << 20 and count % (1 << 20) == 0 else f"{count >> 10}KiB"
