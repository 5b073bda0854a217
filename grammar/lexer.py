"""Logical lines to the tokens of dockerfile.lark, one line at a time, in the form that its instruction asks for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec
from lark import Token
from lark.lexer import Lexer

from grammar import flags, forms, heredoc
from grammar.diagnostics import Diagnostic, Fault, shorten, suggest
from grammar.forms import Head, Piece
from grammar.lines import LogicalLine, Scan
from grammar.nodes import Word
from grammar.source import Span

KEYWORDS = (
    "ADD", "ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "HEALTHCHECK", "LABEL", "MAINTAINER", "ONBUILD", "RUN",
    "SHELL", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR",
)  # fmt: skip

_NAMES = {keyword.lower(): keyword for keyword in KEYWORDS}
"""By their lower case, as Go compares them; upper-casing would make an S of U+017F."""


BROKEN_TEXT = ("bad-trigger", "json-not-strings", "missing-value", "missing-equals", "open-quote", "unread-heredoc")
"""What BuildKit finds in a trigger's text when it reads ONBUILD; all else it finds when the trigger is run."""


class Opening(msgspec.Struct, frozen=True):
    """What a keyword token carries as its value: the instruction as a whole."""

    keyword: str
    text: str
    span: Span
    comments: tuple[Word, ...]
    trigger: str


class DockerfileLexer(Lexer):
    """lark's lexer interface: `lex` gets the TokenStream that was given to parse()."""

    def __init__(self, lexer_conf: Any = None) -> None:
        del lexer_conf

    def lex(self, data: Any, parser_state: Any = None) -> Iterator[Token]:
        del parser_state
        stream: TokenStream = data
        return stream.tokens()


