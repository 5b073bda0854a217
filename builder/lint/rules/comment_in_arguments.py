"""`#` begins a comment at the start of a line only; after an instruction it is an argument."""

from __future__ import annotations

from collections.abc import Iterator

from builder.lint.rule import Finding, Rule
from builder.lint.view import View
from grammar.nodes import Add, AnyInstruction, Copy, User, Volume, Word, Workdir


def check(view: View) -> Iterator[Finding]:
    """RUN, CMD and ENTRYPOINT are not looked at: there the shell takes it as a comment, as was meant."""
    for stage, step in view.steps():
        for word in _words(step.node):
            if word.text == "#" or word.text.startswith("# ") or " # " in word.text:
                message = f"`#` is no comment here but part of {step.node.keyword.upper()}'s arguments"
                yield Finding(message, word.span, stage=stage.index)
                break


def _words(node: AnyInstruction) -> tuple[Word, ...]:
    match node:
        case Copy() | Add() if not node.json_form:
            return node.sources
        case Volume() if not node.json_form:
            return node.paths
        case Workdir():
            return (node.path,)
        case User():
            return (node.user,)
        case _:
            return ()


RULE = Rule("CommentInArguments", "no comment after an instruction", "move the comment to a line of its own", check, own=True)
