"""`scratch` and `context` already mean something."""

from __future__ import annotations

from collections.abc import Iterator

from builder.lint.rule import Finding, Rule
from builder.lint.view import View

RESERVED = ("context", "scratch")


def check(view: View) -> Iterator[Finding]:
    for stage in view.stages:
        alias = stage.stage.begin.alias
        if alias is not None and stage.stage.name in RESERVED:
            yield Finding(f"`{stage.stage.name}` is a reserved word and no name for a stage", alias.span)


RULE = Rule("ReservedStageName", "reserved words are no stage names", "call the stage something else than scratch or context", check)
