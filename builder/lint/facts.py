"""What is known of a build beside its Dockerfile, where it is known: rules that need more say nothing without it."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from builder.oci.config import RunConfig
from builder.oci.platform import Platform


class BaseFacts(msgspec.Struct, frozen=True):
    """The image a stage is FROM: its config, its platform, and the names in its /etc/passwd if that was read."""

    config: RunConfig = RunConfig()
    platform: Platform | None = None
    users: frozenset[str] | None = None


class LintFacts(msgspec.Struct, frozen=True):
    """`bases` by the index of the stage; `ignored` says whether .dockerignore leaves a path out (None: no such file).

    `stages` are those that the build needs (None: all): rules that look into a stage keep to them, as BuildKit's
    do; with `--check` all are looked at.
    """

    bases: dict[int, BaseFacts] = {}
    platform: Platform | None = None
    ignored: Callable[[str], bool] | None = None
    ignore_has_exceptions: bool = False
    build_args: dict[str, str] = {}
    stages: frozenset[int] | None = None
