"""A blank line inside a continued instruction is skipped, which a later release may refuse."""

from __future__ import annotations

from collections.abc import Iterator

from builder.lint.rule import Finding, Rule
from builder.lint.view import View
from grammar.source import Span


def check(view: View) -> Iterator[Finding]:
    """Reported at the instruction's last line, as BuildKit's parser does, once an instruction."""
    lines = sorted(diagnostic.span.line for diagnostic in view.dockerfile.warnings if diagnostic.span is not None)
    for node in view.dockerfile.instructions:
        if any(node.span.line <= line <= node.span.end_line for line in lines):
            last = node.span.end_line
            text = view.dockerfile.source.lines[last - 1] if last <= len(view.dockerfile.source.lines) else ""
            span = Span(last, 1, last, len(text) + 1)
            yield Finding(f"a blank line stands inside this {node.keyword.upper()}, which continues over it", span, exact=True)


RULE = Rule("NoEmptyContinuation", "no blank line inside a continued instruction", "remove the blank line, or make it a comment", check)
