"""`layerwright images`: what the store has."""

from __future__ import annotations

import click

from builder.cli.settings import read_environment
from builder.cli.table import print_table

EPILOG = """\b
Examples:
  layerwright images
  layerwright images --digests
"""


@click.command(epilog=EPILOG)
@click.option("-q", "--quiet", is_flag=True, help="Print the ids only.")
@click.option("--digests", is_flag=True, help="Print the digests of manifests too.")
@click.option("--root", metavar="DIR", help="The store.")
def images(quiet: bool, digests: bool, root: str | None) -> int:
    """List the images of the store."""
    from builder.cli.userspace import workshop_settings
    from builder.engine.catalogue import list_images
    from builder.progress.plain import size_text
    from builder.store.store import Store

    with Store.open(workshop_settings(read_environment(), root).root) as store:
        rows = list_images(store)
    if quiet:
        for row in rows:
            click.echo(row.image_id.removeprefix("sha256:")[:12])
        return 0
    heads = ["NAME", "IMAGE ID", *(["DIGEST"] if digests else []), "SIZE"]
    print_table(
        heads,
        [[row.name, row.image_id.removeprefix("sha256:")[:12], *([row.digest] if digests else []), size_text(row.size)] for row in rows],
    )
    return 0
