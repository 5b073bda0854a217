"""A CMD or ENTRYPOINT in shell form runs under a shell, which does not pass signals on."""

from __future__ import annotations

from collections.abc import Iterator

from builder.lint.rule import Finding, Rule
from builder.lint.view import StageView, View
from grammar.nodes import Cmd, Entrypoint, Shell, ShellForm


def check(view: View) -> Iterator[Finding]:
    """Not where a SHELL was set, in the stage, in one it is built from, or in the base image: then a shell is wanted."""
    for stage in view.stages:
        shell = stage.base is not None and bool(stage.base.config.shell)
        shell = shell or any(_sets_shell(parent) for parent in view.lineage(stage) if parent is not stage)
        for step in stage.steps:
            node = step.node
            if isinstance(node, Shell):
                shell = True
            elif isinstance(node, (Cmd, Entrypoint)) and isinstance(node.command, ShellForm) and not shell:
                word = node.keyword.upper()
                yield Finding(f"{word} in shell form: signals reach the shell, not the program", node.span, stage=stage.index)


def _sets_shell(stage: StageView) -> bool:
    return any(isinstance(step.node, Shell) for step in stage.steps)


RULE = Rule("JSONArgsRecommended", "CMD and ENTRYPOINT are JSON arrays", 'write a JSON array: ["program", "argument"]', check)
