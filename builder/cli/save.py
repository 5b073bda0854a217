"""`layerwright save`: images of the store as an archive."""

from __future__ import annotations

import sys

import click

from builder.cli.settings import read_environment

EPILOG = """\b
Examples:
  layerwright save app:1 | docker load
  layerwright save --format oci -o app.tar app:1
"""


@click.command(epilog=EPILOG)
@click.argument("images", nargs=-1, required=True, metavar="IMAGE...")
@click.option("-o", "--output", default="-", metavar="FILE", help="Where to write it (standard output).")
@click.option(
    "--format", "kind", type=click.Choice(["docker", "oci", "dir"]), default="docker", show_default=True,
    help="For `docker load`; an OCI archive; or an OCI layout directory.",
)  # fmt: skip
@click.option("--platform", metavar="OS/ARCH", help="The image of an index to save (docker: this machine's; oci: all that are here).")
@click.option("--root", metavar="DIR", help="The store.")
def save(images: tuple[str, ...], output: str, kind: str, platform: str | None, root: str | None) -> int:
    """Write images of the store into one archive."""
    from builder.cli.userspace import workshop_settings
    from builder.engine import stored
    from builder.engine.workshop import Workshop
    from builder.errors import UsageError
    from builder.export.sink import check_file
    from builder.oci.platform import parse_platform

    if kind == "dir" and output == "-":
        raise UsageError("save-needs-directory", "--format dir needs a directory", help="name one with -o DIRECTORY")
    if kind != "dir":
        check_file(output, sys.stdout.buffer)
    with Workshop(workshop_settings(read_environment(), root)) as shop:
        stored.save(shop, images, output, kind, parse_platform(platform) if platform else None, sys.stdout.buffer)
    return 0
