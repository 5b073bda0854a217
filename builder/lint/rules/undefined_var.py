"""A variable that nobody has set is replaced by nothing."""

from __future__ import annotations

from collections.abc import Iterator

from builder.lint.rule import Finding, Rule
from builder.lint.view import View
from grammar.diagnostics import suggest


def check(view: View) -> Iterator[Finding]:
    """Silent in stages whose base image is not known: its environment may have the name."""
    for stage, step in view.steps():
        if stage.base is None:
            continue
        for missing in step.missing:
            near = suggest(missing.name, sorted({*step.env, *step.declared}))
            if near is not None:
                help = f"did you mean `${near}`?"
            elif missing.name in view.global_names:
                help = f"a global ARG must be declared in the stage: ARG {missing.name}"
            else:
                help = None
            message = f"`${missing.name}` is set by no ARG or ENV before this line"
            yield Finding(message, missing.span, help, stage.index)


RULE = Rule("UndefinedVar", "variables are defined before their use", "declare it with ARG or ENV above", check)
