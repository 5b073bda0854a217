"""A constant FROM --platform makes the Dockerfile good for one platform only."""

from __future__ import annotations

from collections.abc import Iterator

from builder.errors import UsageError
from builder.lint.rule import Finding, Rule
from builder.lint.view import View
from builder.oci.platform import parse_platform


def check(view: View) -> Iterator[Finding]:
    """Not where the stage's name says that it is meant: it holds the os or the architecture."""
    for stage in view.stages:
        word = stage.stage.begin.platform
        made = view.expand(word, view.global_env) if word is not None else None
        if word is None or made is None or made.used or made.unset:
            continue
        try:
            platform = parse_platform(made.text)
        except UsageError:
            continue
        if platform.os not in stage.stage.name and platform.architecture not in stage.stage.name:
            yield Finding(f"--platform={made.text} is a constant", word.span)


RULE = Rule(
    "FromPlatformFlagConstDisallowed",
    "FROM --platform is no constant",
    "use $BUILDPLATFORM, or name the stage after the platform",
    check,
)
