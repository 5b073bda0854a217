"""An ONBUILD that no child image can run: BuildKit keeps its text unread, so that only the child's build fails."""

from __future__ import annotations

from collections.abc import Iterator

from builder.lint.rule import Finding, Rule
from builder.lint.view import View


def check(view: View) -> Iterator[Finding]:
    """Found by the lexer, which reads what ONBUILD holds as an instruction."""
    for diagnostic in view.dockerfile.warnings:
        if diagnostic.code == "broken-trigger" and diagnostic.span is not None:
            yield Finding(diagnostic.message, diagnostic.span, diagnostic.help)


RULE = Rule("BrokenOnbuildTrigger", "what ONBUILD holds can be run", "write the trigger as an instruction", check, own=True)
