"""A FROM that only works with a --build-arg: with the defaults alone its name is empty or invalid."""

from __future__ import annotations

from collections.abc import Iterator

from builder.errors import LayerwrightError
from builder.frontend.arguments import platform_arguments
from builder.frontend.settings import FrontendSettings
from builder.lint.rule import Finding, Rule
from builder.lint.view import View, expanded
from builder.oci.platform import host_platform
from builder.oci.reference import parse_reference


def check(view: View) -> Iterator[Finding]:
    env = platform_arguments(FrontendSettings(platform=view.facts.platform or host_platform()), "default")
    for node in view.global_args:
        for pair in node.pairs:
            made = expanded(pair.value.text, env, view.dockerfile.directives.escape) if pair.value is not None else None
            if made is not None:
                env[pair.key.text] = made.text
    for stage in view.stages:
        word = stage.stage.begin.image
        made = view.expand(word, env)
        if made is None or not (made.used or made.unset):
            continue
        if not _valid(made.text):
            yield Finding(f"without a --build-arg `{word.text}` comes to `{made.text}`, which names no image", word.span)


def _valid(name: str) -> bool:
    try:
        parse_reference(name)
    except LayerwrightError:
        return False
    return bool(name)


RULE = Rule("InvalidDefaultArgInFrom", "FROM is valid with the defaults", "give the ARG a default that makes a valid image name", check)
