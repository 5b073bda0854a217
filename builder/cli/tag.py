"""`layerwright tag`: one more name for an image."""

from __future__ import annotations

import click

from builder.cli.settings import read_environment

EPILOG = """\b
Example:
  layerwright tag app:1 registry.example/app:latest
"""


@click.command(epilog=EPILOG)
@click.argument("image")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option("--root", metavar="DIR", help="The store.")
def tag(image: str, names: tuple[str, ...], root: str | None) -> int:
    """Give IMAGE (a name, or the beginning of an id) further names."""
    from builder.cli.userspace import workshop_settings
    from builder.engine import stored
    from builder.store.store import Store

    with Store.open(workshop_settings(read_environment(), root).root) as store:
        for name in names:
            stored.tag(store, image, name)
    return 0
