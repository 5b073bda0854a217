"""From the rules of dockerfile.lark to the nodes of nodes.py, with the checks that need an instruction's meaning."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, TypedDict, TypeVar

from lark import Token, Transformer

from grammar import nodes
from grammar.diagnostics import Fault, shorten
from grammar.durations import DurationError, format_duration, parse_duration
from grammar.heredoc import shell_form
from grammar.lexer import Opening
from grammar.source import Span

Children = list[Any]
N = TypeVar("N")

MIN_INTERVAL = 1_000_000
"""container.MinimumDuration: 1ms."""

_STAGE_NAME = re.compile(r"[a-z][a-z0-9\-_.]*")
_INTEGER = re.compile(r"[+-]?[0-9]{1,10}", re.ASCII)


class _Json(tuple[nodes.Word, ...]):
    """The strings of a JSON form."""


class _Common(TypedDict):
    keyword: str
    span: Span
    keyword_span: Span
    text: str
    comments: tuple[nodes.Word, ...]


class _TransferFields(_Common):
    sources: tuple[nodes.Word, ...]
    destination: nodes.Word
    heredocs: tuple[nodes.Heredoc, ...]
    json_form: bool
    chown: nodes.Word | None
    chmod: nodes.Word | None
    link: bool
    excludes: tuple[nodes.Word, ...]


def span_of(token: Token) -> Span:
    """Where a token stands."""
    return Span(token.line or 1, token.column or 1, token.end_line or 1, token.end_column or 1)


def _word(token: Token) -> nodes.Word:
    return nodes.Word(str(token), span_of(token))


def _opening(children: Children) -> Opening:
    opening = children[0].value
    assert isinstance(opening, Opening)
    return opening


def _common(children: Children) -> _Common:
    opening = _opening(children)
    return _Common(
        keyword=opening.keyword, span=opening.span, keyword_span=span_of(children[0]), text=opening.text, comments=opening.comments
    )


def _all(children: Children, kind: type[N]) -> tuple[N, ...]:
    return tuple(child for child in children if isinstance(child, kind))


def _tokens(children: Children, kind: str) -> list[Token]:
    return [child for child in children if isinstance(child, Token) and child.type == kind]


class _Flags:
    """The checked flags of an instruction, by name."""

    def __init__(self, children: Children) -> None:
        self.given: dict[str, list[nodes.Word]] = {}
        for token in _tokens(children, "FLAG"):
            name, _, value = str(token).partition("=")
            self.given.setdefault(name, []).append(nodes.Word(value, span_of(token)))

    def get(self, name: str) -> nodes.Word | None:
        """None also for an empty value: Go cannot tell `--from=` from no flag."""
        word = self.given[name][0] if name in self.given else None
        return word if word is not None and word.text else None

    def all(self, name: str) -> tuple[nodes.Word, ...]:
        return tuple(self.given.get(name, ()))

    def boolean(self, name: str) -> bool | None:
        word = self.get(name)
        return None if word is None else word.text == "true"


def _no_nul(texts: Sequence[str], span: Span) -> None:
    if any("\0" in text for text in texts):
        raise Fault("nul-byte", "a path or an argument cannot hold a NUL byte", span)


def _command(children: Children) -> nodes.Command | None:
    """The JSON or shell form among an instruction's children."""
    for child in children:
        if isinstance(child, _Json):
            return nodes.ExecForm(tuple(word.text for word in child))
    texts = _tokens(children, "TEXT")
    if not texts:
        return None
    return shell_form(str(texts[0]), tuple(token.value for token in _tokens(children, "HEREDOC")))


def _plain_name(document: nodes.Heredoc) -> None:
    if "/" in document.name or document.name in (".", ".."):
        raise Fault("heredoc-name", f"the here-document {shorten(document.name)!r} cannot be a file's name", document.span)


