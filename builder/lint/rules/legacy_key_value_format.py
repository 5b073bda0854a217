"""`ENV key value` takes the whole rest of the line as the value, equals signs and all."""

from __future__ import annotations

from collections.abc import Iterator

from builder.lint.rule import Finding, Rule
from builder.lint.view import View
from grammar.nodes import Arg, Env, Label


def check(view: View) -> Iterator[Finding]:
    for stage, step in view.steps():
        node = step.node
        if isinstance(node, (Env, Label, Arg)) and any(pair.legacy for pair in node.pairs):
            word, key = node.keyword.upper(), node.pairs[0].key.text
            help = f"write {word} {key}=…, in quotes where it holds blanks"
            yield Finding(f"{word} in the old form `key value`", node.span, help, stage.index)


RULE = Rule("LegacyKeyValueFormat", "ENV, LABEL and ARG are written key=value", "write key=value", check)
