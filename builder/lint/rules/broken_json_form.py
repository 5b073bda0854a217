"""Something that looks like a JSON array and is none becomes a shell command, or a list of odd file names."""

from __future__ import annotations

import re
from collections.abc import Iterator

from builder.lint.rule import Finding, Rule
from builder.lint.view import View
from grammar.nodes import Add, AnyInstruction, Cmd, Copy, Entrypoint, Healthcheck, Run, ShellForm, Volume

# A list of quoted words with commas, or of one quoted word: `[ "$a" = b ]` is a test of the shell's and has neither.
_LOOKS_LIKE = re.compile(r"\[\s*(?:(['\"]).*\1\s*,.*|(['\"])[^'\"]*\2\s*,?\s*)\]\s*")


def check(view: View) -> Iterator[Finding]:
    for stage, step in view.steps():
        text = _text(step.node)
        if text is not None and _LOOKS_LIKE.fullmatch(text.strip()):
            word = step.node.keyword.upper()
            message = f"this {word} looks like a JSON array but is none, so it is taken as plain text"
            yield Finding(message, step.node.span, "JSON has double quotes and no comma before the bracket", stage.index)


def _text(node: AnyInstruction) -> str | None:
    match node:
        case Run() | Cmd() | Entrypoint() | Healthcheck():
            return node.command.text if isinstance(node.command, ShellForm) and not node.command.heredocs else None
        case Copy() | Add() if not node.json_form and not node.heredocs:
            return " ".join(word.text for word in (*node.sources, node.destination))
        case Volume() if not node.json_form:
            return " ".join(word.text for word in node.paths)
        case _:
            return None


RULE = Rule("BrokenJsonForm", "JSON forms are valid JSON", "write a valid JSON array", check, own=True)
