"""From bytes to logical lines: byte-order mark, line ends, directives, comments, continuations, here-documents.

Knows no instruction but for one question: can this line open here-documents (RUN, COPY, ADD, also below ONBUILD,
not in JSON form)?
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator

import msgspec

from grammar import directives, forms, heredoc
from grammar.diagnostics import Diagnostic, DockerfileError, shorten
from grammar.gostrings import trim, trim_left
from grammar.nodes import Heredoc, Word
from grammar.source import Source, Span

MAX_LINE = 65535
"""Bytes of a physical line without its newline: bufio.MaxScanTokenSize - 1."""

_SURROGATE = re.compile("[\udc80-\udcff]")
_UNREADABLE = re.compile("[\0\udc80-\udcff]")
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
_BOM = b"\xef\xbb\xbf"
_HEREDOC_KEYWORDS = ("add", "copy", "run")


class Segment(msgspec.Struct, frozen=True):
    """The stretch of a logical line from `offset` on stands at `line` and `column` (1-based) of the source."""

    offset: int
    line: int
    column: int


class LogicalLine(msgspec.Struct, frozen=True):
    """An instruction's text after joining, where each part of it stands, and what belongs to it.

    `last` is the last physical line of the text itself, `end` the last one with its here-documents.
    """

    text: str
    segments: tuple[Segment, ...]
    last: int
    end: int
    comments: tuple[Word, ...]
    heredocs: tuple[Heredoc, ...] = ()

    def span(self, start: int, end: int) -> Span:
        """The place of `start:end` of the text."""
        line, column = self._place(start)
        if end <= start:
            return Span(line, column, line, column)
        end_line, end_column = self._place(end - 1)
        return Span(line, column, end_line, end_column + 1)

    def _place(self, offset: int) -> tuple[int, int]:
        segment = self.segments[max(0, bisect_right(self.segments, offset, key=lambda one: one.offset) - 1)]
        return segment.line, segment.column + offset - segment.offset


class Scan(msgspec.Struct, frozen=True):
    """A whole file in logical lines."""

    source: Source
    escape: str
    syntax: str | None
    check: Word | None
    lines: tuple[LogicalLine, ...]
    warnings: tuple[Diagnostic, ...]


def scan(data: bytes, name: str) -> Scan:
    """The logical lines of a Dockerfile; raises DockerfileError."""
    return _Scanner(data, name).scan()


def no_instructions(source: Source) -> DockerfileError:
    """The error for a file of nothing but comments and blank lines."""
    number = max(1, len(source.lines))
    return DockerfileError(Diagnostic("no-instructions", "the Dockerfile has no instructions", Span(number, 1, number, 1)), source)


def scan_text(text: str, name: str) -> Scan:
    """The logical lines of a trigger that an image's configuration holds."""
    return scan(text.encode("utf-8", "surrogateescape"), name)


