"""FROM may use global ARGs only, and one that nobody declared is empty."""

from __future__ import annotations

from collections.abc import Iterator

from builder.lint.rule import Finding, Rule
from builder.lint.view import View
from grammar.diagnostics import suggest


def check(view: View) -> Iterator[Finding]:
    for stage in view.stages:
        begin = stage.stage.begin
        for word in (begin.image, begin.platform):
            made = view.expand(word, view.global_env) if word is not None else None
            if word is None or made is None:
                continue
            for name in made.unset:
                if name not in view.global_names:
                    near = suggest(name, sorted(view.global_names))
                    yield Finding(
                        f"FROM uses `{name}`, which no ARG before the first FROM declares",
                        word.span,
                        f"did you mean `{near}`?" if near else None,
                    )


RULE = Rule("UndefinedArgInFrom", "FROM uses declared ARGs", "declare it with ARG above the first FROM", check)
