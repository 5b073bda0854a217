"""Against the data of BuildKit's own tests, read from the oracle folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from grammar.diagnostics import DockerfileError
from grammar.tree import dump
from grammar.words import ExpansionError, expand, split

ENVIRONMENT = {"PWD": "/home", "SHELL": "bash", "KOREAN": "한국어", "NULL": ""}


def test_parser_accepts_what_buildkit_accepts_and_makes_the_same_tree(oracles: Path) -> None:
    cases = sorted((oracles / "parser/accept").iterdir())
    got = {case.name: dump((case / "Dockerfile").read_bytes()) for case in cases}
    wanted = {case.name: (case / "result").read_text(encoding="utf-8").rstrip("\n") for case in cases}
    assert len(wanted) == 33
    assert got == wanted


def test_parser_refuses_what_buildkit_refuses_with_a_line_number(oracles: Path) -> None:
    refused: dict[str, int] = {}
    for case in sorted((oracles / "parser/reject").iterdir()):
        with pytest.raises(DockerfileError) as caught:
            dump((case / "Dockerfile").read_bytes())
        assert caught.value.diagnostic.span is not None
        refused[case.name] = caught.value.diagnostic.span.line
    assert refused == {"empty_dockerfile": 1, "env_no_value": 3, "only_comments": 3, "shykes-nested-json": 1}


def test_words_expand_as_in_buildkit(oracles: Path) -> None:
    rows = 0
    wrong: list[tuple[str, str, str]] = []
    for line in (oracles / "words/envVarTest").read_text(encoding="utf-8").splitlines():
        if line.startswith("#") or not line.strip():
            continue
        platform, word, wanted = (part.strip() for part in line.split("|"))
        if platform == "W":
            continue
        rows += 1
        try:
            got = expand(word, ENVIRONMENT).text
        except ExpansionError:
            got = "error"
        if got != wanted:
            wrong.append((word, wanted, got))
    assert wrong == []
    assert rows > 220


def test_lines_split_into_words_as_in_buildkit(oracles: Path) -> None:
    environment: dict[str, str] = {}
    rows = 0
    for line in (oracles / "words/wordsTest").read_text(encoding="utf-8").split("\n"):
        if line.startswith("ENV "):
            name, _, value = line[3:].lstrip(" ").partition("=")
            environment[name] = value
            continue
        if line.startswith("#") or not line:
            continue
        rows += 1
        text, _, wanted = line.partition("|")
        try:
            got = split(text.strip(), environment)
        except ExpansionError:
            got = ["error"]
        assert got == wanted.lstrip(" ").split(","), line
    assert rows > 20
