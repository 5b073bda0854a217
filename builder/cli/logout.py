"""`layerwright logout`: a login forgotten."""

from __future__ import annotations

import click

from builder.cli.settings import read_environment

EPILOG = """\b
Example:
  layerwright logout registry.example
"""


@click.command(epilog=EPILOG)
@click.argument("host", default="docker.io", metavar="[HOST]")
def logout(host: str) -> int:
    """Forget the login of a registry (docker.io)."""
    from builder.cli.hosts import registry_host
    from builder.cli.settings import registry_settings
    from builder.registry.login import erase_login

    name = registry_host(host)
    found = erase_login(registry_settings(read_environment()), name)
    click.echo(f"logged out of {name}" if found else f"there was no login for {name}")
    return 0
