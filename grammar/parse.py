"""Bytes to the typed tree: logical lines, tokens, the LALR parser of dockerfile.lark, and errors with their place."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grammar import lines, nodes
from grammar.diagnostics import Diagnostic, DockerfileError, Fault
from grammar.lines import LogicalLine, Scan
from grammar.source import Span

if TYPE_CHECKING:
    from lark import Lark, Token

    from grammar.lexer import TokenStream

_SHAPES: dict[str, tuple[str, str | None]] = {
    "FROM": ("FROM takes an image, or an image, AS and a name", None),
    "ARG": ("ARG needs at least one name", None),
    "ENV": ("ENV needs at least one name and its value", "write ENV name=value"),
    "LABEL": ("LABEL needs at least one name and its value", "write LABEL name=value"),
    "RUN": ("RUN needs a command", None),
    "COPY": ("COPY needs at least two arguments: sources, then a destination", None),
    "ADD": ("ADD needs at least two arguments: sources, then a destination", None),
    "HEALTHCHECK": ("HEALTHCHECK needs NONE, or CMD and a command", None),
    "EXPOSE": ("EXPOSE needs at least one port", None),
    "VOLUME": ("VOLUME needs at least one path", None),
    "USER": ("USER needs exactly one argument", None),
    "WORKDIR": ("WORKDIR needs exactly one argument", None),
    "STOPSIGNAL": ("STOPSIGNAL needs exactly one argument", None),
    "MAINTAINER": ("MAINTAINER needs exactly one argument", None),
    "ONBUILD": ("ONBUILD needs an instruction", None),
    "SHELL": ("SHELL takes a JSON array of strings", 'write SHELL ["/bin/bash", "-c"]'),
}
"""What an instruction's operands must look like, said when the grammar meets others."""


def parse(text: bytes, name: str = "Dockerfile") -> nodes.Dockerfile:
    """The typed tree of a Dockerfile; raises DockerfileError."""
    scan = lines.scan(text, name)
    if not scan.lines:
        raise lines.no_instructions(scan.source)
    instructions: tuple[nodes.AnyInstruction, ...]
    instructions, warnings = _run(scan, "file")
    directives = nodes.Directives(escape=scan.escape, syntax=scan.syntax, check=scan.check)
    return nodes.Dockerfile(source=scan.source, directives=directives, instructions=instructions, warnings=(*scan.warnings, *warnings))


def parse_trigger(text: str, source_name: str) -> nodes.AnyInstruction:
    """One ONBUILD trigger as an image's configuration holds it; raises DockerfileError.

    It is a file of its own: the escape character is a backslash again, and here-documents are inside.
    """
    scan = lines.scan_text(text, source_name)
    if len(scan.lines) != 1:
        message = f"an ONBUILD trigger is one instruction, not {len(scan.lines)}"
        raise DockerfileError(Diagnostic("bad-trigger", message), scan.source)
    node: nodes.AnyInstruction = _run(scan, "trigger")[0]
    return node


@cache
def _lark() -> Lark:
    from lark import Lark

    from grammar.lexer import DockerfileLexer
    from grammar.typed import NodeBuilder

    grammar = Path(__file__).with_name("dockerfile.lark").read_text(encoding="utf-8")
    return Lark(
        grammar, start=["file", "trigger"], parser="lalr", lexer=DockerfileLexer, transformer=NodeBuilder(), maybe_placeholders=False
    )


class _Trigger:
    """The tokens of one trigger as a stream of their own."""

    def __init__(self, tokens: Sequence[Token]) -> None:
        self._tokens = tokens

    def tokens(self) -> Iterator[Token]:
        return iter(self._tokens)


def _run(scan: Scan, start: str) -> tuple[Any, list[Diagnostic]]:
    """What the grammar makes of the scan, and warnings."""
    from lark import UnexpectedToken

    from grammar.lexer import TokenStream

    def accept(tokens: Sequence[Token]) -> None:
        try:
            _lark().parse(_Trigger(tokens), start="trigger")
        except UnexpectedToken as error:
            found = _unexpected(error.token, stream, "trigger", scan.lines[-1])
            raise Fault(found.code, found.message, found.span, found.help) from error

    stream = TokenStream(scan, accept)
    try:
        return _lark().parse(stream, start=start), stream.warnings  # our lexer takes the stream
    except Fault as fault:
        raise DockerfileError(fault.diagnostic, scan.source) from fault
    except UnexpectedToken as error:
        raise DockerfileError(_unexpected(error.token, stream, start, scan.lines[-1]), scan.source) from error


def _unexpected(token: Token, stream: TokenStream, start: str, last: LogicalLine) -> Diagnostic:
    """What to say where the grammar cannot go on."""
    span = Span(token.line or 1, token.column or 1, token.end_line or 1, token.end_column or 1)
    if token.type == "$END":
        return Diagnostic("no-stages", "the Dockerfile has no stage", last.span(0, len(last.text)), "begin a stage with FROM")
    if token.type == stream.instruction and token.start_pos is not None and not isinstance(token.value, str):
        if start == "trigger" or stream.outer:
            return Diagnostic("bad-trigger", f"{token.type} cannot be an ONBUILD trigger", span)
        return Diagnostic("no-stage", f"{token.type} stands before the first FROM", span, "only ARG can stand there")
    message, help = _SHAPES[stream.instruction]
    if token.type == "_EOL":
        whole = span
        return Diagnostic("missing-arguments", message, whole, help)
    return Diagnostic("bad-arguments", message, span, help)
