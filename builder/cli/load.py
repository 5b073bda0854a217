"""`layerwright load`: images of an archive into the store."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from builder.cli.settings import read_environment

EPILOG = """\b
Examples:
  docker save app:1 | layerwright load
  layerwright load -i app.tar --name app:2
"""


@click.command(epilog=EPILOG)
@click.option(
    "-i", "--input", "source", default="-", metavar="PATH", help="An OCI or docker archive, also compressed, or an OCI layout directory."
)
@click.option("--name", metavar="NAME", help="What to call the only image of the archive.")
@click.option("-q", "--quiet", is_flag=True, help="Print digests only.")
@click.option("--root", metavar="DIR", help="The store.")
def load(source: str, name: str | None, quiet: bool, root: str | None) -> int:
    """Bring the images of an archive into the store, under the names they have there."""
    from builder.cli.userspace import workshop_settings
    from builder.engine import stored
    from builder.errors import NotFoundError, UsageError
    from builder.store.store import Store

    if source == "-" and sys.stdin.isatty():
        raise UsageError("load-from-terminal", "an archive is not read from a terminal", help="name a file with -i FILE")
    path = Path(source)
    if source != "-" and not path.exists():
        raise NotFoundError("file-not-found", f"there is no {source}", help="check the path")
    with Store.open(workshop_settings(read_environment(), root).root) as store:
        if source != "-" and path.is_dir():
            loaded = stored.load(store, None, path, name)
        else:
            with open(0 if source == "-" else path, "rb", closefd=source != "-") as stream:
                loaded = stored.load(store, stream, None, name)
    for image in loaded:
        names = ", ".join(reference.familiar for reference in image.names)
        click.echo(image.descriptor.digest if quiet else f"{names or 'an image without a name'}: {image.descriptor.digest}")
    return 0
