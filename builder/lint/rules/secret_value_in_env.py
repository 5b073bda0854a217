"""The value of an ARG or ENV looks like a credential, whatever its name is."""

from __future__ import annotations

import re
from collections.abc import Iterator

from builder.lint.rule import Finding, Rule
from builder.lint.view import View
from grammar.nodes import Arg, Env, Label

# Public prefixes of tokens: GitHub, GitLab, AWS, Slack, npm, PyPI; PEM keys; a password in a URL.
_VALUES = re.compile(
    r"\bgh[pousr]_[A-Za-z0-9]{30,}|\bgithub_pat_[A-Za-z0-9_]{30,}|\bglpat-[A-Za-z0-9_-]{20,}|\bAKIA[0-9A-Z]{16}\b|\bxox[abprs]-[A-Za-z0-9-]{10,}"
    r"|\bnpm_[A-Za-z0-9]{30,}|\bpypi-[A-Za-z0-9_-]{40,}|-----BEGIN [A-Z ]*PRIVATE KEY-----|[a-z][a-z0-9+.-]*://[^/\s:@$]+:[^/\s@$]+@"
)


def check(view: View) -> Iterator[Finding]:
    for node in view.dockerfile.instructions:
        if not isinstance(node, (Arg, Env, Label)):
            continue
        for pair in node.pairs:
            if pair.value is not None and _VALUES.search(pair.value.text):
                message = (
                    f"the value of {node.keyword.upper()} `{pair.key.text}` looks like a credential, and would stay readable in the image"
                )
                yield Finding(message, pair.key.span)


RULE = Rule("SecretValueInEnv", "no credentials in ARG, ENV or LABEL", "revoke it, and use RUN --mount=type=secret", check, own=True)
