"""EXPOSE's protocol is lower-case."""

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
                protocol = port.partition("/")[2]
                if protocol != protocol.lower():
                    help = f"write `{port.partition('/')[0]}/{protocol.lower()}`"
                    yield Finding(f"the protocol `{protocol}` has upper-case letters", word.span, help, stage.index)


RULE = Rule("ExposeProtoCasing", "EXPOSE's protocol is lower-case", "write the protocol in lower case", check)
