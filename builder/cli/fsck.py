"""`layerwright fsck`: the store checked against itself."""

from __future__ import annotations

import click

from builder.cli.settings import read_environment

EPILOG = """\b
Examples:
  layerwright fsck
  layerwright fsck --repair
"""


@click.command(epilog=EPILOG)
@click.option("--repair", is_flag=True, help="Remove what is broken, so that the next build makes it anew.")
@click.option("--root", metavar="DIR", help="The store.")
def fsck(repair: bool, root: str | None) -> int:
    """Check every blob, layer and image of the store. The exit code is 1 when something is left that is wrong."""
    from builder.cli.userspace import workshop_settings
    from builder.store.fsck import check_root

    problems = check_root(workshop_settings(read_environment(), root).root, repair=repair)
    for problem in problems:
        click.echo(f"{problem.kind}: {problem.message}" + (" (repaired)" if problem.repaired else ""))
    left = [problem for problem in problems if not problem.repaired]
    if not problems:
        click.echo("the store is whole")
    elif left and not repair:
        click.echo(f"{len(left)} problem{'' if len(left) == 1 else 's'}; `layerwright fsck --repair` mends what can be mended")
    return 1 if left else 0
