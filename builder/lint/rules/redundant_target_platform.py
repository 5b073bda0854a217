"""`FROM --platform=$TARGETPLATFORM` says what holds anyway."""

from __future__ import annotations

from collections.abc import Iterator

from builder.lint.rule import Finding, Rule
from builder.lint.view import View


def check(view: View) -> Iterator[Finding]:
    for stage in view.stages:
        word = stage.stage.begin.platform
        made = view.expand(word, view.global_env) if word is not None else None
        if word is None or made is None:
            continue
        if made.used == ("TARGETPLATFORM",) and not made.unset and made.text == view.global_env.get("TARGETPLATFORM"):
            yield Finding(f"--platform={word.text} is what FROM does without it", word.span)


RULE = Rule("RedundantTargetPlatform", "FROM does not repeat the target platform", "leave --platform out", check)
