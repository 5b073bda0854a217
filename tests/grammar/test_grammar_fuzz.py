"""Whatever the text: a tree or a typed error, soon. `make prove` (LAYERWRIGHT_PROVE=1) looks a hundred times longer.

LAYERWRIGHT_FUZZ gives the number of examples of a whole Dockerfile; words, flags and arrays get as many.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from typing import TypeVar

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from grammar import forms, nodes
from grammar.diagnostics import DockerfileError, render
from grammar.durations import DurationError, parse_duration
from grammar.flags import FlagError, parse_mount
from grammar.forms import FormError, Piece
from grammar.parse import parse, parse_trigger
from grammar.tree import dump
from grammar.words import Expanded, ExpansionError, expand, expand_heredoc, raw_words, split

EXAMPLES = int(os.environ.get("LAYERWRIGHT_FUZZ") or (200_000 if os.environ.get("LAYERWRIGHT_PROVE") else 2_000))

pytestmark = pytest.mark.timeout(3600)
fuzz = settings(max_examples=EXAMPLES // 5, deadline=60_000, database=None, suppress_health_check=list(HealthCheck))
"""Five tests share the examples."""

PIECES = (
    *"FROM RUN COPY ADD ENV LABEL ARG ONBUILD HEALTHCHECK CMD VOLUME SHELL EXPOSE USER AS".replace(" ", " \n").split("\n"),
    *"FROM a\n|--mount=|--from=|--link|--|-|--interval=5s |NONE|type=cache,|target=/x|a|b=c|é|한|$|${|}|$A|${A:-|${A#|${A//".split("|"),
    *'/ : ? * % \\ ` \' " [ ] , ["a" "b"] [1] null <<EOF <<-A <<\'B\' EOF\n A\n \tA\n B\n < # = | & 0 1h // {'.split(" "),
    *("# escape=`\n", "# check=skip=all\n", "# syntax=x\n", "\n", "\r\n", "\\\n", "`\n", " ", "\t", "\v", "\x00", "\x85", "\xa0"),
    *("\u2028", "\x1c", "\ufeff", "\ud800", "\x1b", "\U0001f600"),
)

texts = st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=3)), max_size=30).map("".join)
ENV = {"A": "one two", "B": "", "C": "*x?", "D": "'\"\\$"}
T = TypeVar("T")


def attempt(call: Callable[[], T], *errors: type[Exception]) -> T | Exception:
    """The result, or the typed error; any other exception is the test's failure."""
    try:
        return call()
    except errors as error:
        return error


def encode(text: str) -> bytes:
    """Half surrogate pairs become bytes that are no UTF-8."""
    return text.encode("utf-8", "surrogatepass")


@fuzz
@given(st.one_of(texts.map(encode), st.tuples(st.just(b"FROM a\n"), texts.map(encode)).map(b"".join), st.binary(max_size=60)))
def test_any_file(data: bytes) -> None:
    tree = attempt(lambda: dump(data), DockerfileError)
    assert isinstance(tree, Exception) or tree.startswith("(")
    parsed = attempt(lambda: parse(data), DockerfileError)
    if isinstance(parsed, nodes.Dockerfile):
        assert isinstance(tree, str), "the raw tree accepts more"
        assert msgspec.msgpack.decode(msgspec.msgpack.encode(parsed), type=nodes.Dockerfile) == parsed
        for node in parsed.instructions:
            check_node(node, parsed)
        return
    assert isinstance(parsed, DockerfileError)
    assert parsed.diagnostic.span is not None
    assert render(parsed.diagnostic, parsed.source).startswith(f"error[{parsed.diagnostic.code}]: ")


def check_node(node: nodes.AnyInstruction, parsed: nodes.Dockerfile) -> None:
    lines = parsed.source.lines
    assert 1 <= node.span.line <= node.span.end_line <= len(lines)
    place = node.keyword_span
    assert lines[place.line - 1][place.column - 1 : place.end_column - 1] == node.keyword
    if isinstance(node, nodes.Onbuild) and parsed.directives.escape == "\\" and node.parsed is not None:
        assert type(parse_trigger(node.trigger, "base")) is type(node.parsed)


@fuzz
@given(texts)
def test_any_word(word: str) -> None:
    for escape in "\\`":
        value = attempt(lambda escape=escape: expand(word, ENV, escape), ExpansionError)  # type: ignore[misc]
        if isinstance(value, Expanded):
            assert not set(ENV) & set(value.unset)
            assert set(value.used) <= set(ENV)
    whole, parts = attempt(lambda: expand(word, ENV), ExpansionError), attempt(lambda: split(word, ENV), ExpansionError)
    assert isinstance(whole, Exception) == isinstance(parts, Exception)
    if isinstance(whole, Expanded) and isinstance(parts, list):
        assert all(parts)
        assert sum(map(len, parts)) <= len(whole.text)
    body = attempt(lambda: expand_heredoc(word, ENV), ExpansionError)
    assert isinstance(body, Expanded) or "$" in word
    raw = attempt(lambda: raw_words(word), ExpansionError)
    assert isinstance(raw, Exception) or all(0 <= one.start < one.end <= len(word) for one in raw)


@fuzz
@given(texts)
def test_any_array(text: str) -> None:
    rest = forms.trimmed(text, 0)
    pieces = attempt(lambda: forms.json_array(rest), FormError)
    if isinstance(pieces, FormError):
        assert pieces.code == "json-not-strings"
    elif isinstance(pieces, list):
        items = [re.sub("[\ud800-\udfff]", "\ufffd", item) for item in json.loads(rest.text)]
        assert [piece.text for piece in pieces] == items
        assert all(text[piece.start] == '"' == text[piece.end - 1] for piece in pieces)


@fuzz
@given(st.lists(st.text(max_size=5), max_size=5), st.sampled_from(["", " ", "\n", " \t"]))
def test_arrays_of_strings_are_read_back(items: list[str], blank: str) -> None:
    text = f"[{blank}" + f"{blank},{blank}".join(map(json.dumps, items)) + f"{blank}]"
    pieces = forms.json_array(Piece(text, 0, len(text)))
    assert pieces is not None
    assert [piece.text for piece in pieces] == items


@fuzz
@given(texts)
def test_any_flag_and_operand(text: str) -> None:
    head = forms.head(f"RUN {text}")
    assert all(flag.text.startswith("--") for flag in head.flags)
    assert head.rest.end <= len(text) + 4
    for escape in "\\`":
        words = forms.shell_words(head.rest, escape)
        assert all(head.rest.start <= word.start < word.end <= head.rest.end for word in words)
        pairs = attempt(lambda escape=escape: forms.pairs("ENV", head.rest, escape), FormError)  # type: ignore[misc]
        assert isinstance(pairs, Exception) or all(pair.key.text for pair in pairs)
    mount = attempt(lambda: parse_mount(text, lambda value: expand(value, ENV).text), FlagError, ExpansionError)
    assert isinstance(mount, Exception) or mount.type in ("bind", "cache", "tmpfs", "secret", "ssh")
    duration = attempt(lambda: parse_duration(text), DurationError)
    assert isinstance(duration, Exception) or abs(duration) <= 1 << 63
