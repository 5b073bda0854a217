"""A base image of another platform than the one that was asked for."""

from __future__ import annotations

from collections.abc import Iterator

from builder.errors import UsageError
from builder.lint.rule import Finding, Rule
from builder.lint.view import StageView, View
from builder.oci.platform import Platform, host_platform, parse_platform


def check(view: View) -> Iterator[Finding]:
    for stage in view.stages:
        base = view.facts.bases.get(stage.index)
        expected = _expected(view, stage)
        if base is None or base.platform is None or expected is None or stage.image is None:
            continue
        actual = base.platform
        if (actual.os, actual.architecture) != (expected.os, expected.architecture):
            word = stage.stage.begin.image
            yield Finding(f"the base image `{stage.image}` is for {actual}, and {expected} was asked for", word.span, stage=stage.index)


def _expected(view: View, stage: StageView) -> Platform | None:
    """What FROM --platform says, else the build's platform."""
    word = stage.stage.begin.platform
    if word is None:
        return view.facts.platform or host_platform()
    made = view.expand(word, view.global_env)
    try:
        return parse_platform(made.text) if made is not None and made.text else None
    except UsageError:
        return None


RULE = Rule("InvalidBaseImagePlatform", "base images are of the platform asked for", "take an image that is built for that platform", check)
