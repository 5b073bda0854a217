"""MAINTAINER is deprecated."""

from __future__ import annotations

from collections.abc import Iterator

from builder.lint.rule import Finding, Rule
from builder.lint.view import View
from grammar.nodes import Maintainer


def check(view: View) -> Iterator[Finding]:
    for _, step in view.steps():
        if isinstance(step.node, Maintainer):
            yield Finding("MAINTAINER is deprecated", step.node.span)


RULE = Rule("MaintainerDeprecated", "MAINTAINER is not used", 'write LABEL org.opencontainers.image.authors="…"', check)
