"""`# check=skip=` with the name of no rule skips nothing."""

from __future__ import annotations

from collections.abc import Iterator

from builder.lint.options import is_check_comment, option_names
from builder.lint.rule import Finding, Rule
from builder.lint.view import View
from grammar.diagnostics import suggest


def check(view: View) -> Iterator[Finding]:
    words = [word for node in view.dockerfile.instructions for word in node.comments if is_check_comment(word.text)]
    if view.dockerfile.directives.check is not None:
        words.insert(0, view.dockerfile.directives.check)
    for word in words:
        for name in option_names(word.text):
            if name not in view.rule_names:
                near = suggest(name, view.rule_names)
                yield Finding(f"there is no rule `{name}`", word.span, f"did you mean `{near}`?" if near else None)


RULE = Rule("UnknownCheckName", "skipped rules exist", "`layerwright build --check` names the rule it reports", check, own=True)
