"""The raw tree of a Dockerfile as text: instructions, flags and arguments before any typed check.

A node is its lower-case name, its flags as a Go string list, its arguments as Go strings; what ONBUILD holds
stands in parentheses. It accepts more than parse() does: unknown instructions and flags, missing arguments.
"""

from __future__ import annotations

from grammar import forms, lines
from grammar.diagnostics import Diagnostic, DockerfileError
from grammar.forms import FormError, Head, Piece
from grammar.gostrings import quote, quote_list

MAX_ONBUILD = 100
"""ONBUILD ONBUILD …: parse() refuses the second already."""


def dump(text: bytes, name: str = "Dockerfile") -> str:
    """The raw tree, one instruction a line; raises DockerfileError."""
    scan = lines.scan(text, name)
    if not scan.lines:
        raise lines.no_instructions(scan.source)
    dumped: list[str] = []
    for line in scan.lines:
        try:
            dumped.append(_instruction(line.text, scan.escape))
        except FormError as error:
            span = line.span(error.start, error.end)
            raise DockerfileError(Diagnostic(error.code, error.message, span, error.help), scan.source) from error
    return "\n".join(dumped)


def _instruction(text: str, escape: str) -> str:
    opened: list[str] = []
    head = forms.head(text)
    while head.keyword.text.lower() == "onbuild" and head.rest.text:
        opened.append(_shown(head, []) + " ")
        if len(opened) > MAX_ONBUILD:
            raise FormError("bad-trigger", "ONBUILD cannot be an ONBUILD trigger", head.rest.start, head.rest.end)
        head = forms.head(text, head.rest.start)
    return "".join(opened) + _shown(head, _arguments(head, escape)) + ")" * (len(opened) + 1)


def _shown(head: Head, arguments: list[str]) -> str:
    flags = [quote_list(flag.text for flag in head.flags)] if head.flags else []
    return "(" + " ".join([head.keyword.text.lower(), *flags, *map(quote, arguments)])


def _arguments(head: Head, escape: str) -> list[str]:
    name, rest = head.keyword.text.upper(), head.rest
    match name:
        case "FROM" | "EXPOSE":
            return [piece.text for piece in forms.items(rest)]
        case "ARG":
            return [piece.text for piece in forms.shell_words(rest, escape)]
        case "ENV" | "LABEL":
            pairs = forms.pairs(name, rest, escape)
            return [text for pair in pairs for text in (pair.key.text, pair.value.text, "" if pair.legacy else "=")]
        case "RUN" | "CMD" | "ENTRYPOINT" | "SHELL":
            return _command(rest)
        case "COPY" | "ADD" | "VOLUME":
            strings = forms.json_array(rest)
            return [piece.text for piece in (forms.items(rest) if strings is None else strings)]
        case "HEALTHCHECK":
            kind, command = forms.health(rest)
            return [kind.text, *_command(command)] if kind.text else []
        case "MAINTAINER" | "STOPSIGNAL" | "USER" | "WORKDIR" | "ONBUILD":
            return [rest.text] if rest.text else []
        case _:
            return [""]


def _command(rest: Piece) -> list[str]:
    strings = forms.json_array(rest)
    if strings is not None:
        return [piece.text for piece in strings]
    return [rest.text] if rest.text else []
