"""`layerwright`: the commands by name, each a module of its own that is loaded when it is called."""

from __future__ import annotations

from importlib import import_module

import click

from builder.cli.errors import leave, run_command

COMMANDS: dict[str, tuple[str, str]] = {
    "base": ("builder.cli.base", "Make a small base image from this machine's shell, tools and libraries."),
    "build": ("builder.cli.build_command", "Build an image from a Dockerfile."),
    "builds": ("builder.cli.builds", "List the builds of the store, and the steps of one."),
    "debug": ("builder.cli.debug", "Open a shell in a step of a build."),
    "diff": ("builder.cli.diff", "Compare two images."),
    "doctor": ("builder.cli.doctor", "Show what this machine can do, and what to mend."),
    "du": ("builder.cli.du", "Show what the store takes of the disk."),
    "explain": ("builder.cli.explain", "Explain why the steps of a build were hits or misses."),
    "fsck": ("builder.cli.fsck", "Check the store, and repair it."),
    "history": ("builder.cli.history", "Show the steps an image came from."),
    "images": ("builder.cli.images", "List the images of the store."),
    "inspect": ("builder.cli.inspect", "Show an image of the store as JSON."),
    "load": ("builder.cli.load", "Bring the images of an archive into the store."),
    "login": ("builder.cli.login", "Log in to a registry."),
    "logout": ("builder.cli.logout", "Forget the login of a registry."),
    "logs": ("builder.cli.logs", "Print what the steps of a build wrote."),
    "prune": ("builder.cli.prune", "Remove what no image and no running build needs."),
    "pull": ("builder.cli.pull", "Fetch images from their registries into the store."),
    "push": ("builder.cli.push", "Push an image of the store to its registry."),
    "report": ("builder.cli.report", "Write a build as one HTML page."),
    "rm": ("builder.cli.rm", "Remove names of images."),
    "run": ("builder.cli.run", "Run the command of an image in a sandbox."),
    "save": ("builder.cli.save", "Write images of the store into an archive."),
    "tag": ("builder.cli.tag", "Give an image further names."),
}
"""The module that holds a command of the same name, and what the list of commands says of it."""


class LazyGroup(click.Group):
    """Lists the commands without loading any, and loads the one that is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command = getattr(import_module(COMMANDS[cmd_name][0]), cmd_name)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS:
            from grammar.diagnostics import suggest

            near = suggest(args[0], COMMANDS)
            hint = f" (did you mean `{near}`?)" if near else ""
            raise click.UsageError(f"there is no command `{args[0]}`{hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in sorted(COMMANDS.items())])


EPILOG = """\b
Examples:
  layerwright build -t app .
  layerwright images
  layerwright COMMAND --help
"""


@click.group(cls=LazyGroup, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="layerwright", prog_name="layerwright")
def layerwright() -> None:
    """Dockerfiles to OCI images: no daemon, no root needed."""


def main() -> None:
    """The entry point of the script `layerwright`."""
    leave(run_command(layerwright, "layerwright"))
