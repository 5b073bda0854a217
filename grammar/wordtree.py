"""The tree of one word: literals, quotes and variables, each with its place in the word."""

from __future__ import annotations

import msgspec


class ExpansionError(Exception):
    """A word cannot be expanded; `message` says why, the caller knows where."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class Part(msgspec.Struct, frozen=True):
    """A stretch `start:end` of the word."""

    start: int
    end: int


class Text(Part, frozen=True, tag=True):
    """Characters that stand for themselves; blanks among them split words, unless in double quotes."""

    text: str


class Glued(Part, frozen=True, tag=True):
    """Characters that stand for themselves and never split: `<<` with the blanks behind it."""

    text: str


class Escaped(Part, frozen=True, tag=True):
    """The escape character and what it quotes (nothing at the end of the word, nor where it quotes nothing)."""

    escape: str
    char: str


class Quoted(Part, frozen=True, tag=True):
    """A single-quoted stretch, without its quotes."""

    text: str


class Double(Part, frozen=True, tag=True):
    """A double-quoted stretch."""

    parts: tuple[Node, ...]


class Plain(Part, frozen=True, tag=True):
    """`$name`."""

    name: str


class Braced(Part, frozen=True, tag=True):
    """`${name}`."""

    name: str


class Modified(Part, frozen=True, tag=True):
    """`${name<operator>word}`; the operator as written, colon included, the second `#` or `%` not."""

    name: str
    operator: str
    word: tuple[Node, ...]


class Replaced(Part, frozen=True, tag=True):
    """`${name/pattern/replacement}`, or `//` for every match."""

    name: str
    every: bool
    pattern: tuple[Node, ...]
    replacement: tuple[Node, ...]


Node = Text | Glued | Escaped | Quoted | Double | Plain | Braced | Modified | Replaced
Word = tuple[Node, ...]


class WordText(msgspec.Struct, frozen=True):
    """What is to be read, and how.

    `quotes` off leaves quotes alone (here-document bodies); `glue` keeps the blanks behind `<<` in the word,
    as the search for here-documents needs it.
    """

    text: str
    escape: str = "\\"
    quotes: bool = True
    glue: bool = False
