"""Why a step was a miss, as data: what changed against an earlier build, with the very files where files changed."""

from __future__ import annotations

from typing import Literal

import msgspec

from builder.history.record import StepRecord

CauseKind = Literal[
    "first-build",
    "new-step",
    "instruction",
    "argument",
    "variable",
    "user",
    "directory",
    "shell",
    "option",
    "base",
    "files",
    "stage",
    "stage-rebuilt",
    "source",
    "earlier-step",
    "moved",
    "no-cache",
    "unfinished",
    "rebuilt-below",
    "collected",
    "not-imported",
    "unknown",
]

Aspect = Literal["added", "removed", "content", "mode", "owner", "link", "kind", "xattrs"]


class FileChange(msgspec.Struct, frozen=True):
    """One path that differs: in which respects, and in words (`mode 0644 -> 0755`)."""

    path: str
    aspects: tuple[Aspect, ...]
    detail: str = ""


class Cause(msgspec.Struct, frozen=True):
    """One reason. `name` is what changed (a variable, an image, a path of a mount), `text` one sentence."""

    kind: CauseKind
    text: str
    name: str = ""
    files: tuple[FileChange, ...] = ()


class StepVerdict(msgspec.Struct, frozen=True):
    """A step, whether it was a hit, and for a miss why."""

    step: StepRecord
    hit: bool
    causes: tuple[Cause, ...] = ()


class Explanation(msgspec.Struct, frozen=True):
    """A build explained; `against` is the id of the build it was compared with, "" where there is none."""

    build: str
    against: str
    against_ns: int
    steps: tuple[StepVerdict, ...]
    dry: bool = False
    against_context: str = ""
    """Where that build was, if that was elsewhere."""


def place_of(step: StepRecord) -> str:
    """`[build 2/4] RUN make (line 3)`: what people read."""
    where = step.stage
    if step.position is not None:
        where = f"{where} {step.position[0]}/{step.position[1]}"
    line = f" (line {step.span.line})" if step.span is not None else ""
    return f"[{where}] {short(step.name)}{line}" if where else f"{short(step.name)}{line}"


def short(text: str, limit: int = 72) -> str:
    """The first line of an instruction."""
    first, newline, _ = text.strip().partition("\n")
    return first if len(first) <= limit and not newline else first[: limit - 1].rstrip(" \\") + "…"
