"""ENTRYPOINT resets the CMD that the base image has, unless the stage sets a CMD itself."""

from __future__ import annotations

from collections.abc import Iterator

from builder.lint.rule import Finding, Rule
from builder.lint.view import StageView, View
from grammar.nodes import Cmd, Entrypoint


def check(view: View) -> Iterator[Finding]:
    for stage in view.stages:
        if any(isinstance(step.node, Cmd) for step in stage.steps):
            continue
        entrypoint = next((step.node for step in stage.steps if isinstance(step.node, Entrypoint)), None)
        if entrypoint is not None and _inherits_cmd(view, stage):
            yield Finding("this ENTRYPOINT drops the CMD that the stage inherits", entrypoint.span, stage=stage.index)


def _inherits_cmd(view: View, stage: StageView) -> bool:
    """Whether the nearest ancestor that says anything about CMD sets one."""
    for parent in view.lineage(stage):
        if parent is stage:
            continue
        if any(isinstance(step.node, Cmd) for step in parent.steps):
            return True
        if any(isinstance(step.node, Entrypoint) for step in parent.steps):
            return False
    return stage.base is not None and bool(stage.base.config.cmd)


RULE = Rule("EntrypointDropsCmd", "ENTRYPOINT drops no inherited CMD", "add a CMD, [] if none is meant", check, own=True)
