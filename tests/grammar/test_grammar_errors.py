"""Errors of the parser, as data: testdata/grammar/errors.txt says on which line, where in it, and what is said."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from grammar.diagnostics import DockerfileError, render
from grammar.parse import parse

CASES = Path(__file__).resolve().parents[2] / "testdata/grammar/errors.txt"
MARK = re.compile(r"( *)(\^+) ([a-z0-9-]+): (.*)")
CHARACTERS = {"<TAB>": "\t", "<NUL>": "\0", "<BOM>": "\ufeff"}


def read_cases() -> list[tuple[str, list[str]]]:
    """Name and lines of each case."""
    parts = re.split(r"^-{80}\n", CASES.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    return [(name, lines) for name, *lines in (part.removesuffix("\n").split("\n") for part in parts)]


@pytest.mark.parametrize("lines", [pytest.param(lines, id=name) for name, lines in read_cases()])
def test_refused(lines: list[str]) -> None:
    number, mark = next((index, match) for index, line in enumerate(lines) if (match := MARK.fullmatch(line)))
    text = "\n".join([*lines[:number], *lines[number + 1 :]]) + "\n"
    for name, character in CHARACTERS.items():
        text = text.replace(name, character)

    with pytest.raises(DockerfileError) as caught:
        parse(text.encode())

    diagnostic = caught.value.diagnostic
    message, _, help = mark[4].partition(" | ")
    assert (diagnostic.code, diagnostic.message) == (mark[3], message)
    assert help in ("", diagnostic.help)
    assert diagnostic.span is not None
    assert diagnostic.span.line == number
    assert diagnostic.span.column == len(mark[1]) + 1
    drawn = render(diagnostic, caught.value.source).split("\n")
    assert drawn[1].strip() == f"--> Dockerfile:{number}:{len(mark[1]) + 1}"
    assert drawn[4].endswith(f" | {mark[1]}{mark[2]}")


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "empty-file"),
        (b"\n  \n", "no-instructions"),
        (b"# just\n# comments\n", "no-instructions"),
        (b"\xef\xbb\xbf", "no-instructions"),
        ("FROM alpine".encode("utf-16"), "not-utf-8"),
        (b"FROM alpine\nRUN echo \xe9\n", "not-utf-8"),
        (b"FROM alpine\nRUN cat <<EOF\n\xe9\nEOF\n", "not-utf-8"),
        (b"FROM alpine\nRUN cat <<EOF\n\0\nEOF\n", "nul-byte"),
        (b"FROM alpine\nRUN echo " + b"x" * 65527, "line-too-long"),
    ],
)
def test_refused_as_a_whole(data: bytes, code: str) -> None:
    with pytest.raises(DockerfileError) as caught:
        parse(data)
    assert caught.value.diagnostic.code == code
    assert caught.value.diagnostic.span is not None


def test_bytes_that_are_no_utf8_are_welcome_in_comments() -> None:
    assert len(parse(b"# caf\xe9\nFROM alpine\nRUN a \\\n# \xe9\n b\n").instructions) == 2


def test_a_long_line_is_shown_in_part_and_without_control_characters() -> None:
    with pytest.raises(DockerfileError) as caught:
        parse(b"FROM alpine\nRUN --nope=\x1b[31m" + b"x" * 60000)
    drawn = render(caught.value.diagnostic, caught.value.source)
    assert "\x1b" not in drawn
    assert max(map(len, drawn.split("\n"))) < 250
