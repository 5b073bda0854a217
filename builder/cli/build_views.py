"""Which view a build is shown by, and where it is written."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from builder.cli.settings import Environment
from builder.progress.events import Listener
from builder.progress.plain import Folding
from builder.progress.views import ViewName
from builder.progress.views import open_view as open_named_view


@contextmanager
def open_view(options: dict[str, Any], env: Environment) -> Iterator[Listener]:
    """The view for these options, on standard error; closed however the build ends."""
    view = open_named_view(_name(options, env), sys.stderr, time.time_ns, _folding(env))
    try:
        yield view
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
