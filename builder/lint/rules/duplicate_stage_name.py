"""Two stages of one name: FROM binds to the newest above it, COPY --from to the last of the file."""

from __future__ import annotations

from collections.abc import Iterator

from builder.lint.rule import Finding, Rule
from builder.lint.view import View


def check(view: View) -> Iterator[Finding]:
    seen: dict[str, int] = {}
    for stage in view.stages:
        alias = stage.stage.begin.alias
        if alias is None:
            continue
        name = stage.stage.name
        if name in seen:
            yield Finding(f"a stage `{name}` is there already (line {seen[name]})", alias.span)
        seen.setdefault(name, stage.stage.begin.span.line)


RULE = Rule("DuplicateStageName", "stage names are unique", "give each stage a name of its own", check)
