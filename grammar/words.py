"""Variable expansion of words (reference 1.2): the tree by words.lark, its evaluation, word splitting."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from grammar.evaluate import Chunk, Evaluation
from grammar.gostrings import is_space
from grammar.wordtree import ExpansionError, Word, WordText

if TYPE_CHECKING:
    from lark import Lark

__all__ = [
    "Expanded", "ExpansionError", "RawWord", "expand", "expand_heredoc", "learnt", "parse", "raw_words", "recall", "split", "split_chunks",
]  # fmt: skip

SHORT = 1024
"""Words below this length are kept parsed: rules and steps ask for the same ones again and again."""

MOST = 2048
"""Words kept."""

_UNMARKED = re.compile(r"[^$'\"\\`]*")
# No possessive quantifiers: before CPython 3.11.5 they match too much around groups (gh-106052). One character a turn
# keeps the alternatives apart, so nothing is tried twice.
_SIMPLE = re.compile(r"(?:[^$'\"\\`]|\$[A-Za-z_][A-Za-z0-9_]*|\$\{[A-Za-z_][A-Za-z0-9_]*\})*")
_REFERENCE = re.compile(r"\$\{?([A-Za-z_][A-Za-z0-9_]*)\}?")


class Expanded(msgspec.Struct, frozen=True):
    """A word's value; `used` are the variables that were set, `unset` those that were asked for and are not (with a
    default or without), each in the order of their first mention."""

    text: str
    used: tuple[str, ...] = ()
    unset: tuple[str, ...] = ()


class RawWord(msgspec.Struct, frozen=True):
    """A word of a line with its quotes and escapes still on, and where in the line it stands."""

    text: str
    start: int
    end: int


def expand(word: str, env: Mapping[str, str], escape: str = "\\") -> Expanded:
    """The word with its variables replaced and its quotes removed; raises ExpansionError."""
    if _UNMARKED.fullmatch(word):
        return Expanded(word)
    if word.isascii() and _SIMPLE.fullmatch(word):
        return _expand_simple(word, env)
    return _expanded(WordText(word, escape), env)


def expand_heredoc(body: str, env: Mapping[str, str]) -> Expanded:
    """A here-document of COPY or ADD: `$` and `${}` only, quotes left alone, the escape is always a backslash."""
    if "$" not in body and "\\" not in body:
        return Expanded(body)
    return _expanded(WordText(body, "\\", quotes=False), env)


def split(line: str, env: Mapping[str, str], escape: str = "\\") -> list[str]:
    """The words of a line after expansion: an unquoted variable may give several, quoted blanks split nothing."""
    if line.isascii() and line.isprintable() and _UNMARKED.fullmatch(line):
        return line.split()  # the only blank among printable ASCII is the space, for Go as for Python
    chunks = Evaluation(env).chunks(parse(WordText(line, escape)))
    return [word.text for word in split_chunks(chunks)]


def raw_words(line: str) -> list[RawWord]:
    """The words of a line as the search for here-documents reads them: nothing expanded, nothing unquoted."""
    evaluation = Evaluation({}, raw_quotes=True, raw_escapes=True, keep_unset=True)
    return split_chunks(evaluation.chunks(parse(WordText(line, "\\", glue=True))))


def parse(word: WordText) -> Word:
    """The tree of a word; raises ExpansionError for what is no word."""
    known = _memory.trees.get(word) or _memory.recalled().get(word)
    return known if known is not None else _parsed(word)


def recall(load: Callable[[], bytes | None]) -> None:
    """Where this thread is to look for trees before it loads the parser: what `learnt` gave another process; asked once, if at all."""
    _memory.asked.load = load


def learnt() -> bytes | None:
    """All trees that this process knows, for `recall`; None when it has learnt none since it was asked."""
    if not _memory.fresh:
        return None
    _memory.fresh = False
    return msgspec.msgpack.encode([pair for pair in _memory.trees.items() if _can_be_kept(pair[0].text)])


def _can_be_kept(text: str) -> bool:
    """A word of a Dockerfile can; a lone surrogate, which a caller's may hold, has no encoding."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


class _Memory:
    """Trees by word. Threads may meet in it: each operation is one of a dict, and a tree is what its word says."""

    def __init__(self) -> None:
        self.trees: dict[WordText, Word] = {}
        self.asked = threading.local()
        self.fresh = False

    def recalled(self) -> dict[WordText, Word]:
        load: Callable[[], bytes | None] | None = getattr(self.asked, "load", None)
        self.asked.load = None
        raw = load() if load is not None else None
        if raw is not None:
            try:
                self.trees.update(msgspec.msgpack.decode(raw, type=list[tuple[WordText, Word]]))
            except msgspec.DecodeError:
                self.fresh = True  # written by another version: to be written again
        return self.trees


_memory = _Memory()


def _parsed(word: WordText) -> Word:
    tree = _parse(word)
    if len(word.text) < SHORT:
        if len(_memory.trees) >= MOST:
            _memory.trees.clear()
        _memory.trees[word] = tree
        _memory.fresh = True
    return tree


def _parse(word: WordText) -> Word:
    tree: object = _lark().parse(word)  # our lexer takes the WordText
    assert isinstance(tree, tuple)
    return tree


@cache
def _lark() -> Lark:
    from lark import Lark

    from grammar.wordbuilder import WordBuilder
    from grammar.wordlexer import WordLexer

    grammar = Path(__file__).with_name("words.lark").read_text(encoding="utf-8")
    return Lark(grammar, start="word", parser="lalr", lexer=WordLexer, transformer=WordBuilder(), maybe_placeholders=False)


def _expanded(word: WordText, env: Mapping[str, str]) -> Expanded:
    evaluation = Evaluation(env)
    text = "".join(chunk.text for chunk in evaluation.chunks(parse(word)))
    return Expanded(text, tuple(evaluation.used), tuple(evaluation.unset))


def _expand_simple(word: str, env: Mapping[str, str]) -> Expanded:
    """Only `$NAME` and `${NAME}`: most words, and they need no parser."""
    evaluation = Evaluation(env)
    text = _REFERENCE.sub(lambda match: evaluation.value(match[1]) or "", word)
    return Expanded(text, tuple(evaluation.used), tuple(evaluation.unset))


def split_chunks(chunks: list[Chunk]) -> list[RawWord]:
    """The words that chunks make: blanks of those that split separate, empty words vanish."""
    words: list[RawWord] = []
    letters: list[str] = []
    start = end = 0

    def finish() -> None:
        if letters:
            words.append(RawWord("".join(letters), start, end))
            letters.clear()

    for chunk in chunks:
        exact = len(chunk.text) == chunk.end - chunk.start
        if not chunk.splits:
            if chunk.text:
                start = start if letters else chunk.start
                letters.append(chunk.text)
                end = chunk.end
            continue
        for offset, char in enumerate(chunk.text):
            if is_space(char):
                finish()
                continue
            if not letters:
                start = chunk.start + offset if exact else chunk.start
            letters.append(char)
            end = chunk.start + offset + 1 if exact else chunk.end
    finish()
    return words
