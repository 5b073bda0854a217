"""An interactive shell in a step's place: its root, environment, mounts and user, with a program for people."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from builder.errors import LayerwrightError
from builder.fs.resolve import resolve
from builder.fs.tree import Tree
from runtime.sandbox import Sandbox
from runtime.spec import Exit, Process

SHELLS = ("/bin/bash", "/usr/bin/bash", "/bin/sh", "/usr/bin/sh", "/bin/ash", "/busybox/sh")

Talk = Callable[[Sandbox, Process], Exit]
"""Runs a process on the user's terminal."""


class FailedStep(msgspec.Struct, frozen=True):
    """A RUN that failed, while its root and mounts still stand: `process` is a shell in its place, not started yet."""

    error: LayerwrightError
    command: str
    process: Process
    sandbox: Sandbox


OnFailure = Callable[[FailedStep], None]


def interactive(process: Process, tree: Tree, shell: str | None = None, terminal: str = "") -> Process:
    """The process with a shell in place of its command, on a terminal of the kind `terminal` (TERM)."""
    env = dict(process.env)
    env.setdefault("TERM", terminal or "xterm")
    return msgspec.structs.replace(process, argv=(_shell(tree, shell),), env=tuple(env.items()), terminal=True)


def _shell(tree: Tree, wanted: str | None) -> str:
    for path in (wanted,) if wanted else SHELLS:
        entry = tree.lstat(resolve(tree, path.strip("/")))
        if entry is not None and entry.kind == "file":
            return path
    raise LayerwrightError(
        "no-shell",
        f"the step's file system has no {wanted or 'shell'}",
        help="name a program that it has with --shell" if wanted else f"looked for {', '.join(SHELLS)}; name another with --shell",
    )
