"""`layerwright prune`: what is not needed is removed."""

from __future__ import annotations

import click

from builder.cli.settings import read_environment
from builder.cli.table import print_table

EPILOG = """\b
Examples:
  layerwright prune
  layerwright prune --unused-for 48h --max-used-space 10g
"""


@click.command(epilog=EPILOG)
@click.option("--unused-for", "--keep-duration", metavar="DURATION", help="Only what was not used for so long, as 48h.")
@click.option("--max-used-space", metavar="SIZE", help="Stop when the store takes no more than this.")
@click.option("--reserved-space", metavar="SIZE", help="Always leave so much.")
@click.option("--min-free-space", metavar="SIZE", help="Stop when the disk has so much free.")
@click.option("--cache-mounts", is_flag=True, help="Only cache mounts.")
@click.option("-n", "--dry-run", is_flag=True, help="Only say what would go.")
@click.option("-v", "--verbose", is_flag=True, help="List every thing.")
@click.option("--root", metavar="DIR", help="The store.")
def prune(
    unused_for: str | None,
    max_used_space: str | None,
    reserved_space: str | None,
    min_free_space: str | None,
    cache_mounts: bool,
    dry_run: bool,
    verbose: bool,
    root: str | None,
) -> int:
    """Remove cached layers, blobs and cache mounts that no image name and no running build needs.

    The least recently used goes first. Images stay as long as they have a name; `layerwright rm` removes names.
    """
    from builder.cli.userspace import workshop_settings
    from builder.cli.values import parse_size, parse_span
    from builder.progress.plain import size_text
    from builder.store.collect import Rule
    from builder.store.store import Store
    from builder.store.sweep import collect

    rule = Rule(
        kinds=("cache-mount",) if cache_mounts else (),
        unused_ns=parse_span("--unused-for", unused_for) if unused_for else 0,
        reserved=parse_size("--reserved-space", reserved_space) if reserved_space else 0,
        max_used=parse_size("--max-used-space", max_used_space) if max_used_space else 0,
        min_free=parse_size("--min-free-space", min_free_space) if min_free_space else 0,
    )
    with Store.open(workshop_settings(read_environment(), root).root) as store:
        swept = collect(store, (rule,), dry_run=dry_run)
    if verbose and swept.removals:
        print_table(["KIND", "NAME", "SIZE"], [[item.kind, item.note or item.name, size_text(item.size)] for item in swept.removals])
    count = len(swept.removals)
    click.echo(f"{'would remove' if dry_run else 'removed'} {count} thing{'' if count == 1 else 's'}, {size_text(swept.size)}")
    return 0
