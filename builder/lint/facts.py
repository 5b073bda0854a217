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

    `ignore_lines` are the patterns that `ignored` answers for, and what it is known by. `stages` are those that the
    build needs (None: all): rules that look into a stage keep to them, as BuildKit's do; with `--check` all are
    looked at.
    """

    bases: dict[int, BaseFacts] = {}
    platform: Platform | None = None
    ignored: Callable[[str], bool] | None = None
    ignore_lines: tuple[str, ...] = ()
    build_args: dict[str, str] = {}
    stages: frozenset[int] | None = None

    @property
    def ignore_has_exceptions(self) -> bool:
        """Whether the ignore file includes something again."""
        return any(line.startswith("!") for line in self.ignore_lines)

    def identity(self) -> bytes:
        """Bytes that are the same for facts that are the same; a report may be kept by them."""
        stages = None if self.stages is None else sorted(self.stages)
        rows = (sorted(self.bases.items()), self.platform, self.ignored is not None, self.ignore_lines, self.build_args, stages)
        return msgspec.msgpack.encode(rows, order="deterministic")
