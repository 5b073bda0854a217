"""`layerwright rm`: names of images forgotten."""

from __future__ import annotations

import click

from builder.cli.settings import read_environment

EPILOG = """\b
Examples:
  layerwright rm app:1
  layerwright rm 3f2a91c04d2b && layerwright prune
"""


@click.command(epilog=EPILOG)
@click.argument("images", nargs=-1, required=True, metavar="IMAGE...")
@click.option("--root", metavar="DIR", help="The store.")
def rm(images: tuple[str, ...], root: str | None) -> int:
    """Remove names, or all names of an image id. What no name needs any more goes with `layerwright prune`."""
    from builder.cli.userspace import workshop_settings
    from builder.engine import stored
    from builder.store.store import Store

    with Store.open(workshop_settings(read_environment(), root).root) as store:
        for image in images:
            for removed in stored.remove(store, image):
                click.echo(f"{removed.name} removed" + (f"; {removed.digest} has no name any more" if removed.last else ""))
    return 0
