"""Explanations on standard output, as text or JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from builder.history.cause import Explanation


def print_explanation(told: Explanation, *, form: str = "text", all_files: bool = False, err: bool = False) -> None:
    """All of it; the JSON has a line a step."""
    if form == "text":
        from builder.history.render import explanation_lines

        click.echo("\n".join(explanation_lines(told, all_files=all_files)), err=err)
        return
    import msgspec

    for verdict in told.steps:
        step = verdict.step
        line = {
            "build": told.build,
            "against": told.against,
            "step": step.name,
            "stage": step.stage,
            "line": step.span.line if step.span else None,
            "number": step.number,
            "hit": verdict.hit,
            "outcome": step.outcome,
            "causes": msgspec.to_builtins(verdict.causes),
        }
        click.echo(msgspec.json.encode(line))
