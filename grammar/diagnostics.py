"""Errors and warnings as data with a place, and their rendering with a caret."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import msgspec

from grammar.source import Source, Span

Severity = Literal["error", "warning"]


class Diagnostic(msgspec.Struct, frozen=True):
    """One thing to tell the author: `code` is kebab-case, `message` one sentence, `help` the way out."""

    code: str
    message: str
    span: Span | None = None
    help: str | None = None
    severity: Severity = "error"


class DockerfileError(Exception):
    """The text is not a Dockerfile; carries the diagnostic and the source it points into."""

    def __init__(self, diagnostic: Diagnostic, source: Source) -> None:
        super().__init__(diagnostic.message)
        self.diagnostic = diagnostic
        self.source = source


def render(diagnostic: Diagnostic, source: Source | None) -> str:
    """The diagnostic as text with its snippet; no trailing newline.

    error[unknown-stage]: COPY --from=biuld names no earlier stage
      --> Dockerfile:12:13
       |
    12 | COPY --from=biuld /out /app
       |             ^^^^^
       = help: did you mean `build` (line 1)?
    """
    lines = [f"{diagnostic.severity}[{diagnostic.code}]: {diagnostic.message}"]
    span = diagnostic.span
    margin = " "
    if span is not None and source is not None and 1 <= span.line <= len(source.lines):
        margin = " " * len(str(span.line))
        text = source.lines[span.line - 1]
        end = span.end_column if span.end_line == span.line else len(text) + 1
        indent = "".join("\t" if ch == "\t" else " " for ch in text[: span.column - 1])
        lines.append(f"{margin}--> {source.name}:{span.line}:{span.column}")
        lines.append(f"{margin} |")
        lines.append(f"{span.line} | {text}")
        lines.append(f"{margin} | {indent}{'^' * max(1, end - span.column)}")
    elif source is not None:
        lines.append(f"{margin}--> {source.name}")
    if diagnostic.help is not None:
        lines.append(f"{margin} = help: {diagnostic.help}")
    return "\n".join(lines)


def suggest(name: str, known: Iterable[str], limit: int = 3) -> str | None:
    """The known name nearest to `name` by edit distance, if one is near enough to be meant."""
    best: tuple[int, str] | None = None
    for candidate in known:
        distance = edit_distance(name.lower(), candidate.lower())
        if distance <= min(limit, max(1, len(name) // 2)) and (best is None or distance < best[0]):
            best = (distance, candidate)
    return None if best is None else best[1]


def edit_distance(a: str, b: str) -> int:
    """Levenshtein distance of two short names."""
    row = list(range(len(b) + 1))
    for i, ca in enumerate(a, 1):
        previous, row[0] = row[0], i
        for j, cb in enumerate(b, 1):
            previous, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, previous + (ca != cb))
    return row[-1]


class Fault(Exception):
    """An error on its way to parse(), which knows the source it points into."""

    def __init__(self, code: str, message: str, span: Span | None, help: str | None = None) -> None:
        super().__init__(message)
        self.diagnostic = Diagnostic(code, message, span, help)
