"""`layerwright push`: an image of the store to a registry."""

from __future__ import annotations

import click

from builder.cli.settings import read_environment

EPILOG = """\b
Examples:
  layerwright push registry.example/app:1
  layerwright push app:1 registry.example/app:latest
"""


@click.command(epilog=EPILOG)
@click.argument("name")
@click.argument("target", required=False)
@click.option("--platform", metavar="OS/ARCH", help="Push only this image of an index.")
@click.option("--insecure", is_flag=True, help="Speak to the registry without checked TLS, or without TLS.")
@click.option("-q", "--quiet", is_flag=True, help="Print the digest only.")
@click.option("--root", metavar="DIR", help="The store.")
def push(name: str, target: str | None, platform: str | None, insecure: bool, quiet: bool, root: str | None) -> int:
    """Push an image of the store to the registry of its NAME, or as TARGET."""
    from builder.cli.transfers import transfer_control
    from builder.cli.userspace import workshop_settings
    from builder.engine import stored
    from builder.engine.workshop import Workshop
    from builder.oci.platform import parse_platform
    from builder.oci.reference import parse_reference

    hosts = (parse_reference(target or name).registry,) if insecure else ()
    with Workshop(workshop_settings(read_environment(), root, hosts), transfer_control(quiet)) as shop:
        goal, descriptor = stored.push(shop, name, target, parse_platform(platform) if platform else None)
    click.echo(descriptor.digest if quiet else f"{goal.familiar}: {descriptor.digest}")
    return 0
