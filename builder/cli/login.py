"""`layerwright login`: a login for a registry, checked and kept."""

from __future__ import annotations

import sys

import click

from builder.cli.settings import read_environment

EPILOG = """\b
Examples:
  layerwright login registry.example
  echo "$TOKEN" | layerwright login -u me --password-stdin ghcr.io
"""


@click.command(epilog=EPILOG)
@click.argument("host", default="docker.io", metavar="[HOST]")
@click.option("-u", "--username", metavar="NAME", help="The user name.")
@click.option("-p", "--password", metavar="PASSWORD", help="The password; others can see it in the list of processes.")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
@click.option("--insecure", is_flag=True, help="Speak to the registry without checked TLS, or without TLS.")
def login(host: str, username: str | None, password: str | None, password_stdin: bool, insecure: bool) -> int:
    """Log in to a registry (docker.io), and keep the login where docker keeps it."""
    from builder.cli.hosts import registry_host
    from builder.cli.settings import registry_settings
    from builder.errors import UsageError
    from builder.registry.client import Registry
    from builder.registry.credentials import Credential
    from builder.registry.login import store_login
    from builder.store.blobs import MemoryBlobs

    name = registry_host(host)
    if password is not None and password_stdin:
        raise UsageError("two-passwords", "--password and --password-stdin do not go together", help="leave one out")
    if password_stdin and username is None:
        raise UsageError("no-username", "--password-stdin needs a user name", help="add -u NAME")
    if not sys.stdin.isatty() and not password_stdin and (username is None or password is None):
        raise UsageError("no-terminal", "there is no terminal to ask for the password", help="use -u NAME --password-stdin")
    if username is None:
        username = click.prompt("Username", err=True)
    if password_stdin:
        password = sys.stdin.read().removesuffix("\n").removesuffix("\r")
    if password is None:
        password = click.prompt("Password", hide_input=True, err=True)
    if not username or not password:
        raise UsageError("empty-login", "the user name and the password may not be empty")
    settings = registry_settings(read_environment(), (name,) if insecure else ())
    credential = Credential(username, password)
    with Registry(settings, MemoryBlobs()) as registry:
        registry.verify_login(name, credential)
    where = store_login(settings, name, credential)
    click.echo(f"logged in to {name} as {username}; the login is kept in {where}")
    return 0
