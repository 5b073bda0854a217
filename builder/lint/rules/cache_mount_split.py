"""Two cache mounts of one id that differ in from, source, mode, uid or gid are two caches."""

from __future__ import annotations

from collections.abc import Iterator

from builder.lint.rule import Finding, Rule
from builder.lint.view import View, expanded
from grammar.mounts import FlagError, parse_mount
from grammar.nodes import Run


def check(view: View) -> Iterator[Finding]:
    """The identity of a cache is its id and what it starts from (reference 1.4)."""
    first: dict[str, tuple[object, int]] = {}
    for stage, step in view.steps():
        for word in step.node.mounts if isinstance(step.node, Run) else ():
            made = expanded(word.text, step.env, view.dockerfile.directives.escape)
            try:
                mount = parse_mount(made.text) if made is not None else None
            except FlagError:
                continue
            if mount is None or mount.type != "cache":
                continue
            key = mount.id or mount.target or ""
            start = (mount.from_, mount.source, mount.mode, mount.uid, mount.gid)
            known, line = first.setdefault(key, (start, step.node.span.line))
            if known != start:
                message = f"the cache mount `{key}` differs from that of line {line} in from, source, mode, uid or gid: it is another cache"
                yield Finding(message, word.span, stage=stage.index)


RULE = Rule("CacheMountSplit", "cache mounts of one id are alike", "give both the same options, or different ids", check, own=True)
