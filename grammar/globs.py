"""The patterns of `${v#p}` and `${v/p/r}`: `*`, `?` and backslash escapes, matched without backtracking.

A text of n characters is an integer of n+1 bits, one a position; a pattern moves all positions at once. So the
cost is pattern times text over the word size, whatever an author (or a build argument) puts into either.
`*` and `?` stop at a newline, as `.` does in the regular expressions BuildKit makes of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable

STAR = "*"
ANY = "?"
Element = tuple[str, str]
"""(kind, character): kind is STAR, ANY or "" for a literal character."""

MAX_WORK = 1 << 33
"""Pattern elements times text characters; beyond it a match would take seconds."""

_TEMPLATE = r"\$(?:(?P<dollar>\$)|(?P<bare>\w+)|\{(?P<braced>\w+)\})"


class PatternError(ValueError):
    """The pattern has an escape that means nothing, or is too large for its text."""


def parse(pattern: str) -> tuple[Element, ...]:
    r"""The elements of a pattern; `\}` and `\/` are plain characters whose escape only got them past `${...}`."""
    elements: list[Element] = []
    position = 0
    while position < len(pattern):
        char = pattern[position]
        position += 1
        if char == "\\":
            following = pattern[position : position + 1]
            if following not in ("}", "/", "*", "?", "\\"):
                raise PatternError(f"the escape \\{following} means nothing in a pattern")
            elements.append(("", following))
            position += 1
        else:
            elements.append((char, "") if char in (STAR, ANY) else ("", char))
    return tuple(elements)


def trim_prefix(pattern: str, text: str, longest: bool) -> str:
    """`${v#p}` and, with `longest`, `${v##p}`."""
    return _trim(parse(pattern), text, longest)


def trim_suffix(pattern: str, text: str, longest: bool) -> str:
    """`${v%p}` and, with `longest`, `${v%%p}`."""
    return _trim(parse(pattern)[::-1], text[::-1], longest)[::-1]


def _trim(elements: tuple[Element, ...], text: str, longest: bool) -> str:
    ends = _advance(elements, text, 1)
    if not ends:
        return text
    return text[(ends if longest else ends & -ends).bit_length() - 1 :]


def replace_first(pattern: str, text: str, replacement: str) -> str:
    """`${v/p/r}`: the leftmost match, as long as it goes, gives way to `replacement`, which is taken literally."""
    elements = parse(pattern)
    start = _starts(elements, text).find("1")
    if start < 0:
        return text
    return text[:start] + replacement + text[_longest_end(elements, text, start) :]


def replace_all(pattern: str, text: str, template: str, limit: int = 1 << 30) -> str:
    """`${v//p/r}`: every match gives way to `template`, a template of Go's regexp package (`$0` is the match).

    A value that would grow beyond `limit` characters is a PatternError.
    """
    elements = parse(pattern)
    fill = _filler(template, limit)
    if ("", "\n") in elements:
        return _replace_all(elements, text, fill)
    # No match crosses a line then, and a line has at most one that is not of a fixed length.
    return "\n".join(_replace_all(elements, line, fill) for line in text.split("\n"))


def _replace_all(elements: tuple[Element, ...], text: str, fill: Callable[[str], str]) -> str:
    starts = _starts(elements, text)
    parts: list[str] = []
    search = last_end = 0
    while (start := starts.find("1", search)) >= 0:
        end = _longest_end(elements, text, start)
        parts.append(text[last_end:start])
        # An empty match right behind another is none: Regexp.replaceAll.
        if end > last_end or start == 0:
            parts.append(fill(text[start:end]))
        last_end = end
        search = max(end, search + 1)
    return "".join([*parts, text[last_end:]])


def _filler(template: str, limit: int) -> Callable[[str], str]:
    """Regexp.Expand with no group but the whole match: other names are empty, a stray `$` is itself."""
    marks = template.count("$")
    left = limit

    def fill(match: str) -> str:
        nonlocal left
        left -= len(template) + marks * len(match)
        if left < 0:
            raise PatternError("the replacements make the value too long")
        if not marks:
            return template

        def one(found: re.Match[str]) -> str:
            if found["dollar"]:
                return "$"
            return match if (found["bare"] or found["braced"]) == "0" else ""

        return re.sub(_TEMPLATE, one, template)

    return fill


def _starts(elements: tuple[Element, ...], text: str) -> str:
    """A "1" for each position of `text` that a match can begin at."""
    found = _advance(elements[::-1], text[::-1], (1 << (len(text) + 1)) - 1)
    # Bit r of the reversed text is position n - r; written out, the highest bit comes first, so the order is right.
    return f"{found:0{len(text) + 1}b}"


def _longest_end(elements: tuple[Element, ...], text: str, start: int) -> int:
    if all(kind != STAR for kind, _ in elements):
        return start + len(elements)
    return start + _advance(elements, text[start:], 1).bit_length() - 1


def _advance(elements: tuple[Element, ...], text: str, bits: int) -> int:
    """The positions that matches of all elements, begun at the positions in `bits`, can end at."""
    if len(elements) * len(text) > MAX_WORK:
        raise PatternError("the pattern is too long for its text")
    plain = ((1 << len(text)) - 1) & ~_occurrences("\n", text)
    literals = {char: _occurrences(char, text) for char in {char for kind, char in elements if not kind}}
    for kind, char in elements:
        if not bits:
            return 0
        if kind == STAR:
            # A carry runs from each seed through the ones of `plain` to the position behind its line.
            bits |= ((bits & plain) + plain) ^ plain
        else:
            bits = (bits & (plain if kind == ANY else literals[char])) << 1
    return bits


def _occurrences(char: str, text: str) -> int:
    """The positions of `char` in `text`, as bits."""
    last = len(text) - 1
    digits = bytearray(b"0") * (last + 1)
    position = text.find(char)
    while position >= 0:
        digits[last - position] = 0x31
        position = text.find(char, position + 1)
    return int(digits, 2) if digits else 0
