"""`layerwright du`: what the store takes of the disk."""

from __future__ import annotations

import click

from builder.cli.settings import read_environment
from builder.cli.table import print_table
from builder.cli.values import FILTER

EPILOG = """\b
Examples:
  layerwright du
  layerwright du --verbose --filter type=cache-mount
"""


@click.command(epilog=EPILOG)
@click.option("-v", "--verbose", is_flag=True, help="List every thing, and why prune would leave it.")
@click.option("--filter", "filters", multiple=True, metavar="KEY[=VALUE]", help=FILTER)
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
@click.option("--root", metavar="DIR", help="The store.")
def du(verbose: bool, filters: tuple[str, ...], as_json: bool, root: str | None) -> int:
    """Show what the store takes of the disk, and how much of it `layerwright prune` would give back."""
    from builder.cli.userspace import workshop_settings
    from builder.progress.plain import size_text
    from builder.progress.sanitise import clean
    from builder.store.conditions import parse_condition
    from builder.store.store import Store
    from builder.store.usage import usage

    with Store.open(workshop_settings(read_environment(), root).root) as store:
        found = usage(store, tuple(parse_condition("--filter", text) for text in filters))
    if as_json:
        import msgspec

        document = {"total": found.total, "reclaimable": found.reclaimable, "things": found.lines}
        click.echo(msgspec.json.format(msgspec.json.encode(document), indent=2).decode())
        return 0
    if verbose:
        print_table(
            ["KIND", "NAME", "SIZE", "KEPT"],
            [[line.kind, clean(line.note or line.name)[:60], size_text(line.size), line.kept] for line in found.lines],
        )
        click.echo("")
    print_table(["KIND", "COUNT", "SIZE"], [[kind, str(count), size_text(size)] for kind, count, size in found.by_kind()])
    click.echo(f"\ntotal {size_text(found.total)}, of which prune would give back {size_text(found.reclaimable)}")
    return 0