class TokenStream:
    """The tokens of one scan; `instruction` and `outer` name the keyword the last token belongs to, for error messages.

    `accept` raises Fault unless the tokens of a trigger are an instruction; what only a child image would meet is kept
    in `warnings`. Raises Fault for what no token can be made of.
    """

    def __init__(self, scan: Scan, accept: Callable[[Sequence[Token]], None]) -> None:
        self.scan = scan
        self.warnings: list[Diagnostic] = []
        self._accept = accept
        self.instruction = ""
        self.outer = ""

    def tokens(self) -> Iterator[Token]:
        for line in self.scan.lines:
            self.outer = ""
            try:
                yield from self._instruction(line, 0)
            except forms.FormError as error:
                raise Fault(error.code, error.message, line.span(error.start, error.end), error.help) from error
            yield self._token("_EOL", Piece("", len(line.text), len(line.text)), line)

    def _token(self, kind: str, piece: Piece, line: LogicalLine, value: object = None) -> Token:
        span = line.span(piece.start, piece.end)
        token = Token(kind, piece.text, piece.start, span.line, span.column, span.end_line, span.end_column, piece.end)
        if value is not None:
            token.value = value
        return token

    def _instruction(self, line: LogicalLine, start: int) -> Iterator[Token]:
        head = forms.head(line.text, start)
        name = _NAMES.get(head.keyword.text.lower())
        if name is None:
            raise self._unknown_instruction(head.keyword, line)
        self.instruction = name
        yield self._token(name, head.keyword, line, self._opening(line, head))
        if head.open_flag is not None:
            raise forms.FormError("open-quote", "the quote of this flag is never closed", head.open_flag.start, head.open_flag.end)
        for flag in flags.check(name, head.flags):
            yield self._token("FLAG", Piece(f"{flag.name}={flag.text}", flag.start, flag.end), line)
        if name == "ONBUILD":
            if head.rest.text and not self.outer:
                self.outer = name
                yield from self._trigger(line, head.rest)
            return
        yield from self._operands(name, head, line)

    def _trigger(self, line: LogicalLine, rest: Piece) -> Iterator[Token]:
        """The tokens of what ONBUILD holds, or one BROKEN."""
        try:
            tokens = list(self._instruction(line, rest.start))
            self._accept([*tokens, self._token("_EOL", Piece("", len(line.text), len(line.text)), line)])
        except forms.FormError as error:
            fault = Diagnostic(error.code, error.message, line.span(error.start, error.end), error.help)
            if fault.code in BROKEN_TEXT:
                raise
        except Fault as error:
            fault = error.diagnostic
            if fault.code in BROKEN_TEXT:
                raise
        else:
            yield from tokens
            return
        message = f"this trigger will fail in every image built on this one: {fault.message}"
        self.warnings.append(Diagnostic("broken-trigger", message, fault.span, fault.help, "warning"))
        yield self._token("BROKEN", rest, line)

    def _opening(self, line: LogicalLine, head: Head) -> Opening:
        start = line.span(head.keyword.start, head.keyword.start)
        end_column = len(self.scan.source.lines[line.end - 1]) + 1
        bodies = "".join(f"\n{document.raw}{document.name}" for document in line.heredocs)
        return Opening(
            head.keyword.text,
            line.text[head.keyword.start :],
            Span(start.line, start.column, line.end, end_column),
            line.comments,
            line.text[head.rest.start :] + bodies,
        )

    def _operands(self, name: str, head: Head, line: LogicalLine) -> Iterator[Token]:
        match name:
            case "FROM":
                return self._from(head.rest, line)
            case "ARG":
                return self._arguments(head.rest, line)
            case "ENV" | "LABEL":
                return self._pairs(name, head.rest, line)
            case "RUN" | "CMD" | "ENTRYPOINT" | "SHELL":
                return self._command(head.rest, line)
            case "COPY" | "ADD" | "VOLUME":
                return self._paths(name, head.rest, line)
            case "HEALTHCHECK":
                return self._healthcheck(head.rest, line)
            case "EXPOSE":
                return (self._token("WORD", piece, line) for piece in forms.items(head.rest))
            case _:
                return iter([self._token("TEXT", head.rest, line)] if head.rest.text else [])

    def _from(self, rest: Piece, line: LogicalLine) -> Iterator[Token]:
        for index, piece in enumerate(forms.items(rest)):
            yield self._token("AS" if index == 1 and piece.text.lower() == "as" else "WORD", piece, line)

    def _arguments(self, rest: Piece, line: LogicalLine) -> Iterator[Token]:
        for word in forms.shell_words(rest, self.scan.escape):
            name, value = forms.argument(word)
            yield self._token("NAME", name, line)
            if value is not None:
                yield self._token("VALUE", value, line)

    def _pairs(self, name: str, rest: Piece, line: LogicalLine) -> Iterator[Token]:
        for pair in forms.pairs(name, rest, self.scan.escape):
            yield self._token("NAME", pair.key, line)
            yield self._token("REST" if pair.legacy else "VALUE", pair.value, line)

    def _command(self, rest: Piece, line: LogicalLine) -> Iterator[Token]:
        strings = forms.json_array(rest)
        if strings is not None:
            yield from self._json(rest, strings, line)
        elif rest.text:
            yield self._token("TEXT", rest, line)
            for document in line.heredocs:
                yield self._token("HEREDOC", Piece(document.name, rest.start, rest.end), line, document)

    def _json(self, rest: Piece, strings: list[Piece], line: LogicalLine) -> Iterator[Token]:
        """Brackets, strings and commas; the text is known to be a valid array."""
        yield self._token("_LSQB", Piece("[", rest.start, rest.start + 1), line)
        for index, piece in enumerate(strings):
            if index:
                yield self._token("_COMMA", Piece(",", piece.start, piece.start), line)
            yield self._token("STRING", piece, line)
        yield self._token("_RSQB", Piece("]", rest.end - 1, rest.end), line)

    def _paths(self, name: str, rest: Piece, line: LogicalLine) -> Iterator[Token]:
        strings = forms.json_array(rest)
        if strings is not None:
            yield from self._json(rest, strings, line)
            return
        position = rest.start
        if line.heredocs:
            for marker, document in zip(heredoc.markers(line.text), line.heredocs, strict=True):
                if marker.start >= position:
                    yield from self._words(name, rest, position, marker.start, line)
                    yield self._token("HEREDOC", Piece(document.name, marker.start, marker.end), line, document)
                    position = marker.end
        yield from self._words(name, rest, position, rest.end, line)

    def _words(self, name: str, rest: Piece, start: int, end: int, line: LogicalLine) -> Iterator[Token]:
        for piece in forms.items(Piece(rest.text[start - rest.start : end - rest.start], start, end)):
            if name != "VOLUME" and "<<" in piece.text and heredoc.marker(piece.text) is not None:
                raise forms.FormError(
                    "unread-heredoc", f"{shorten(piece.text)} is not read as a here-document here", piece.start, piece.end,
                    "a quote before it is never closed, or an escape joins it to the word before",
                )  # fmt: skip
            yield self._token("WORD", piece, line)

    def _healthcheck(self, rest: Piece, line: LogicalLine) -> Iterator[Token]:
        if not rest.text:
            return
        kind, command = forms.health(rest)
        if kind.text.upper() == "NONE":
            yield self._token("NONE", kind, line)
            if command.text:
                raise forms.FormError("extra-arguments", "HEALTHCHECK NONE takes no arguments", command.start, command.end)
        elif kind.text.upper() == "CMD":
            yield self._token("CHECK", kind, line)
            yield from self._command(command, line)
        else:
            message = f"HEALTHCHECK has no form {shorten(kind.text)}"
            raise forms.FormError("unknown-check", message, kind.start, kind.end, "write CMD or NONE")

    def _unknown_instruction(self, keyword: Piece, line: LogicalLine) -> Fault:
        span = line.span(keyword.start, keyword.end)
        if not keyword.text:
            return Fault("empty-instruction", "the continued line holds no instruction", span)
        near = suggest(keyword.text.upper(), KEYWORDS)
        unread = [one for one in self.scan.warnings if one.code == "unread-heredoc" and one.span and one.span.line < span.line]
        if unread and unread[-1].span:
            help: str | None = f"line {unread[-1].span.line}: {unread[-1].message}"
        else:
            help = f"did you mean {near}?" if near else "if the line belongs to the one above, that one must end in the escape character"
        return Fault("unknown-instruction", f"there is no instruction {shorten(keyword.text)}", span, help)
