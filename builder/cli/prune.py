"""`layerwright prune`: what is not needed is removed."""

from __future__ import annotations

import click

from builder.cli.settings import read_environment
from builder.cli.table import print_table
from builder.cli.values import FILTER

EPILOG = """\b
Examples:
  layerwright prune
  layerwright prune --unused-for 48h --max-used-space 10g
  layerwright prune --all --filter type=cache-mount --filter id=apt --dry-run
"""


@click.command(epilog=EPILOG)
@click.option("-a", "--all", "everything", is_flag=True, help="Records and logs of builds too, and what is only remembered to be faster.")
@click.option("--filter", "filters", multiple=True, metavar="KEY[=VALUE]", help=FILTER)
@click.option("--unused-for", "--keep-duration", metavar="DURATION", help="Only what was not used for so long, as 48h.")
@click.option("--max-used-space", metavar="SIZE", help="Stop when the store takes no more than this.")
@click.option("--reserved-space", metavar="SIZE", help="Always leave so much.")
@click.option("--min-free-space", metavar="SIZE", help="Stop when the disk has so much free.")
@click.option("--cache-mounts", is_flag=True, help="Only cache mounts.")
@click.option("-f", "--force", is_flag=True, help="Accepted for scripts; nothing is asked.")
@click.option("-n", "--dry-run", is_flag=True, help="Only say what would go.")
@click.option("-v", "--verbose", is_flag=True, help="List every thing.")
@click.option("--root", metavar="DIR", help="The store.")
def prune(
    everything: bool,
    filters: tuple[str, ...],
    unused_for: str | None,
    max_used_space: str | None,
    reserved_space: str | None,
    min_free_space: str | None,
    cache_mounts: bool,
    force: bool,
    dry_run: bool,
    verbose: bool,
    root: str | None,
) -> int:
    """Remove cached layers, blobs and cache mounts that no image name and no running build needs.

    The least recently used goes first. Images stay as long as they have a name; `layerwright rm` removes names.
    Filters are those of `docker buildx prune`: until=48h, id, type, description, parents (with =, != or ~=),
    inuse, shared, private, mutable, immutable; several must all hold.
    """
    from builder.cli.userspace import workshop_settings
    from builder.cli.values import parse_size, parse_span
    from builder.progress.plain import size_text
    from builder.progress.sanitise import clean
    from builder.store.collect import Rule
    from builder.store.conditions import parse_condition
    from builder.store.store import Store
    from builder.store.sweep import collect, forget

    spans = {"--unused-for": unused_for, "--filter until": None}
    conditions = []
    for text in filters:
        key, _, value = text.partition("=")
        if key in ("until", "unused-for"):
            spans["--filter until"] = value
        else:
            conditions.append(parse_condition("--filter", text))
    rule = Rule(
        kinds=("cache-mount",) if cache_mounts else (),
        unused_ns=max(parse_span(option, text) if text is not None else 0 for option, text in spans.items()),
        reserved=parse_size("--reserved-space", reserved_space) if reserved_space else 0,
        max_used=parse_size("--max-used-space", max_used_space) if max_used_space else 0,
        min_free=parse_size("--min-free-space", min_free_space) if min_free_space else 0,
        conditions=tuple(conditions),
        everything=everything,
    )
    with Store.open(workshop_settings(read_environment(), root).root) as store:
        swept = collect(store, (rule,), dry_run=dry_run)
        if everything and not (dry_run or filters):
            forget(store)
    if verbose and swept.removals:
        rows = [[item.group, clean(item.note or item.name), size_text(item.size)] for item in swept.removals]
        print_table(["KIND", "NAME", "SIZE"], rows)
    count = len(swept.removals)
    click.echo(f"{'would remove' if dry_run else 'removed'} {count} thing{'' if count == 1 else 's'}, {size_text(swept.size)}")
    return 0
