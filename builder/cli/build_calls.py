"""--check and --call: what a Dockerfile is asked instead of being built."""

from __future__ import annotations

import sys

from builder.cli.settings import Environment
from builder.cli.userspace import workshop_settings
from builder.engine.calls import run_call
from builder.engine.checks import Method
from builder.engine.request import BuildRequest
from builder.errors import UsageError

SUBREQUESTS = ("build", "check", "outline", "targets")


def call(text: str, request: BuildRequest, root: str | None, env: Environment) -> int:
    """Answers `METHOD[,format=json|text]` on standard output; the exit code says whether a check found something."""
    name, *fields = text.split(",")
    formats = [field.removeprefix("format=") for field in fields if field.startswith("format=")]
    if len(formats) != len(fields) or any(form not in ("json", "text") for form in formats):
        raise UsageError("bad-call", f"--call {text!r} is not METHOD[,format=json]", help="write --call check,format=json")
    if name in ("subrequests.describe", "frontend.subrequests.describe"):
        sys.stdout.write("".join(f"{method}\n" for method in SUBREQUESTS))
        return 0
    answered, code = run_call(_method(name), request, workshop_settings(env, root), json=formats[-1:] == ["json"])
    sys.stdout.write(answered)
    return code


def _method(name: str) -> Method:
    match name.removeprefix("frontend."):
        case "check" | "lint":
            return "check"
        case "outline":
            return "outline"
        case "targets":
            return "targets"
        case _:
            raise UsageError("bad-call", f"--call {name!r} is not a method", help=f"the methods are {', '.join(SUBREQUESTS)}")
