"""Reports, outline and targets: whole outputs."""

from __future__ import annotations

import json

import pytest

from builder.errors import UsageError
from builder.lint.check import lint
from builder.lint.facts import LintFacts
from builder.lint.outline import outline, outline_json, outline_text, targets, targets_text
from builder.lint.report import json_report, text_report
from grammar.parse import parse

TEXT = b"""\
# check=error=true
# BASE the image to build on
ARG BASE=debian:bookworm

# build compiles the program
FROM ${BASE} AS build
# VERSION of the program
ARG VERSION=1.0
RUN --mount=type=secret,id=token,required=true --mount=type=cache,target=/var/cache true
FROM scratch as final
COPY --from=build /x /x
RUN --mount=type=ssh true
"""


def test_text_report() -> None:
    assert text_report(lint(parse(TEXT, "Dockerfile"))) == (
        "warning[FromAsCasing]: `as` is cased unlike its `FROM`\n"
        "  --> Dockerfile:10:14\n"
        "   |\n"
        "10 | FROM scratch as final\n"
        "   |              ^^\n"
        "   = help: write `AS`\n"
        "   = page: docs/checks/FromAsCasing.md\n"
        "\n"
        "Check complete, 1 warning found.\n"
    )
    assert text_report(lint(parse(b"FROM scratch\n"))) == "Check complete, no warnings found.\n"


def test_json_report() -> None:
    rows = json.loads(json_report(lint(parse(TEXT, "Dockerfile"))))
    assert rows["warnings"] == [
        {
            "ruleName": "FromAsCasing",
            "description": "AS is cased like its FROM",
            "url": "https://docs.docker.com/go/dockerfile/rule/from-as-casing/",
            "detail": "`as` is cased unlike its `FROM`",
            "location": {"ranges": [{"start": {"line": 10}, "end": {"line": 10}}]},
        }
    ]
    assert rows["sources"][0]["filename"] == "Dockerfile"
    assert rows["buildError"]["message"] == "lint violation found for rules: FromAsCasing"
    assert json.loads(json_report(lint(parse(b"FROM scratch\n"))))["warnings"] == []


def test_outline_text() -> None:
    assert outline_text(outline(parse(TEXT), None, LintFacts(build_args={"VERSION": "2.0"}))) == (
        "TARGET:   final\n"
        "\n"
        "BUILD ARG   VALUE             DESCRIPTION\n"
        "BASE        debian:bookworm   the image to build on\n"
        "VERSION     2.0               of the program\n"
        "\n"
        "SECRET   REQUIRED\n"
        "token    true\n"
        "\n"
        "SSH       REQUIRED\n"
        "default\n"
        "\n"
        "CACHE MOUNT\n"
        "/var/cache\n"
    )


def test_outline_of_one_stage() -> None:
    rows = json.loads(outline_json(outline(parse(TEXT), "build")))
    assert (rows["name"], rows["description"]) == ("build", "compiles the program")
    assert [row["name"] for row in rows["args"]] == ["BASE", "VERSION"]
    assert rows["secrets"] == [{"name": "token", "required": True, "location": {"ranges": [{"start": {"line": 9}, "end": {"line": 9}}]}}]
    assert "ssh" not in rows
    with pytest.raises(UsageError, match="biuld"):
        outline(parse(TEXT), "biuld")


def test_targets() -> None:
    rows = targets(parse(TEXT))
    assert targets_text(rows) == "TARGET            DESCRIPTION\nbuild             compiles the program\nfinal (default)\n"
    assert [row.base for row in rows.targets] == ["${BASE}", "scratch"]
    assert targets_text(targets(parse(b"FROM scratch\n"))) == "TARGET      DESCRIPTION\n(default)\n"
