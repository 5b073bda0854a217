"""A --chown name that the stage's /etc/passwd does not have."""

from __future__ import annotations

from collections.abc import Iterator

from builder.lint.rule import Finding, Rule
from builder.lint.view import StageView, View
from grammar.diagnostics import suggest
from grammar.nodes import Add, Copy, Run


def check(view: View) -> Iterator[Finding]:
    """Only where the users are known: those of the base, and nothing ran or was copied that might have added one."""
    for stage in view.stages:
        users = _users(view, stage)
        for step in stage.steps:
            node = step.node
            if isinstance(node, (Copy, Add)) and node.chown is not None and users is not None:
                made = view.expand(node.chown, step.env)
                name = made.text.partition(":")[0] if made is not None else ""
                if name and not name.isdigit() and name not in users:
                    near = suggest(name, sorted(users))
                    help = f"did you mean `{near}`?" if near else None
                    yield Finding(f"this stage has no user `{name}`", node.chown.span, help, stage.index)
            if isinstance(node, (Run, Copy, Add)):
                users = None


def _users(view: View, stage: StageView) -> frozenset[str] | None:
    """The users before the first instruction; None when they are not known for certain."""
    for parent in view.lineage(stage):
        if parent is not stage and any(isinstance(step.node, (Run, Copy, Add)) for step in parent.steps):
            return None
    if stage.base is None:
        return None
    bottom = list(view.lineage(stage))[-1]
    return frozenset() if bottom.image == "scratch" else stage.base.users


RULE = Rule("UnknownChownName", "--chown names a user of the stage", "create the user before, or use numbers", check, own=True)
