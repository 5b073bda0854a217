"""Patterns of paths: Go's filepath.Match, and the `**` dialect of .dockerignore, as regular expressions.

Both share one syntax check (Go's `filepath.Match`): `*` and `?` stay inside a component, `[a-z]` and `[^a-z]`
are classes whose ends may be escaped, `\\` escapes one character. The dialect adds `**` for any depth, and an escape
outside a class is one of Go's regexp there, which BuildKit makes of the pattern: `\\.` is a dot, `\\d` a digit, `\\g` an error.
Not here: negation, comments, lines; those are builder.context.ignore's.
"""

from __future__ import annotations

import re

from builder.errors import LayerwrightError

_SPECIAL = frozenset("*?[")

_LETTER_ESCAPES = {
    "a": "\\a", "f": "\\f", "n": "\\n", "r": "\\r", "t": "\\t", "v": "\\v", "d": "[0-9]", "D": "[^0-9]", "s": "[\\t\\n\\f\\r ]",
    "S": "[^\\t\\n\\f\\r ]", "w": "[0-9A-Za-z_]", "W": "[^0-9A-Za-z_]", "b": "(?a:\\b)", "B": "(?a:\\B)", "A": "\\A", "z": "\\Z",
}  # fmt: skip
"""Go's regexp/syntax of an escaped letter; any other letter or digit is refused, as are `\\Q`, `\\p`, `\\x` and octal numbers."""


class PatternError(LayerwrightError):
    """A pattern that is no pattern."""

    def __init__(self, pattern: str) -> None:
        super().__init__(
            "bad-pattern", f"{pattern!r} is not a pattern", help="close every `[`, and write `\\` before a character it escapes"
        )


def clean(path: str) -> str:
    """Go's filepath.Clean: no `//`, no `.`, `..` resolved by text; the empty path is `.`."""
    rooted = path.startswith("/")
    kept: list[str] = []
    for part in path.split("/"):
        if part in ("", "."):
            continue
        if part != "..":
            kept.append(part)
        elif kept and kept[-1] != "..":
            kept.pop()
        elif not rooted:
            kept.append(part)
    if rooted:
        return "/" + "/".join(kept)
    return "/".join(kept) or "."


def inside(path: str) -> str:
    """A path cleaned inside a root, relative to it: `../x` is `x`, `/` is the empty path."""
    return clean("/" + path)[1:]


def has_wildcard(text: str) -> bool:
    """Whether an unescaped `*`, `?` or `[` stands in it."""
    escaped = False
    for char in text:
        if escaped:
            escaped = False
        elif char == "\\":
            escaped = True
        elif char in _SPECIAL:
            return True
    return False


def unescape(text: str) -> str:
    """The literal that a pattern without wildcards stands for."""
    return re.sub(r"\\(.)", r"\1", text, flags=re.DOTALL)


def component_regex(pattern: str) -> str:
    """One component of a filepath.Match pattern as a regular expression."""
    return _translate(pattern, double=False)


def path_regex(pattern: str) -> str:
    """A pattern of .dockerignore as a regular expression for a whole relative path."""
    if pattern.startswith("**") and len(pattern) > 2 and not _needs_regex(pattern[2:]):
        # patternmatcher's "suffix" kind: `**/x` is x at any depth, and `**x` any path that ends in x.
        rest = pattern[2:]
        return r"(?:.*/)?" + re.escape(rest[1:]) if rest.startswith("/") else ".*" + re.escape(rest)
    return _translate(pattern, double=True)


def _needs_regex(text: str) -> bool:
    return any(char in "*?[]\\" for char in text)


def _translate(pattern: str, *, double: bool) -> str:
    out: list[str] = []
    at = 0
    while at < len(pattern):
        char = pattern[at]
        if char == "*" and double and pattern.startswith("**", at):
            at += 3 if pattern.startswith("/", at + 2) else 2
            out.append(".*" if at >= len(pattern) else "(?:.*/)?")
            continue
        if char == "*":
            out.append("[^/]*")
        elif char == "?":
            out.append("[^/]")
        elif char == "[":
            text, at = _char_class(pattern, at)
            out.append(text)
            continue
        elif char == "\\":
            at += 1
            if at >= len(pattern):
                raise PatternError(pattern)
            out.append(_escaped(pattern, at) if double else re.escape(pattern[at]))
        else:
            out.append(re.escape(char))
        at += 1
    return "".join(out)


def _escaped(pattern: str, at: int) -> str:
    char = pattern[at]
    if char.isascii() and not char.isalnum():
        return re.escape(char)
    if char not in _LETTER_ESCAPES:
        raise PatternError(pattern)
    return _LETTER_ESCAPES[char]


def _char_class(pattern: str, at: int) -> tuple[str, int]:
    """The class that starts at `[`, and where it ends. At least one range; `-` and `]` only escaped."""
    at += 1
    negated = pattern.startswith("^", at)
    if negated:
        at += 1
    ranges: list[str] = []
    count = 0
    while not (count and pattern.startswith("]", at)):
        low, at = _class_char(pattern, at)
        high = low
        if pattern.startswith("-", at):
            high, at = _class_char(pattern, at + 1)
        if low <= high:
            ranges.append(f"{re.escape(low)}-{re.escape(high)}")
        count += 1
    if not ranges:  # only ranges that run backwards: matches nothing, or, negated, anything
        return (r"[\s\S]" if negated else r"(?!)"), at + 1
    return f"[{'^' if negated else ''}{''.join(ranges)}]", at + 1


def _class_char(pattern: str, at: int) -> tuple[str, int]:
    if at >= len(pattern) or pattern[at] in "-]":
        raise PatternError(pattern)
    if pattern[at] == "\\":
        at += 1
    if at + 1 >= len(pattern):  # Go: something must follow, the closing bracket at least
        raise PatternError(pattern)
    return pattern[at], at + 1