class NodeBuilder(Transformer[Token, Any]):
    """One method a rule of dockerfile.lark; raises Fault."""

    def file(self, children: Children) -> tuple[nodes.AnyInstruction, ...]:
        return tuple(children)

    def trigger(self, children: Children) -> nodes.AnyInstruction:
        node: nodes.AnyInstruction = children[0]
        return node

    def json(self, children: Children) -> _Json:
        return _Json(_word(token) for token in children)

    def argument(self, children: Children) -> nodes.Pair:
        return nodes.Pair(_word(children[0]), _word(children[1]) if len(children) > 1 else None)

    def pair(self, children: Children) -> nodes.Pair:
        return nodes.Pair(_word(children[0]), _word(children[1]))

    def legacy(self, children: Children) -> nodes.Pair:
        return nodes.Pair(_word(children[0]), _word(children[1]), legacy=True)

    def arg(self, children: Children) -> nodes.Arg:
        return nodes.Arg(**_common(children), pairs=_all(children, nodes.Pair))

    def env(self, children: Children) -> nodes.Env:
        return nodes.Env(**_common(children), pairs=_all(children, nodes.Pair))

    def label(self, children: Children) -> nodes.Label:
        return nodes.Label(**_common(children), pairs=_all(children, nodes.Pair))

    def expose(self, children: Children) -> nodes.Expose:
        return nodes.Expose(**_common(children), ports=tuple(sorted(map(_word, children[1:]), key=lambda word: word.text)))

    def user(self, children: Children) -> nodes.User:
        return nodes.User(**_common(children), user=_word(children[1]))

    def workdir(self, children: Children) -> nodes.Workdir:
        return nodes.Workdir(**_common(children), path=_word(children[1]))

    def stopsignal(self, children: Children) -> nodes.Stopsignal:
        return nodes.Stopsignal(**_common(children), signal=_word(children[1]))

    def maintainer(self, children: Children) -> nodes.Maintainer:
        return nodes.Maintainer(**_common(children), name=_word(children[1]))

    def onbuild(self, children: Children) -> nodes.Onbuild:
        parsed = None if isinstance(children[1], Token) else children[1]
        return nodes.Onbuild(**_common(children), trigger=_opening(children).trigger, parsed=parsed)

    def from_(self, children: Children) -> nodes.From:
        image, *aliases = _tokens(children, "WORD")
        alias = _word(aliases[0]) if aliases else None
        if alias is not None and not _STAGE_NAME.fullmatch(alias.text.lower()):
            message = f"{shorten(alias.text)!r} cannot name a stage"
            raise Fault("bad-stage-name", message, alias.span, "a name begins with a letter; letters, digits, '-', '_' and '.' follow")
        as_words = _tokens(children, "AS")
        return nodes.From(
            **_common(children),
            image=_word(image),
            platform=_Flags(children).get("platform"),
            alias=alias,
            as_keyword=_word(as_words[0]) if as_words else None,
        )

    def run(self, children: Children) -> nodes.Run:
        command = _command(children)
        assert command is not None
        span = span_of(children[0])
        if isinstance(command, nodes.ExecForm) and not command.args:
            raise Fault("missing-arguments", "RUN needs a command", span, "the array is empty")
        _no_nul(command.args if isinstance(command, nodes.ExecForm) else (command.text,), span)
        if isinstance(command, nodes.ShellForm) and command.script:
            _plain_name(command.heredocs[0])
        flags = _Flags(children)
        return nodes.Run(
            **_common(children),
            command=command,
            mounts=flags.all("mount"),
            network=flags.get("network"),
            security=flags.get("security"),
            devices=flags.all("device"),
        )

    def cmd(self, children: Children) -> nodes.Cmd:
        return nodes.Cmd(**_common(children), command=_command(children) or nodes.ShellForm(""))

    def entrypoint(self, children: Children) -> nodes.Entrypoint:
        return nodes.Entrypoint(**_common(children), command=_command(children) or nodes.ShellForm(""))

    def copy(self, children: Children) -> nodes.Copy:
        flags = _Flags(children)
        return nodes.Copy(**_transfer(children, flags), from_=flags.get("from"), parents=bool(flags.boolean("parents")))

    def add(self, children: Children) -> nodes.Add:
        flags = _Flags(children)
        return nodes.Add(
            **_transfer(children, flags),
            checksum=flags.get("checksum"),
            keep_git_dir=flags.boolean("keep-git-dir"),
            unpack=flags.boolean("unpack"),
        )

    def volume(self, children: Children) -> nodes.Volume:
        arrays = _all(children, _Json)
        words = arrays[0] if arrays else tuple(map(_word, children[1:]))
        if not words:
            raise Fault("missing-arguments", "VOLUME needs at least one path", span_of(children[0]))
        _no_nul([word.text for word in words], span_of(children[0]))
        for word in words:
            if not word.text.strip():
                raise Fault("empty-volume", "a VOLUME cannot be an empty path", word.span)
        paths = tuple(nodes.Word(word.text.strip(), word.span) for word in words)
        return nodes.Volume(**_common(children), paths=paths, json_form=bool(arrays))

    def shell(self, children: Children) -> nodes.Shell:
        args = tuple(word.text for word in children[1])
        if not args:
            raise Fault("missing-arguments", "SHELL needs at least one argument", span_of(children[0]))
        _no_nul(args, span_of(children[0]))
        return nodes.Shell(**_common(children), args=args)

    def healthcheck(self, children: Children) -> nodes.Healthcheck:
        if _tokens(children, "NONE"):
            return nodes.Healthcheck(**_common(children), command=None)
        command = _command(children)
        if isinstance(command, nodes.ExecForm) and not command.args:
            raise Fault("missing-arguments", "HEALTHCHECK CMD needs a command", span_of(children[0]), "the array is empty")
        flags = _Flags(children)
        return nodes.Healthcheck(
            **_common(children),
            command=command,
            interval=_interval("interval", flags.get("interval")),
            timeout=_interval("timeout", flags.get("timeout")),
            start_period=_interval("start-period", flags.get("start-period")),
            start_interval=_interval("start-interval", flags.get("start-interval")),
            retries=_retries(flags.get("retries")),
        )


