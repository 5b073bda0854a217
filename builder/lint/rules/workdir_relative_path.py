"""A first WORKDIR that is relative depends on the base image's own."""

from __future__ import annotations

from collections.abc import Iterator

from builder.lint.rule import Finding, Rule
from builder.lint.view import StageView, View
from grammar.nodes import Workdir


def check(view: View) -> Iterator[Finding]:
    for stage in view.stages:
        if stage.base is not None and stage.base.config.working_dir not in ("", "/"):
            continue
        if any(_sets_workdir(parent) for parent in view.lineage(stage) if parent is not stage):
            continue
        step = next((step for step in stage.steps if isinstance(step.node, Workdir)), None)
        if step is None or not isinstance(step.node, Workdir):
            continue
        made = view.expand(step.node.path, step.env)
        if made is not None and not made.text.startswith("/"):
            message = f"the relative WORKDIR `{made.text}` is the stage's first, so the base image decides where it is"
            yield Finding(message, step.node.span, f"write `/{made.text.lstrip('./')}`", stage.index)


def _sets_workdir(stage: StageView) -> bool:
    return any(isinstance(step.node, Workdir) for step in stage.steps)


RULE = Rule("WorkdirRelativePath", "the first WORKDIR is absolute", "begin with an absolute path", check)
