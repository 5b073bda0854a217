"""`layerwright base`: a small base image from this machine's own files."""

from __future__ import annotations

import click

from builder.cli.settings import read_environment, source_date_epoch

EPILOG = """\b
Examples:
  layerwright base
  layerwright base --name local/tools --tools
"""


@click.command(epilog=EPILOG)
@click.option("--name", default="layerwright/base", show_default=True, metavar="NAME", help="What the image is called in the store.")
@click.option("--tools", is_flag=True, help="Take the machine's shell and tools even where there is a busybox.")
@click.option("-q", "--quiet", is_flag=True, help="Print the digest only.")
@click.option("--root", metavar="DIR", help="The store.")
def base(name: str, tools: bool, quiet: bool, root: str | None) -> int:
    """Make a small base image from this machine's shell, tools and libraries.

    Nothing is downloaded. `FROM layerwright/base` then builds on it.
    """
    from builder.cli.userspace import workshop_settings
    from builder.engine.base import import_base
    from builder.store.store import Store

    env = read_environment()
    settings = workshop_settings(env, root)
    with Store.open(settings.root) as store:
        image = import_base(store, name, epoch=source_date_epoch(env) or 0, busybox=not tools)
    if quiet:
        click.echo(image.descriptor.digest)
        return 0
    click.echo(f"{name}: {image.descriptor.digest}, {image.manifest.layers[0].size:,} bytes in one layer")
    return 0
