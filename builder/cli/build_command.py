"""`build` as click's command: help, mistakes, and every command line that is not plain; made from the table of options."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from builder.cli.build import execute
from builder.cli.build_options import OPTIONS, Option
from builder.cli.command import QuickCommand
from builder.cli.settings import read_environment

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


def _of_the_table(command: Callable[..., int]) -> Callable[..., int]:
    for option in reversed(OPTIONS):  # decorators apply from the last one up
        command = click.option(*option.names, option.key, **_attributes(option))(command)
    return command


def _attributes(option: Option) -> dict[str, Any]:
    common = {"help": option.help, "metavar": option.metavar}
    match option.kind:
        case "flag":
            return {"help": option.help, "is_flag": True}
        case "texts":
            return {**common, "multiple": True}
        case "text":
            return {**common, "default": option.default}
        case "number":
            return {**common, "type": int if option.least is None else click.IntRange(min=option.least)}
        case "choice":
            return {**common, "type": click.Choice(option.choices), "default": option.default}


@click.command(cls=QuickCommand, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("context", metavar="PATH | URL | -")
@_of_the_table
@_of_the_classic_builder
def build(**options: Any) -> int:
    """Build an image from a Dockerfile."""
    return execute(options, read_environment())
