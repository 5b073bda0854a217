"""A blank line inside a continued instruction is skipped, which a later release may refuse."""

from __future__ import annotations

from collections.abc import Iterator

from builder.lint.rule import Finding, Rule
from builder.lint.view import View


def check(view: View) -> Iterator[Finding]:
    """Found by the lexer, once an instruction; reported at the instruction's last line, as BuildKit's parser does."""
    for diagnostic in view.dockerfile.warnings:
        if diagnostic.code == "no-empty-continuation" and diagnostic.span is not None:
            yield Finding("a blank line stands inside this instruction, which continues over it", diagnostic.span, exact=True)


RULE = Rule("NoEmptyContinuation", "no blank line inside a continued instruction", "remove the blank line, or make it a comment", check)
