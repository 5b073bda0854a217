"""Reads a --ulimit."""

from __future__ import annotations

from builder.errors import UsageError
from grammar.diagnostics import suggest
from runtime.spec import Ulimit

_ULIMITS = (
    "as", "core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice", "nofile", "nproc", "rss", "rtprio", "rttime",
    "sigpending", "stack",
)  # fmt: skip
"""What setrlimit(2) has."""


def parse_ulimit(text: str) -> Ulimit:
    """`nofile=1024:2048` or `nofile=1024`; -1 is unlimited. Raises UsageError."""
    name, _, values = text.partition("=")
    soft, colon, hard = values.partition(":")
    try:
        limit = Ulimit(name.lower(), int(soft), int(hard if colon else soft))
    except ValueError:
        raise UsageError("bad-ulimit", f"{text!r} is not a ulimit", help="write NAME=SOFT[:HARD], as nofile=1024:2048") from None
    if limit.name not in _ULIMITS:
        near = suggest(limit.name, _ULIMITS)
        help = f"did you mean {near}?" if near else f"it is one of {', '.join(_ULIMITS)}"
        raise UsageError("bad-ulimit", f"--ulimit {text!r}: there is no limit {limit.name!r}", help=help)
    if limit.hard != -1 and not 0 <= limit.soft <= limit.hard:
        raise UsageError("bad-ulimit", f"--ulimit {text!r}: the first number is above the second", help="write NAME=SOFT:HARD")
    return limit
