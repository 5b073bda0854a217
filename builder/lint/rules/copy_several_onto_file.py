"""Several sources and a destination without a trailing slash: BuildKit writes each over the one before."""

from __future__ import annotations

from collections.abc import Iterator

from builder.lint.rule import Finding, Rule
from builder.lint.view import View
from grammar.nodes import Add, Copy


def check(view: View) -> Iterator[Finding]:
    """`.` and `..` are directories, slash or not; so is the WORKDIR, which an empty destination stands for."""
    for stage, step in view.steps():
        node = step.node
        if not isinstance(node, (Copy, Add)) or len(node.sources) + len(node.heredocs) < 2:
            continue
        made = view.expand(node.destination, step.env)
        if made is None or made.text.endswith("/") or made.text.rpartition("/")[2] in ("", ".", ".."):
            continue
        message = f"several sources go to `{made.text}`, which has no slash at its end: of files only the last is left"
        yield Finding(message, node.destination.span, f"write `{made.text}/`", stage.index)


RULE = Rule("CopySeveralOntoFile", "several sources go to a directory", "end the destination with a slash", check, own=True)
