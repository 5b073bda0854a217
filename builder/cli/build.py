"""`build`: a Dockerfile to an image; the flags are those of `docker buildx build`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext
from typing import TYPE_CHECKING, Any

from builder.cli.build_arguments import read_plain
from builder.cli.errors import leave, run_command, run_entry
from builder.cli.settings import Environment, read_environment

if TYPE_CHECKING:
    from builder.engine.build import BuildOutcome
    from builder.engine.request import BuildRequest
    from builder.engine.workshop import WorkshopSettings
    from builder.history.cause import Explanation


def main() -> None:
    """The entry point of the script `build`."""
    plain = read_plain(sys.argv[1:])
    if plain is not None:
        leave(run_entry(lambda: execute(plain, read_environment())))
    from builder.cli.build_command import build

    leave(run_command(build, "build"))


def execute(options: dict[str, Any], env: Environment) -> int:
    """One build, shown as asked for."""
    from builder.cli.build_request import make_request
    from builder.cli.build_views import open_view
    from builder.cli.userspace import workshop_settings

    if options["on_fail"] == "shell":
        from builder.cli.terminal import require_terminal

        require_terminal("--on-fail=shell")
    request = make_request(options, env)
    if options["check"] or options["call"] not in (None, "build"):
        from builder.cli.build_calls import call

        return call("check" if options["check"] else options["call"], request, options["root"], env)
    settings = workshop_settings(env, options["root"], size=options["store_size"])
    if options["dry_run"]:
        from builder.cli.explaining import print_explanation
        from builder.engine.build import foresee

        print_explanation(foresee(request, settings), form="json" if options["progress"] == "rawjson" else "text")
        return 0
    from builder.engine.build import run_build

    if options["verify_reproducible"]:
        request = _verified(request, settings, options, env)
        options = {**options, "explain": False, "report": None}
    with _aftermath(options, settings) as explained, ExitStack() as stack:
        view, on_failure = stack.enter_context(open_view(options, env)), None
        if options["on_fail"] == "shell":
            from builder.cli.terminal import ShellOnFailure

            view = gate = ShellOnFailure(view, stack)
            on_failure = gate.failed
        outcome = run_build(request, settings, view, explained=explained, on_failure=on_failure)
    _report(outcome, request, options)
    return 0


def _verified(request: BuildRequest, settings: WorkshopSettings, options: dict[str, Any], env: Environment) -> BuildRequest:
    """The request once two cold builds of it gave the same: what is written then comes from the cache that they left."""
    import msgspec

    from builder.cli.build_views import open_view
    from builder.cli.reproduce import verify_reproducible

    with _aftermath(options, settings) as explained:
        verify_reproducible(request, settings, lambda: open_view(options, env), explained, quiet=options["quiet"])
    return msgspec.structs.replace(request, no_cache=False, no_cache_stages=())


def _aftermath(options: dict[str, Any], settings: WorkshopSettings) -> AbstractContextManager[Callable[[Explanation], object] | None]:
    """What --explain and --report want to be told, however the build ends."""
    if not options["explain"] and not options["report"]:
        return nullcontext()
    from builder.cli.aftermath import aftermath

    return aftermath(options["explain"], options["report"], settings, quiet=options["quiet"])


def _report(outcome: BuildOutcome, request: BuildRequest, options: dict[str, Any]) -> None:
    from builder.cli.build_report import write_metadata

    if options["iidfile"]:
        from pathlib import Path

        Path(options["iidfile"]).write_text(outcome.config_digest if outcome.result.index_raw is None else outcome.digest, encoding="ascii")
    if options["metadata_file"]:
        write_metadata(options["metadata_file"], outcome)
    if options["quiet"] and not any(output in ("-",) or output.endswith("dest=-") for output in request.outputs):
        print(outcome.config_digest if outcome.result.index_raw is None else outcome.digest)
