"""An ARG after an ENV of the same name: the build sees the ARG, the image keeps the ENV."""

from __future__ import annotations

from collections.abc import Iterator

from builder.lint.rule import Finding, Rule
from builder.lint.view import View
from grammar.nodes import Arg, Env


def check(view: View) -> Iterator[Finding]:
    """Docker's documentation says that ENV always wins; in BuildKit the last one does, and so here."""
    for stage in view.stages:
        names: dict[str, str] = {}
        for parent in view.lineage(stage):
            if parent is not stage:
                names.update(
                    (pair.key.text, parent.stage.title) for step in parent.steps if isinstance(step.node, Env) for pair in step.node.pairs
                )
        for step in stage.steps:
            if isinstance(step.node, Env):
                names.update((pair.key.text, f"line {step.node.span.line}") for pair in step.node.pairs)
            elif isinstance(step.node, Arg):
                for pair in step.node.pairs:
                    key = pair.key.text
                    if key in names and (pair.value is not None or key in view.facts.build_args or key in view.global_env):
                        message = f"ARG `{key}` hides the ENV of {names[key]} in what follows, but the image keeps the ENV's value"
                        yield Finding(message, pair.key.span, stage=stage.index)


RULE = Rule("ArgShadowsEnv", "no ARG hides an ENV", "give the ARG another name, or set the ENV after it", check, own=True)
