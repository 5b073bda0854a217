"""FROM and its AS are cased alike."""

from __future__ import annotations

from collections.abc import Iterator

from builder.lint.rule import Finding, Rule
from builder.lint.view import View


def check(view: View) -> Iterator[Finding]:
    for stage in view.stages:
        begin = stage.stage.begin
        if begin.as_keyword is None:
            continue
        if begin.keyword == begin.keyword.lower():
            right = begin.as_keyword.text.lower()
        elif begin.keyword == begin.keyword.upper():
            right = begin.as_keyword.text.upper()
        else:
            continue  # a FROM of mixed case is ConsistentInstructionCasing's
        if begin.as_keyword.text != right:
            yield Finding(f"`{begin.as_keyword.text}` is cased unlike its `{begin.keyword}`", begin.as_keyword.span, f"write `{right}`")


RULE = Rule("FromAsCasing", "AS is cased like its FROM", "case AS as the FROM before it", check)
