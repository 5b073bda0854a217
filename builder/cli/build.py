"""`build`: a Dockerfile to an image; the flags are those of `docker buildx build`."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext
from typing import TYPE_CHECKING, Any

import click

from builder.cli.command import QuickCommand
from builder.cli.errors import leave, run_command
from builder.cli.settings import Environment, read_environment

if TYPE_CHECKING:
    from builder.engine.build import BuildOutcome
    from builder.engine.request import BuildRequest
    from builder.engine.workshop import WorkshopSettings
    from builder.history.cause import Explanation

EPILOG = """\b
Examples:
  build -t app .
  build -t registry.example/app:1 --push .
  build -o type=oci,dest=app.tar --build-arg VERSION=2 .
"""


def _no_effect(ctx: click.Context, option: click.Parameter, value: object) -> None:
    if value:
        click.echo(f"warning: {option.opts[0]} has no effect here", err=True)


def _of_the_classic_builder(command: Callable[..., int]) -> Callable[..., int]:
    """Options that scripts still write, and that neither BuildKit nor we act on; where that can be missed, a line says so."""
    for name, callback in (("--rm", None), ("--force-rm", None), ("--compress", None), ("--squash", _no_effect)):
        command = click.option(name, is_flag=True, hidden=True, expose_value=False, callback=callback)(command)
    for name in ("--isolation", "--security-opt"):
        command = click.option(name, multiple=True, hidden=True, expose_value=False, callback=_no_effect)(command)
    return command


@click.command(cls=QuickCommand, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("context", metavar="PATH | URL | -")
@click.option("-f", "--file", "dockerfile", metavar="FILE", help="The Dockerfile (PATH/Dockerfile); - for standard input.")
@click.option("-t", "--tag", "tags", multiple=True, metavar="NAME", help="A name for the image; may be repeated.")
@click.option("--target", metavar="STAGE", help="The stage to build, by name or index.")
@click.option("--build-arg", "build_args", multiple=True, metavar="NAME[=VALUE]", help="A value for an ARG; without = the environment's.")
@click.option("--label", "labels", multiple=True, metavar="NAME=VALUE", help="A label of the image.")
@click.option("--annotation", "annotations", multiple=True, metavar="[TYPE:]KEY=VALUE", help="An annotation of the manifest or index.")
@click.option("--platform", "platforms", multiple=True, metavar="OS/ARCH", help="The platform; several give an index.")
@click.option(
    "--build-context",
    "contexts",
    multiple=True,
    metavar="NAME=VALUE",
    help="A further context: a path, docker-image://, oci-layout://, a git or http URL.",
)
@click.option("--no-cache", is_flag=True, help="Run every step.")
@click.option("--no-cache-filter", multiple=True, metavar="STAGE", help="Run every step of these stages.")
@click.option("--pull", is_flag=True, help="Ask the registry for every base, whatever the store has.")
@click.option("--cache-from", multiple=True, metavar="REF|type=…", help="A cache to look in: registry (an image too) or local.")
@click.option("--cache-to", multiple=True, metavar="REF|type=…", help="Where results are put: registry, local or inline.")
@click.option("--cache-mounts", is_flag=True, help="Cache mounts too: every --cache-to gets cache-mounts=true.")
@click.option("--network", type=click.Choice(["default", "none", "host"]), default="default", help="The network of RUN steps.")
@click.option("--add-host", "hosts", multiple=True, metavar="HOST:IP", help="A line of /etc/hosts; host-gateway is the host.")
@click.option("--shm-size", default="64m", metavar="SIZE", help="The size of /dev/shm (64m).")
@click.option("--ulimit", "ulimits", multiple=True, metavar="NAME=SOFT[:HARD]", help="A resource limit of RUN steps.")
@click.option("-m", "--memory", metavar="SIZE", help="Memory of a RUN step.")
@click.option("--memory-swap", metavar="SIZE", help="Memory and swap of a RUN step; -1 for no limit.")
@click.option("-c", "--cpu-shares", type=int, help="The weight of a RUN step.")
@click.option("--cpu-period", type=int, help="The period of --cpu-quota in microseconds.")
@click.option("--cpu-quota", type=int, help="Microseconds of cpu in a period.")
@click.option("--cpuset-cpus", metavar="LIST", help="The processors of a RUN step, as 0-3,5.")
@click.option("--cpuset-mems", metavar="LIST", help="The memory nodes of a RUN step.")
@click.option("--pids-limit", type=int, help="Processes of a RUN step.")
@click.option("--cgroup-parent", metavar="PATH", help="The cgroup that steps are put below.")
@click.option("--allow", multiple=True, metavar="ENTITLEMENT", help="network.host or security.insecure.")
@click.option("--secret", "secrets", multiple=True, metavar="id=NAME[,src=FILE|env=VAR]", help="A secret for RUN --mount=type=secret.")
@click.option("--ssh", multiple=True, metavar="default|ID[=SOCKET|KEY[,KEY]]", help="An ssh agent for RUN --mount=type=ssh.")
@click.option(
    "-o",
    "--output",
    "outputs",
    multiple=True,
    metavar="type=…,dest=…",
    help="oci, docker, local, tar, registry or image; - for standard output.",
)
@click.option("--push", is_flag=True, help="Push the image: -o type=registry.")
@click.option("--load", is_flag=True, help="Keep the image in the local store: -o type=image.")
@click.option("--iidfile", metavar="FILE", help="Write the image's id to a file.")
@click.option("--metadata-file", metavar="FILE", help="Write digests and names to a JSON file.")
@click.option("--progress", type=click.Choice(["auto", "tty", "plain", "quiet", "rawjson", "none"]), help="How the build is shown (auto).")
@click.option("-q", "--quiet", is_flag=True, help="Print the image's id and nothing else.")
@click.option("--strict", is_flag=True, help="Every warning is an error.")
@click.option("--check", is_flag=True, help="Check the Dockerfile and build nothing: --call check.")
@click.option("--call", metavar="METHOD[,format=json]", help="build, check, outline or targets.")
@click.option("--resource", "resource_list", multiple=True, metavar="NAME=VALUE", help="memory, cpu-shares, pids-limit, …: as the options.")
@click.option("--provenance", metavar="false", help="Attestations are not made: only false, or an attestation turned off.")
@click.option("--sbom", metavar="false", help="As --provenance.")
@click.option("--attest", multiple=True, metavar="type=…,disabled=true", help="As --provenance.")
@click.option("--builder", metavar="NAME", help="Accepted for scripts; there is one builder.")
@click.option("-D", "--debug", is_flag=True, help="Accepted for scripts.")
@click.option("--explain", is_flag=True, help="Afterwards tell of each step whether it was a hit, and for a miss what changed.")
@click.option("--report", metavar="FILE", help="Write an HTML page about the build: graph, timeline, misses, layers, what would help.")
@click.option(
    "--on-fail",
    type=click.Choice(["stop", "shell"]),
    default="stop",
    help="shell: open one in the file system of a RUN that failed, with its environment, mounts and user.",
)
@click.option(
    "--verify-reproducible",
    is_flag=True,
    help="Build twice from cold, and write nothing unless both give the same; else tell the first difference, and what would mend it.",
)
@click.option("--dry-run", is_flag=True, help="Only tell what would be a hit and what would run, and why (JSON with --progress=rawjson).")
@click.option("--jobs", type=click.IntRange(min=1), metavar="N", help="Steps at a time (the number of cores, at least 4).")
@click.option("--root", metavar="DIR", help="The store.")
@click.option("--store-size", metavar="SIZE", help="What the store may take of the disk, kept by removing what was longest not used.")
@_of_the_classic_builder
def build(**options: Any) -> int:
    """Build an image from a Dockerfile."""
    return execute(options, read_environment())


def main() -> None:
    """The entry point of the script `build`."""
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
        click.echo(outcome.config_digest if outcome.result.index_raw is None else outcome.digest)
