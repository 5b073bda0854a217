"""What a build tells as it goes: a closed union of frozen events, and who may listen.

Events flow out and nothing flows back. Every event carries its own time (`time`, unix nanoseconds, from
the builder's injected clock), so a view needs no clock and the same events always give the same text.
A vertex is named by its id (`VertexID` as text); `StepStarted` comes before anything else of its vertex.
"""

from __future__ import annotations

from typing import Literal, Protocol

import msgspec

from grammar.source import Span
from runtime.spec import Usage

Stream = Literal["stdout", "stderr"]
TransferKind = Literal["pull", "push", "pack", "unpack", "context"]


class BuildStarted(msgspec.Struct, frozen=True, tag="build-started", kw_only=True):
    """The graph is known: `steps` vertices may run."""

    time: int
    steps: int = 0
    target: str | None = None


class StepStarted(msgspec.Struct, frozen=True, tag="step-started", kw_only=True):
    """A vertex begins: `name` is what people read (`[build 2/4] RUN make`), `stage` its lane."""

    time: int
    vertex: str
    name: str
    stage: str | None = None
    span: Span | None = None


class StepLog(msgspec.Struct, frozen=True, tag="step-log", kw_only=True):
    """Bytes that a step wrote, as they came: not cut at line ends, not yet made harmless."""

    time: int
    vertex: str
    stream: Stream
    data: bytes


class StepCached(msgspec.Struct, frozen=True, tag="step-cached", kw_only=True):
    """A vertex's result was there already; it will not run. No StepFinished follows."""

    time: int
    vertex: str


class StepFinished(msgspec.Struct, frozen=True, tag="step-finished", kw_only=True):
    """A vertex ended; `error` is the sentence that says why it failed, `cancelled` that others were the reason."""

    time: int
    vertex: str
    duration_ns: int
    usage: Usage | None = None
    error: str | None = None
    cancelled: bool = False


class Transfer(msgspec.Struct, frozen=True, tag="transfer", kw_only=True):
    """Bytes on their way: `id` names the blob or layer, `total` 0 when not known. Ends with done == total or `finished`."""

    time: int
    kind: TransferKind
    id: str
    done: int
    total: int = 0
    vertex: str | None = None
    finished: bool = False


class Warning(msgspec.Struct, frozen=True, tag="warning", kw_only=True):
    """Something the author should look at; `text` is the whole rendering with its snippet."""

    time: int
    code: str
    message: str
    text: str
    span: Span | None = None


class Note(msgspec.Struct, frozen=True, tag="note", kw_only=True):
    """A line that belongs to no step (`no space for a cache mount, cleaning up`)."""

    time: int
    message: str


class ExportStarted(msgspec.Struct, frozen=True, tag="export-started", kw_only=True):
    """An output begins; `id` is unique in the build, `name` what people read (`exporting to oci archive app.tar`)."""

    time: int
    id: str
    name: str


class ExportFinished(msgspec.Struct, frozen=True, tag="export-finished", kw_only=True):
    """An output ended; `details` are lines to show (`manifest sha256:…`)."""

    time: int
    id: str
    duration_ns: int
    details: tuple[str, ...] = ()
    error: str | None = None


class BuildFinished(msgspec.Struct, frozen=True, tag="build-finished", kw_only=True):
    """The end: how many steps ran and how many were cached, and the image's digest if there is one."""

    time: int
    duration_ns: int
    ran: int = 0
    cached: int = 0
    digest: str | None = None
    error: str | None = None


Event = (
    BuildStarted | StepStarted | StepLog | StepCached | StepFinished | Transfer | Warning | Note
    | ExportStarted | ExportFinished | BuildFinished
)  # fmt: skip


class Listener(Protocol):
    """Who is told. Called from several threads at once, in order for each vertex; must not block for long nor raise."""

    def on_event(self, event: Event) -> None:
        """Take note of one event."""


class Silent:
    """A listener to nothing."""

    def on_event(self, event: Event) -> None:
        """Nothing is done."""


class Recorder:
    """A listener that keeps what it hears, for tests and for the API's callers."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def on_event(self, event: Event) -> None:
        """Appends; list.append is atomic, so no lock is needed."""
        self.events.append(event)
