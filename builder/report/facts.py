"""What a report shows, as data: made by `gather`, read by whoever draws. Times are nanoseconds since the build began."""

from __future__ import annotations

import msgspec

from builder.history.cause import Cause
from builder.history.record import ExportRecord, StepRecord, WarningRecord


class FileSize(msgspec.Struct, frozen=True):
    """A file of a layer, or a directory with all below it."""

    path: str
    size: int


class LayerFacts(msgspec.Struct, frozen=True):
    """What a layer holds: bytes of its files and how many there are, the largest of them, and caches that package managers
    left in it. `packed` are the bytes that travel, None where it was not packed; `known` is False where its files are not here."""

    title: str
    place: str
    size: int
    packed: int | None
    count: int
    largest: tuple[FileSize, ...] = ()
    waste: tuple[FileSize, ...] = ()
    known: bool = True
    in_image: bool = True


class StepFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A step that people see. `inputs` are places in `Facts.steps`; `start` is -1 for one that never began; `took_before` is
    what a hit took when it ran; `size` the bytes of its layer's files; `critical` whether the build would have been shorter
    without it."""

    record: StepRecord
    start: int
    duration: int
    inputs: tuple[int, ...] = ()
    reads_context: bool = False
    causes: tuple[Cause, ...] = ()
    took_before: int = 0
    size: int | None = None
    critical: bool = False

    @property
    def end(self) -> int:
        """When it ended."""
        return self.start + self.duration

    @property
    def ran(self) -> bool:
        """Whether it took time in this build."""
        return self.start >= 0 and self.duration > 0 and self.record.outcome != "cached"


class ContextFile(msgspec.Struct, frozen=True):
    """A file that a COPY took of a context; `step` is its place in `Facts.steps`."""

    step: int
    path: str
    size: int


class Advice(msgspec.Struct, frozen=True):
    """One thing that would make the next build faster: what to do, at which step, why by this build's numbers, and lines to
    write. `saves_ns` and `saves_bytes` are what it is worth at the most, 0 where that cannot be told."""

    title: str
    place: str
    why: str
    lines: tuple[str, ...] = ()
    saves_ns: int = 0
    saves_bytes: int = 0


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """A build, ready to be shown. `against` is the build that its misses were compared with; `log` are the last lines of a step
    that failed."""

    id: str
    name: str
    dockerfile: str
    context: str
    target: str
    platforms: tuple[str, ...]
    state: str
    error: str
    digest: str
    started_ns: int
    duration: int
    against: str
    steps: tuple[StepFacts, ...]
    critical: tuple[int, ...]
    layers: tuple[LayerFacts, ...]
    warnings: tuple[WarningRecord, ...]
    exports: tuple[ExportRecord, ...]
    context_files: tuple[ContextFile, ...] = ()
    advice: tuple[Advice, ...] = ()
    log: tuple[str, ...] = ()
