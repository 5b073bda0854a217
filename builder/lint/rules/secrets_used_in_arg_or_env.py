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
    for node in view.dockerfile.instructions:
        if not isinstance(node, (Arg, Env)):
            continue
        for pair in node.pairs:
            name = pair.key.text
            if _SECRET.search(name) and not _HARMLESS.search(name):
                yield Finding(f"{node.keyword.upper()} `{name}` sounds like a secret, and would stay readable in the image", pair.key.span)


RULE = Rule("SecretsUsedInArgOrEnv", "no secrets in ARG or ENV", "use RUN --mount=type=secret", check)
