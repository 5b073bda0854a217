"""Only the last CMD, ENTRYPOINT and HEALTHCHECK of a stage counts."""

from __future__ import annotations

from collections.abc import Iterator

from builder.lint.rule import Finding, Rule
from builder.lint.view import View
from grammar.nodes import AnyInstruction, Cmd, Entrypoint, Healthcheck


def check(view: View) -> Iterator[Finding]:
    """Reported at the earlier ones, which are those without effect."""
    for stage in view.stages:
        last: dict[type[AnyInstruction], AnyInstruction] = {}
        for step in stage.steps:
            if not isinstance(step.node, (Cmd, Entrypoint, Healthcheck)):
                continue
            earlier = last.get(type(step.node))
            if earlier is not None:
                word = earlier.keyword.upper()
                message = f"this {word} has no effect: line {step.node.span.line} sets another one"
                yield Finding(message, earlier.span, stage=stage.index)
            last[type(step.node)] = step.node


RULE = Rule("MultipleInstructionsDisallowed", "one CMD, ENTRYPOINT and HEALTHCHECK a stage", "keep the last one only", check)
