"""The value of a word's tree in an environment, chunk by chunk so that the caller can split it into words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import assert_never

import msgspec

from grammar import globs
from grammar import wordtree as tree
from grammar.wordtree import ExpansionError

MAX_SIZE = 8 << 20
"""Characters that one word may grow to: `ENV b=$a$a` again and again doubles without end."""


class Chunk(msgspec.Struct, frozen=True):
    """A piece of the value made of `start:end` of the word; blanks in it separate words if `splits`."""

    text: str
    splits: bool
    start: int
    end: int


class Evaluation:
    """One evaluation; afterwards `used` and `unset` hold the names that were looked up, as ordered sets.

    The raw modes serve the search for here-documents: quotes and escapes stay, unset variables stay as written.
    """

    def __init__(self, env: Mapping[str, str], *, raw_quotes: bool = False, raw_escapes: bool = False, keep_unset: bool = False) -> None:
        self.env = env
        self.raw_quotes = raw_quotes
        self.raw_escapes = raw_escapes
        self.keep_unset = keep_unset
        self.used: dict[str, None] = {}
        self.unset: dict[str, None] = {}
        self.size = 0

    def chunks(self, word: tree.Word) -> list[Chunk]:
        """The value of the whole word."""
        return [self._chunk(node, self.raw_escapes) for node in word]

    def value(self, name: str) -> str | None:
        """A variable's value, noting that it was asked for."""
        value = self.env.get(name)
        if value is not None:
            self.used[name] = None
            self._grow(value)
        elif name:
            self.unset[name] = None
        return value

    def _chunk(self, node: tree.Node, raw: bool) -> Chunk:
        splits = isinstance(node, tree.Text | tree.Plain | tree.Braced | tree.Modified | tree.Replaced)
        return Chunk(self._text(node, raw), splits, node.start, node.end)

    def _join(self, word: tree.Word, raw: bool) -> str:
        return self._grow("".join([self._text(node, raw) for node in word]))

    def _grow(self, text: str) -> str:
        self.size += len(text)
        if self.size > MAX_SIZE:
            raise ExpansionError(f"the word grows beyond {MAX_SIZE >> 20} MiB")
        return text

    def _text(self, node: tree.Node, raw: bool) -> str:
        match node:
            case tree.Text() | tree.Glued():
                return node.text
            case tree.Escaped():
                return node.escape + node.char if raw else node.char
            case tree.Quoted():
                return f"'{node.text}'" if self.raw_quotes else node.text
            case tree.Double():
                return self._double(node, raw)
            case tree.Plain():
                value = self.value(node.name)
                return (f"${node.name}" if self.keep_unset else "") if value is None else value
            case tree.Braced():
                value = self.value(node.name)
                return (f"${{{node.name}}}" if self.keep_unset else "") if value is None else value
            case tree.Modified():
                return self._modified(node)
            case tree.Replaced():
                return self._replaced(node)
            case _:
                assert_never(node)

    def _double(self, node: tree.Double, raw: bool) -> str:
        texts: list[str] = []
        for part in node.parts:
            if isinstance(part, tree.Escaped) and not part.char:
                # It quotes nothing and stays; raw, BuildKit writes it twice (shell/lex.go, processDoubleQuote).
                texts.append(part.escape * (2 if raw else 1))
            else:
                texts.append(self._text(part, raw))
        inner = "".join(texts)
        return f'"{inner}"' if self.raw_quotes else inner

    def _modified(self, node: tree.Modified) -> str:
        operator = node.operator[-1]
        word = self._join(node.word, operator in "#%")
        value = self.value(node.name)
        if value is None and self.keep_unset:
            return f"${{{node.name}{node.operator}{word}}}"
        missing = value is None or (node.operator[0] == ":" and value == "")
        match operator:
            case "-":
                return word if missing else value or ""
            case "+":
                return "" if missing else word
            case "?":
                if missing:
                    state = "unset" if value is None else "empty"
                    raise ExpansionError(f"{node.name}: {word or f'is not allowed to be {state}'}")
                return value or ""
            case _:
                return self._trimmed(operator, word, value or "")

    def _trimmed(self, operator: str, pattern: str, value: str) -> str:
        longest = pattern.startswith(operator)
        trim = globs.trim_prefix if operator == "#" else globs.trim_suffix
        try:
            return trim(pattern[longest:], value, longest)
        except globs.PatternError as error:
            raise ExpansionError(str(error)) from error

    def _replaced(self, node: tree.Replaced) -> str:
        pattern = self._join(node.pattern, True)
        replacement = self._join(node.replacement, True)
        value = self.value(node.name)
        if value is None and self.keep_unset:
            return f"${{{node.name}/{pattern}/{replacement}}}"
        try:
            if node.every:
                return self._grow(globs.replace_all(pattern, value or "", replacement, MAX_SIZE))
            return self._grow(globs.replace_first(pattern, value or "", replacement))
        except globs.PatternError as error:
            raise ExpansionError(str(error)) from error
