"""`<<NAME` in a place where it opens no here-document: the lines that follow are taken as instructions."""

from __future__ import annotations

from collections.abc import Iterator

from builder.lint.rule import Finding, Rule
from builder.lint.view import View


def check(view: View) -> Iterator[Finding]:
    """Found by the lexer, which knows how the line's quotes fall."""
    for diagnostic in view.dockerfile.warnings:
        if diagnostic.code == "unread-heredoc" and diagnostic.span is not None:
            yield Finding(diagnostic.message, diagnostic.span, diagnostic.help)


RULE = Rule("UnreadHeredoc", "every << opens a here-document", "close or escape the quotes of the line", check, own=True)
