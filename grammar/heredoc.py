"""Here-documents: the words of a line that open one, and what a RUN hands to its shell.

Found as BuildKit finds them (FD/parser/parser.go, heredocsFromLine): by the words of the whole logical line.
A line that does not lex as words (an open quote) opens none.
"""

from __future__ import annotations

import re

import msgspec

from grammar.evaluate import Evaluation
from grammar.nodes import Heredoc, ShellForm
from grammar.words import parse, raw_words, split_chunks
from grammar.wordtree import Double, Escaped, ExpansionError, Quoted, WordText

_MARKER = re.compile(r"(\d*+)<<(-?)[\t\n\f\r ]*+([^<]*+)", re.ASCII)
_LOOKS_LIKE_ONE = re.compile(r"(?:^|(?<=[\t ]))\d*<<-?['\"]?[A-Za-z_]\w*['\"]?(?![^\t ])", re.ASCII)
_TABS = re.compile(r"^\t+", re.MULTILINE)


class Marker(msgspec.Struct, frozen=True):
    """A word such as `<<EOF` at `start:end` of its line."""

    name: str
    expand: bool
    strip_tabs: bool
    fd: int | None
    start: int
    end: int


def markers(line: str) -> tuple[Marker, ...]:
    """The here-documents that a logical line opens, in order."""
    if "<<" not in line:
        return ()
    try:
        words = raw_words(line)
    except ExpansionError:
        return ()
    found = (marker(word.text, word.start, word.end) for word in words if "<<" in word.text)
    return tuple(one for one in found if one is not None)


class Unread(msgspec.Struct, frozen=True):
    """What looks like `<<EOF` at `start:end` of a line in which no here-document is read, and why."""

    reason: str
    start: int
    end: int


def unread(line: str) -> Unread | None:
    """The first would-be here-document of a line that does not lex as words: the lines below it become instructions."""
    match = _LOOKS_LIKE_ONE.search(line)
    if match is None:
        return None
    try:
        raw_words(line)
    except ExpansionError as error:
        return Unread(error.message, match.start(), match.end())
    return None


def marker(text: str, start: int = 0, end: int = 0) -> Marker | None:
    """The here-document that this one word opens."""
    match = _MARKER.fullmatch(text)
    if match is None or not match[3]:
        return None
    try:
        tree = parse(WordText(match[3]))
        names = split_chunks(Evaluation({}, keep_unset=True).chunks(tree))
    except ExpansionError:
        return None
    if len(names) != 1:
        return None
    # An escaped quote is part of the name and quotes nothing: BuildKit counts quotes, not escapes.
    quoted = any(isinstance(node, Quoted | Double) or (isinstance(node, Escaped) and node.char not in "'\"") for node in tree)
    digits = match[1].lstrip("0")
    fd = (int(digits or "0") if len(digits) < 10 else None) if match[1] else None
    return Marker(names[0].text, not quoted, match[2] == "-", fd, start, end)


def strip_tabs(body: str) -> str:
    """The body of `<<-`: without the TABs its lines begin with."""
    return _TABS.sub("", body)


def shell_form(command: str, heredocs: tuple[Heredoc, ...]) -> ShellForm:
    """What RUN hands to its shell; see ShellForm for the cases."""
    if not heredocs:
        return ShellForm(command)
    if marker(command) is None:
        bodies = "".join(f"\n{heredoc.raw}{heredoc.name}" for heredoc in heredocs)
        return ShellForm(command + bodies, heredocs)
    only = heredocs[0]
    if only.raw.startswith("#!"):
        return ShellForm(f"{SCRIPT_DIRECTORY}/{only.name}", heredocs, script=True)
    return ShellForm(only.body, heredocs)


SCRIPT_DIRECTORY = "/dev/pipes"
"""Where a here-document with a `#!` line is mounted, under its name."""
