"""What stands in an ARG or ENV can be read from the image's config or history by whoever has the image."""

from __future__ import annotations

import re
from collections.abc import Iterator

from builder.lint.rule import Finding, Rule
from builder.lint.view import View
from grammar.nodes import Arg, Env

_SECRET = re.compile(r"(?:_|^)(?:apikey|auth|credential|credentials|key|password|pword|passwd|secret|token)(?:_|$)", re.IGNORECASE)
_HARMLESS = re.compile(r"(?:_|^)(?:public|file|version)(?:_|$)", re.IGNORECASE)


def check(view: View) -> Iterator[Finding]:
    for node in view.global_args:
        yield from _in(node, None)
    for stage, step in view.steps():
        if isinstance(step.node, (Arg, Env)):
            yield from _in(step.node, stage.index)


def _in(node: Arg | Env, stage: int | None) -> Iterator[Finding]:
    for pair in node.pairs:
        name = pair.key.text
        if _SECRET.search(name) and not _HARMLESS.search(name):
            message = f"{node.keyword.upper()} `{name}` sounds like a secret, and would stay readable in the image"
            yield Finding(message, pair.key.span, stage=stage)


RULE = Rule("SecretsUsedInArgOrEnv", "no secrets in ARG or ENV", "use RUN --mount=type=secret", check)
