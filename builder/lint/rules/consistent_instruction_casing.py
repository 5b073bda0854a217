"""Instructions are all upper-case or all lower-case throughout a file."""

from __future__ import annotations

from collections.abc import Iterator

from builder.lint.rule import Finding, Rule
from builder.lint.view import View


def check(view: View) -> Iterator[Finding]:
    """The majority of the whole file decides, a tie is for upper case; mixed case counts for neither and is always wrong."""
    words = [node.keyword for node in view.dockerfile.instructions]
    lower = sum(word == word.lower() for word in words)
    upper = sum(word == word.upper() for word in words)
    for node in view.dockerfile.instructions:
        right = node.keyword.lower() if lower > upper else node.keyword.upper()
        if node.keyword != right:
            case = "lower" if lower > upper else "upper"
            yield Finding(
                f"`{node.keyword}` is cased unlike most of the file, which is in {case} case", node.keyword_span, f"write `{right}`"
            )


RULE = Rule("ConsistentInstructionCasing", "instructions are cased alike", "case every instruction alike", check)
