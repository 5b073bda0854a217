"""A --build-arg that no ARG declares does nothing, and BuildKit does not say so."""

from __future__ import annotations

from collections.abc import Iterator

from builder.frontend.settings import PREDEFINED_PROXIES
from builder.lint.rule import Finding, Rule
from builder.lint.view import View
from grammar.diagnostics import suggest
from grammar.nodes import Arg


def check(view: View) -> Iterator[Finding]:
    """Reported at the first FROM; names that begin with BUILDKIT_ and SOURCE_DATE_EPOCH are the builder's own."""
    declared = {pair.key.text for node in view.dockerfile.instructions if isinstance(node, Arg) for pair in node.pairs}
    known = declared | view.global_names | {name for proxy in PREDEFINED_PROXIES for name in (proxy, proxy.lower())} | {"SOURCE_DATE_EPOCH"}
    for name in sorted(view.facts.build_args):
        if name in known or name.startswith("BUILDKIT_"):
            continue
        near = suggest(name, sorted(declared))
        help = f"did you mean `{near}`?" if near else None
        yield Finding(f"--build-arg {name} has no effect: no ARG declares it", view.stages[0].stage.begin.span, help)


RULE = Rule("UndeclaredBuildArg", "build arguments are declared", "declare it with ARG, or do not give it", check, own=True)
