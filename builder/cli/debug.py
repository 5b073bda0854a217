"""`layerwright debug`: a shell in a step of a build that is over."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import click

from builder.cli.settings import read_environment

if TYPE_CHECKING:
    from builder.engine.debug import Side
    from builder.history.record import StepRecord

EPILOG = """\b
Examples:
  layerwright debug
  layerwright debug last 3 --before
  layerwright debug last "RUN make" --secret id=token,src=token.txt
"""


@click.command(epilog=EPILOG)
@click.argument("build", required=False)
@click.argument("step", required=False)
@click.option("--before", "side", flag_value="before", help="The root as the step found it (where it failed).")
@click.option("--after", "side", flag_value="after", help="The root as the step left it (where it finished).")
@click.option("--shell", metavar="PROGRAM", help="The program to run (the first shell there is).")
@click.option("--secret", "secrets", multiple=True, metavar="id=NAME[,src=FILE|env=VAR]", help="A secret that the step mounts.")
@click.option("--ssh", multiple=True, metavar="default|ID[=SOCKET|KEY[,KEY]]", help="An ssh agent that the step mounts.")
@click.option("--root", metavar="DIR", help="The store.")
def debug(
    build: str | None,
    step: str | None,
    side: Side | None,
    shell: str | None,
    secrets: tuple[str, ...],
    ssh: tuple[str, ...],
    root: str | None,
) -> int:
    """Open a shell in a step of BUILD: its file system, environment, mounts and user; what is written is thrown away.

    BUILD is an id, its beginning, or `last`; STEP a number, a place (`build 2/4`), or a part of the instruction's text;
    by default the step that failed, else the last. The exit code is the shell's.
    """
    from builder.cli.terminal import require_terminal, talk
    from builder.cli.userspace import workshop_settings
    from builder.cli.values import parse_secrets, parse_ssh

    require_terminal("debug")
    env = read_environment()
    given, agents = parse_secrets(secrets, env), parse_ssh(ssh, env)
    settings = workshop_settings(env, root)
    from builder.engine.debug import DebugRequest, debug_step
    from builder.engine.workshop import Workshop

    request = DebugRequest(build, step, side, shell, given, agents, env.get("TERM") or "")
    with Workshop(settings) as shop:
        ended = debug_step(request, shop, talk, _tell)
    if ended.setup_error is not None:
        sys.stderr.write(f"the shell could not be started: {ended.setup_error}{os.linesep}")
        return 1
    return 128 + ended.signal if ended.signal is not None else ended.code or 0


def _tell(step: StepRecord, side: Side, missing: tuple[str, ...]) -> None:
    from builder.history.cause import place_of
    from builder.progress.sanitise import clean

    sys.stderr.write(f"{side} {clean(place_of(step))}; what is written here is thrown away\n")
    for option in missing:
        sys.stderr.write(f"without what the build was given by {option}\n")
    sys.stderr.flush()
