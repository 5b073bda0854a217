"""Which view a build is shown by, and where it is written."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from builder.cli.settings import Environment
from builder.errors import UsageError
from builder.progress.broadcast import Broadcast
from builder.progress.clip import Clip, LogLimits
from builder.progress.events import Listener
from builder.progress.plain import Folding
from builder.progress.views import ViewName
from builder.progress.views import open_view as open_named_view


@contextmanager
def open_view(options: dict[str, Any], env: Environment) -> Iterator[Listener]:
    """The view for these options, on standard error; closed however the build ends.

    Steps speak from several threads: Broadcast gives the view one event at a time. A step's output is bounded, except
    in rawjson, whose reader can bound it.
    """
    name = _name(options, env)
    view = open_named_view(name, sys.stderr, time.time_ns, _folding(env))
    try:
        yield Broadcast([view if name in ("rawjson", "quiet") else Clip(view, _log_limits(env))])
    finally:
        view.close()


def _name(options: dict[str, Any], env: Environment) -> ViewName:
    asked = options["progress"] or env.get("BUILDKIT_PROGRESS") or "auto"
    if options["quiet"] or asked in ("quiet", "none"):
        return "quiet"
    if asked == "rawjson":
        return "rawjson"
    if asked == "plain" or (asked == "auto" and not sys.stderr.isatty()):
        return "plain"
    return "tty"


def _folding(env: Environment) -> Folding:
    if env.get("GITHUB_ACTIONS"):
        return "github"
    if env.get("GITLAB_CI"):
        return "gitlab"
    return "none"


def _log_limits(env: Environment) -> LogLimits:
    """What a step may print, by BuildKit's variables; -1 is no limit."""
    default = LogLimits()
    size = _bytes(env, "BUILDKIT_STEP_LOG_MAX_SIZE", default.size)
    return LogLimits(size, _bytes(env, "BUILDKIT_STEP_LOG_MAX_SPEED", default.speed))


def _bytes(env: Environment, name: str, default: int) -> int:
    text = env.get(name)
    if text is None:
        return default
    if not text.removeprefix("-").isdigit() or not text.isascii():
        raise UsageError("bad-log-limit", f"{name}={text!r} is not a number of bytes", help="set it to a number, -1 for no limit")
    return max(-1, int(text))
