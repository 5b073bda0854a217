"""`layerwright history`: the steps that an image came from."""

from __future__ import annotations

import click

from builder.cli.settings import read_environment
from builder.cli.table import print_table

EPILOG = """\b
Examples:
  layerwright history app:1
  layerwright history --no-trunc app:1
"""


@click.command(epilog=EPILOG)
@click.argument("image")
@click.option("--platform", metavar="OS/ARCH", help="The image of an index to look at (this machine's).")
@click.option("--no-trunc", is_flag=True, help="Print commands whole.")
@click.option("--root", metavar="DIR", help="The store.")
def history(image: str, platform: str | None, no_trunc: bool, root: str | None) -> int:
    """Show the steps an image came from, newest first, with the size of the layer of each."""
    from builder.cli.userspace import workshop_settings
    from builder.engine.catalogue import stored_image
    from builder.oci.platform import parse_platform
    from builder.progress.plain import size_text
    from builder.progress.sanitise import clean
    from builder.store.store import Store

    with Store.open(workshop_settings(read_environment(), root).root) as store:
        found = stored_image(store, image, parse_platform(platform) if platform else None)
    sizes = iter(layer.size for layer in found.manifest.layers)
    rows: list[list[str]] = []
    for line in found.config.history or ():
        size = 0 if line.empty_layer else next(sizes, 0)
        text = clean(line.created_by)
        short = text if no_trunc or len(text) <= 60 else text[:59] + "…"
        rows.append([(line.created or "")[:19].replace("T", " "), short, size_text(size), clean(line.comment)])
    print_table(["CREATED", "CREATED BY", "SIZE", "COMMENT"], rows[::-1])
    return 0