class _Scanner:
    def __init__(self, data: bytes, name: str) -> None:
        text = data.removeprefix(_BOM).decode("utf-8", "surrogateescape")
        self.raw = text.split("\n")
        if self.raw[-1] == "":
            self.raw.pop()
        """Physical lines without their newline, but with a carriage return if they have one."""
        self.plain = [line.rstrip("\r") for line in self.raw]
        self.source = Source(name, tuple(_SURROGATE.sub("\ufffd", line) for line in self.plain))
        self.next = 0
        self.reader = directives.DirectiveReader()
        self.escape = "\\"
        self.warnings: list[Diagnostic] = []
        self._check_text(data)

    def error(self, code: str, message: str, span: Span, help: str | None = None) -> DockerfileError:
        return DockerfileError(Diagnostic(code, message, span, help), self.source)

    def whole(self, number: int) -> Span:
        """The place of a physical line."""
        return Span(number, 1, number, len(self.plain[number - 1]) + 1)

    def _check_text(self, data: bytes) -> None:
        if not data:
            raise DockerfileError(Diagnostic("empty-file", "the Dockerfile is empty", Span(1, 1, 1, 1)), self.source)
        if data.startswith(_UTF16_MARKS):
            raise self.error("not-utf-8", "the file is UTF-16, not UTF-8", Span(1, 1, 1, 1), "save it as UTF-8")
        if len(data) <= MAX_LINE:
            return
        for number, line in enumerate(self.raw, 1):
            if len(line) > MAX_LINE // 4 and len(line.encode("utf-8", "surrogateescape")) > MAX_LINE:
                message = f"a line can have at most {MAX_LINE} bytes"
                raise self.error("line-too-long", message, Span(number, 1, number, 2), "continue the instruction on further lines")

    def scan(self) -> Scan:
        syntax, check = self._head()
        lines = tuple(self._lines())
        return Scan(self.source, self.escape, syntax, check, lines, tuple(self.warnings))

    def _head(self) -> tuple[str | None, Word | None]:
        check: Word | None = None
        for index, directive in directives.head(self.plain):
            if directive.key == "check":
                check = Word(directive.value, Span(index + 1, directive.start + 1, index + 1, directive.end + 1))
        return directives.detect_syntax(self.plain), check

    def _lines(self) -> Iterator[LogicalLine]:
        comments: list[Word] = []
        while self.next < len(self.plain):
            line = self.plain[self.next]
            number = self.next + 1
            stripped = trim_left(line)
            is_directive = self._directive(stripped, number)
            if not stripped.startswith("#"):
                if not stripped:
                    self.next += 1
                    comments.clear()
                    continue
                yield self._logical(tuple(comments))
                comments.clear()
                continue
            self.next += 1
            text = trim(stripped[1:])
            if not text:
                comments.clear()
            elif not is_directive:
                column = line.index(text, line.index("#") + 1) + 1
                comments.append(Word(_SURROGATE.sub("\ufffd", text), Span(number, column, number, column + len(text))))

    def _directive(self, stripped: str, number: int) -> bool:
        if self.reader.done:
            return False
        try:
            directive = self.reader.read(stripped)
        except directives.DirectiveError as error:
            raise self.error(error.code, error.message, self.whole(number)) from error
        if directive is not None and directive.key == "escape":
            self.escape = directive.value
        return directive is not None

    def _logical(self, comments: tuple[Word, ...]) -> LogicalLine:
        first = self.next + 1
        parts: list[str] = []
        segments: list[Segment] = []
        offset, blank = 0, False
        while self.next < len(self.plain):
            line = self.plain[self.next]
            stripped = trim_left(line)
            self.next += 1
            if parts and (not stripped or stripped.startswith("#")):
                blank = blank or not stripped
                continue
            used = line if parts else stripped
            part, goes_on = self._continuation(used)
            segments.append(Segment(offset, self.next, len(line) - len(used) + 1))
            parts.append(part)
            offset += len(part)
            if not goes_on:
                break
        last = self.next
        if blank:
            self._warn_blank(first, last)
        logical = LogicalLine("".join(parts), tuple(segments), last, last, comments)
        self._check_readable(logical)
        return self._with_heredocs(logical)

    def _continuation(self, line: str) -> tuple[str, bool]:
        """The line without its continuation mark, and whether it had one; a doubled escape is none."""
        end = line.rstrip(" \t")
        if not end.endswith(self.escape) or end.endswith(self.escape * 2):
            return line, False
        return end[:-1], True

    def _warn_blank(self, first: int, last: int) -> None:
        self.warnings.append(
            Diagnostic(
                "no-empty-continuation",
                f"blank lines stand inside the instruction of line {first}; later versions will not accept them",
                self.whole(last),
                "remove the blank lines, or begin them with #",
                "warning",
            )
        )

    def _with_heredocs(self, line: LogicalLine) -> LogicalLine:
        if "<<" not in line.text or not _can_open_heredocs(line.text):
            return line
        found = heredoc.markers(line.text)
        if not found:
            self._warn_unread(line)
            return line
        documents = tuple(self._document(line, marker) for marker in found)
        return msgspec.structs.replace(line, heredocs=documents, end=self.next)

    def _warn_unread(self, line: LogicalLine) -> None:
        unread = heredoc.unread(line.text)
        if unread is not None:
            message = f"{shorten(line.text[unread.start : unread.end])} opens no here-document here: {unread.reason}"
            span = line.span(unread.start, unread.end)
            self.warnings.append(Diagnostic("unread-heredoc", message, span, "close or escape the quotes of the line", "warning"))

    def _document(self, line: LogicalLine, marker: heredoc.Marker) -> Heredoc:
        start = self.next
        while self.next < len(self.plain):
            number = self.next
            self.next += 1
            if (self.plain[number].lstrip("\t") if marker.strip_tabs else self.plain[number]) == marker.name:
                raw = "".join(f"{text}\n" for text in self.raw[start:number])
                body = heredoc.strip_tabs(raw) if marker.strip_tabs else raw
                self._check_bytes(raw, start + 1)
                span = line.span(marker.start, marker.end)
                return Heredoc(marker.name, body, marker.expand, marker.strip_tabs, marker.fd, span, raw)
        span = line.span(marker.start, marker.end)
        raise self.error(
            "unterminated-heredoc",
            f"the here-document {shorten(marker.name)!r} never ends",
            span,
            f"end it with a line that holds nothing but {shorten(marker.name)}",
        )

    def _check_readable(self, line: LogicalLine) -> None:
        match = _UNREADABLE.search(line.text)
        if match:
            raise self._unreadable(match[0], line.span(match.start(), match.end()))

    def _check_bytes(self, raw: str, first: int) -> None:
        match = _SURROGATE.search(raw)
        if match:
            line = first + raw.count("\n", 0, match.start())
            column = match.start() - raw.rfind("\n", 0, match.start())
            raise self._unreadable(match[0], Span(line, column, line, column + 1))

    def _unreadable(self, char: str, span: Span) -> DockerfileError:
        if char == "\0":
            return self.error("nul-byte", "an instruction cannot hold a NUL byte", span)
        return self.error("not-utf-8", "the line is not UTF-8", span, "save the file as UTF-8")


def _can_open_heredocs(text: str) -> bool:
    head = forms.head(text)
    if head.keyword.text.lower() == "onbuild" and head.rest.text:
        head = forms.head(text, head.rest.start)
    if head.keyword.text.lower() not in _HEREDOC_KEYWORDS:
        return False
    try:
        return forms.json_array(head.rest) is None
    except forms.FormError:
        return False
