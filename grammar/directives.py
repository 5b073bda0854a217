"""The parser directives at the head of a Dockerfile: `# escape=`, `# syntax=`, `# check=`."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

import msgspec

from grammar.gostrings import trim_left

KEYS = ("check", "escape", "syntax")
ESCAPES = ("\\", "`")

_BLANKS = "\t\n\f\r "
_KEY = re.compile(rf"([a-zA-Z][a-zA-Z0-9]*)[{_BLANKS}]*=")


class Directive(msgspec.Struct, frozen=True):
    """`key` in lower case; `start:end` is the value's place in its line."""

    key: str
    value: str
    start: int
    end: int


class DirectiveError(ValueError):
    """A directive stands twice, or its value means nothing."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class DirectiveReader:
    """Reads line after line; the first that is no directive, even a blank one, ends the head for good."""

    def __init__(self, comment: str = "#") -> None:
        self.comment = comment
        self.done = False
        self.seen: set[str] = set()

    def read(self, line: str) -> Directive | None:
        """The directive on this line, without its line end; raises DirectiveError."""
        if self.done:
            return None
        directive = _directive(line, self.comment)
        if directive is None:
            self.done = True
            return None
        if directive.key in self.seen:
            raise DirectiveError("duplicate-directive", f"the {directive.key} directive can be given only once")
        self.seen.add(directive.key)
        if directive.key == "escape" and directive.value not in ESCAPES:
            raise DirectiveError("bad-escape-directive", f"the escape character can be \\ or `, not {directive.value!r}")
        return directive


def _directive(line: str, comment: str) -> Directive | None:
    if not line.startswith(comment):
        return None
    body = trim_left(line[len(comment) :])
    match = _KEY.match(body)
    if match is None or match[1].lower() not in KEYS:
        return None
    value = body[match.end() :]
    # `.+?` between greedy blanks: of a value that is all blanks the last one is left.
    stripped = value.strip(_BLANKS) or value[-1:]
    if not stripped:
        return None
    start = len(line) - len(value) + value.rindex(stripped) if stripped.isspace() else len(line) - len(value.lstrip(_BLANKS))
    return Directive(match[1].lower(), stripped, start, start + len(stripped))


def head(lines: Sequence[str], comment: str = "#") -> tuple[tuple[int, Directive], ...]:
    """The directives of a file with their line indexes, as the tools around the parser look for them.

    Unlike the parser they pass over a `#!` first line and do not mind what is wrong (FD/parser/directives.go).
    """
    found: list[tuple[int, Directive]] = []
    reader = DirectiveReader(comment)
    first = 1 if lines and lines[0].startswith("#!") else 0
    for index in range(first, len(lines)):
        try:
            directive = reader.read(lines[index])
        except DirectiveError:
            break
        if directive is None:
            break
        found.append((index, directive))
    return tuple(found)


def detect_syntax(lines: Sequence[str]) -> str | None:
    """The frontend a file asks for: `# syntax=`, `// syntax=`, or a JSON document's `syntax`."""
    for comment in ("#", "//"):
        for _, directive in head(lines, comment):
            if directive.key == "syntax":
                return directive.value.split(" ", 1)[0]
    text = "\n".join(lines[1:] if lines and lines[0].startswith("#!") else lines)
    if not text.lstrip().startswith("{"):
        return None
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return None
    value = document.get("syntax") if isinstance(document, dict) else None
    return value if isinstance(value, str) else None
