"""EXPOSE names ports of the container; an address or a host port in it has no effect."""

from __future__ import annotations

from collections.abc import Iterator

from builder.lint.rule import Finding, Rule
from builder.lint.view import View
from grammar.nodes import Expose


def check(view: View) -> Iterator[Finding]:
    for stage, step in view.steps():
        if not isinstance(step.node, Expose):
            continue
        for word in step.node.ports:
            made = view.expand(word, step.env)
            for port in made.text.split() if made is not None else ():
                if ":" in port:
                    help = f"write `{port.rpartition(':')[2]}`, and publish it with `docker run -p`"
                    yield Finding(f"`{port}` names an address or a host port, which EXPOSE drops", word.span, help, stage.index)


RULE = Rule("ExposeInvalidFormat", "EXPOSE has container ports only", "name the container's port only", check)