# A rule may be called `from`, a method may not.
setattr(NodeBuilder, "from", NodeBuilder.from_)


def _transfer(children: Children, flags: _Flags) -> _TransferFields:
    name = children[0].type
    arrays = _all(children, _Json)
    operands: list[nodes.Word | nodes.Heredoc] = list(arrays[0]) if arrays else []
    for token in children:
        if isinstance(token, Token) and token.type in ("WORD", "HEREDOC"):
            operands.append(token.value if token.type == "HEREDOC" else _word(token))
    if len(operands) < 2:
        raise missing_destination(name, span_of(children[0]))
    *sources, destination = operands
    if isinstance(destination, nodes.Heredoc):
        raise Fault("heredoc-destination", f"{name} cannot have a here-document as its destination", destination.span)
    _no_nul([operand.text for operand in operands if isinstance(operand, nodes.Word)], span_of(children[0]))
    heredocs = _all(sources, nodes.Heredoc)
    for document in heredocs:
        _plain_name(document)
    return _TransferFields(
        **_common(children),
        sources=_all(sources, nodes.Word),
        destination=destination,
        heredocs=heredocs,
        json_form=bool(arrays),
        chown=flags.get("chown"),
        chmod=flags.get("chmod"),
        link=bool(flags.boolean("link")),
        excludes=flags.all("exclude"),
    )


def missing_destination(name: str, span: Span) -> Fault:
    """COPY or ADD with fewer than two operands."""
    return Fault("missing-arguments", f"{name} needs at least two arguments: sources, then a destination", span)


def _interval(name: str, word: nodes.Word | None) -> int | None:
    if word is None:
        return None
    try:
        value = parse_duration(word.text)
    except DurationError as error:
        raise Fault("bad-duration", f"--{name}: {shorten(str(error), 120)}", word.span, "write a duration such as 30s or 1m30s") from error
    if value != 0 and value < MIN_INTERVAL:
        raise Fault("bad-duration", f"--{name} cannot be less than {format_duration(MIN_INTERVAL)}", word.span)
    return value


def _retries(word: nodes.Word | None) -> int | None:
    if word is None:
        return None
    if not _INTEGER.fullmatch(word.text) or not -(1 << 31) <= int(word.text) < 1 << 31:
        raise Fault("bad-retries", f"--retries is a whole number, not {shorten(word.text)!r}", word.span)
    if int(word.text) < 0:
        raise Fault("bad-retries", f"--retries cannot be negative ({shorten(word.text)})", word.span)
    return int(word.text)
