"""`layerwright pull`: an image from a registry into the store."""

from __future__ import annotations

import click

from builder.cli.settings import read_environment

EPILOG = """\b
Examples:
  layerwright pull debian:bookworm
  layerwright pull --platform linux/arm64 registry.example/app:1
"""


@click.command(epilog=EPILOG)
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option("--platform", metavar="OS/ARCH", help="The platform to take of an index (this machine's).")
@click.option("--all-platforms", is_flag=True, help="Take every image of an index.")
@click.option("--insecure", is_flag=True, help="Speak to the registry without checked TLS, or without TLS.")
@click.option("-q", "--quiet", is_flag=True, help="Print the digest only.")
@click.option("--root", metavar="DIR", help="The store.")
def pull(names: tuple[str, ...], platform: str | None, all_platforms: bool, insecure: bool, quiet: bool, root: str | None) -> int:
    """Fetch images from their registries into the store."""
    from builder.cli.transfers import transfer_control
    from builder.cli.userspace import workshop_settings
    from builder.engine import stored
    from builder.engine.room import kept_within
    from builder.engine.workshop import Workshop
    from builder.oci.platform import host_platform, parse_platform
    from builder.oci.reference import parse_reference

    hosts = tuple(parse_reference(name).registry for name in names) if insecure else ()
    wanted = None if all_platforms else (parse_platform(platform) if platform else host_platform())
    settings = workshop_settings(read_environment(), root, hosts)
    with (
        Workshop(settings, transfer_control(quiet)) as shop,
        kept_within(shop.store, settings.store_size, lambda text: click.echo(text, err=True)),
    ):
        for text in names:
            name, descriptor = stored.pull(shop, text, wanted)
            click.echo(descriptor.digest if quiet else f"{name.familiar}: {descriptor.digest}")
    return 0
