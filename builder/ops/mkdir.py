"""WORKDIR: the directory and its missing parents, through links inside the root, 0755, owned by the current user."""

from __future__ import annotations

from builder.errors import LayerwrightError
from builder.fs.resolve import clean, resolve
from builder.graph.operations import MakeDirectory
from builder.ops.copy_owner import owner_of
from builder.ops.copy_plan import Plan
from builder.ops.copy_write import write_plan
from builder.ops.destination import Applied, Destination, Times
from grammar.diagnostics import Diagnostic


def make_directory(action: MakeDirectory, destination: Destination, times: Times) -> Applied:
    """Makes what is missing; `changed` is False when the directory is there, which then adds no layer."""
    plan = Plan(destination.root)
    path = resolve(plan, clean(action.path))  # BuildKit too drops `..` before it follows links
    current = plan.lstat(path)
    if current is not None and current.kind == "dir":
        return Applied(changed=False)
    if current is not None:
        raise LayerwrightError(
            "workdir-not-a-directory",
            f"WORKDIR {action.path}: /{path} is a {current.kind}",
            help="choose another path, or remove it in an earlier step",
        )
    warnings: list[Diagnostic] = []
    owner = owner_of(action.user, destination.users, warnings, "USER") if action.user else None
    plan.make_directories(path, owner, times.created)
    write_plan(plan, destination, lambda: None)
    return Applied(tuple(warnings))
