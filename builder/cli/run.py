"""`layerwright run`: an image's command, once, in a sandbox; what it writes is thrown away."""

from __future__ import annotations

import sys
import threading
import time
from typing import Literal

import click

from builder.cli.settings import read_environment
from builder.errors import UsageError

EPILOG = """\b
Examples:
  layerwright run app:1
  layerwright run --env DEBUG=1 --workdir /tmp app:1 sh -c 'echo $DEBUG; pwd'
"""


@click.command(epilog=EPILOG, context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.argument("image")
@click.argument("args", nargs=-1, metavar="[ARG]...", type=click.UNPROCESSED)
@click.option("--entrypoint", metavar="PROGRAM", help="Run this in place of the image's entrypoint.")
@click.option("-e", "--env", "variables", multiple=True, metavar="NAME[=VALUE]", help="A variable; without = the environment's.")
@click.option("-u", "--user", metavar="USER[:GROUP]", help="As whom to run.")
@click.option("-w", "--workdir", metavar="DIR", help="Where to run.")
@click.option("--network", type=click.Choice(["default", "none", "host"]), default="default", show_default=True, help="The network.")
@click.option("--root", metavar="DIR", help="The store.")
def run(
    image: str,
    args: tuple[str, ...],
    entrypoint: str | None,
    variables: tuple[str, ...],
    user: str | None,
    workdir: str | None,
    network: Literal["default", "none", "host"],
    root: str | None,
) -> int:
    """Run the command of IMAGE, or ARGs in its place.

    Standard input is empty. The exit code is the command's; 128 and the signal's number if a signal ended it.
    """
    from builder.cli.userspace import workshop_settings
    from builder.engine.run import RunRequest, run_image
    from builder.engine.workshop import Workshop

    env = read_environment()
    if workdir is not None and not workdir.startswith("/"):
        raise UsageError("relative-workdir", f"--workdir {workdir} is not absolute", help=f"write /{workdir}")
    given = tuple((name, value if equals else env.get(name) or "") for name, equals, value in (pair.partition("=") for pair in variables))
    settings = workshop_settings(env, root)
    request = RunRequest(image, args, entrypoint, given, user, workdir, network)
    streams = {"stdout": sys.stdout.buffer, "stderr": sys.stderr.buffer}

    def write(stream: Literal["stdout", "stderr"], data: bytes) -> None:
        streams[stream].write(data)
        streams[stream].flush()

    with Workshop(settings) as shop:
        ended = run_image(request, shop, write, threading.Event(), time.time_ns())
    return 128 + ended.signal if ended.signal is not None else ended.code or 0
