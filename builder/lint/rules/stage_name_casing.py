"""Stage names are compared without regard to case; lower case says so."""

from __future__ import annotations

from collections.abc import Iterator

from builder.lint.rule import Finding, Rule
from builder.lint.view import View


def check(view: View) -> Iterator[Finding]:
    for stage in view.stages:
        alias = stage.stage.begin.alias
        if alias is not None and alias.text != alias.text.lower():
            yield Finding(f"the stage name `{alias.text}` has upper-case letters", alias.span, f"call it `{alias.text.lower()}`")


RULE = Rule("StageNameCasing", "stage names are lower-case", "write the stage name in lower case", check)
