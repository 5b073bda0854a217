"""A file that usually holds a secret is copied into a layer, where it stays even if a later step removes it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from builder.lint.rule import Finding, Rule
from builder.lint.view import View
from grammar.nodes import Add, Copy

_NAMES = re.compile(
    r"(?:^|/)(?:\.env(?:\.local|\.production)?|\.netrc|\.npmrc|\.pypirc|\.git-credentials|\.pgpass|\.htpasswd|id_(?:rsa|dsa|ecdsa|ed25519)"
    r"|\.aws/credentials|\.docker/config\.json|\.kube/config|credentials\.json|[^/]*\.(?:p12|pfx|keystore|jks|kdbx))$"
)


def check(view: View) -> Iterator[Finding]:
    for stage, step in view.steps():
        node = step.node
        if not isinstance(node, (Copy, Add)) or (isinstance(node, Copy) and node.from_ is not None):
            continue
        for word in node.sources:
            made = view.expand(word, step.env)
            if made is not None and _NAMES.search(made.text):
                yield Finding(f"`{made.text}` usually holds a secret, and would stay in a layer", word.span, stage=stage.index)


RULE = Rule("SecretFileCopied", "files with secrets are not copied", "use RUN --mount=type=secret", check, own=True)
