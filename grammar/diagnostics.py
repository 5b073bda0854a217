"""Errors and warnings as data with a place, and their rendering with a caret."""

import re
from collections.abc import Iterable
from typing import Literal

import msgspec

from grammar.source import Source, Span

SNIPPET = 200
"""Columns of a line that an error shows; of a longer one, those around what is wrong."""

_CONTROLS = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f]")

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
    lines = [f"{diagnostic.severity}[{diagnostic.code}]: {_printable(diagnostic.message)}"]
    span = diagnostic.span
    margin = " "
    if span is not None and source is not None and 1 <= span.line <= len(source.lines):
        margin = " " * len(str(span.line))
        text, marks = _snippet(source.lines[span.line - 1], span)
        lines.append(f"{margin}--> {source.name}:{span.line}:{span.column}")
        lines.append(f"{margin} |")
        lines.append(f"{span.line} | {text}")
        lines.append(f"{margin} | {marks}")
    elif source is not None:
        lines.append(f"{margin}--> {source.name}")
    if diagnostic.help is not None:
        lines.append(f"{margin} = help: {_printable(diagnostic.help)}")
    return "\n".join(lines)


def _snippet(text: str, span: Span) -> tuple[str, str]:
    """The part of a line that `span` begins on, and the carets below it."""
    end = span.end_column if span.end_line == span.line else len(text) + 1
    first = 0 if len(text) <= SNIPPET else max(0, min(span.column - 1 - SNIPPET // 4, len(text) - SNIPPET))
    before = text[first : span.column - 1]
    width = max(1, min(end - span.column, first + SNIPPET - span.column + 1))
    indent = "".join("\t" if char == "\t" else " " for char in before)
    return _printable(text[first : first + SNIPPET]), indent + "^" * width


def _printable(text: str) -> str:
    """A Dockerfile's text without what a terminal would obey."""
    return _CONTROLS.sub("\ufffd", text)


def shorten(text: str, limit: int = 60) -> str:
    """A word from a Dockerfile, short enough to stand in a sentence."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def suggest(name: str, known: Iterable[str], limit: int = 3) -> str | None:
    """The known name nearest to `name` by edit distance, if one is near enough to be meant."""
    best: tuple[int, str] | None = None
    for candidate in known:
        # The distance is at least the difference in length; a name of any length must cost little.
        if abs(len(candidate) - len(name)) > limit:
            continue
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
