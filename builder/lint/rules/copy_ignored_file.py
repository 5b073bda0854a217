"""A source that .dockerignore leaves out is not there to be copied."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from builder.lint.rule import Finding, Rule
from builder.lint.view import View
from grammar.nodes import Add, Copy


def check(view: View) -> Iterator[Finding]:
    """Not where the ignore file has an exception (`!`): below an excluded directory something may be left."""
    ignored = view.facts.ignored
    if ignored is None or view.facts.ignore_has_exceptions:
        return
    for stage, step in view.steps():
        node = step.node
        if not isinstance(node, (Copy, Add)) or (isinstance(node, Copy) and node.from_ is not None):
            continue
        for word in node.sources:
            made = view.expand(word, step.env)
            if made is None or "://" in made.text or made.text.startswith("git@"):
                continue
            path = posixpath.normpath("/" + made.text).lstrip("/")
            if path and ignored(path):
                yield Finding(f"`{made.text}` is excluded by .dockerignore", word.span, stage=stage.index)


RULE = Rule("CopyIgnoredFile", "sources are not excluded by .dockerignore", "take it out of .dockerignore, or do not copy it", check)
