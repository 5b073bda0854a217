"""`layerwright builds`: the builds this store remembers, and the steps of one."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from builder.cli.settings import read_environment
from builder.cli.table import print_table

if TYPE_CHECKING:
    from builder.history.archive import History
    from builder.history.record import BuildRecord, StepRecord

EPILOG = """\b
Examples:
  layerwright builds
  layerwright builds last
  layerwright builds --format json
"""


@click.command(epilog=EPILOG)
@click.argument("build", required=False)
@click.option("-n", "--limit", type=click.IntRange(min=1), default=20, show_default=True, help="So many, the newest.")
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", help="How to print (table).")
@click.option("--root", metavar="DIR", help="The store.")
def builds(build: str | None, limit: int, form: str, root: str | None) -> int:
    """List the builds of the store, newest first; with BUILD (an id, its beginning, or `last`) the steps of that one."""
    from builder.cli.userspace import workshop_settings
    from builder.history.archive import History
    from builder.store.store import Store

    with Store.open(workshop_settings(read_environment(), root).root) as store:
        history = History(store)
        if build is not None:
            _show_steps(history.find(build), form)
        else:
            _show_builds(history, limit, form)
    return 0


def _show_builds(history: History, limit: int, form: str) -> None:
    records = history.list(limit)
    if form == "json":
        for record in records:
            _print_json(record)
        return
    rows = [
        [
            record.id[:12],
            time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(record.started_ns / 1e9)),
            record.state,
            f"{record.duration_ns / 1e9:.1f}s",
            f"{record.cached}/{record.cached + record.ran}",
            _title(record),
            record.digest[7:19],
        ]
        for record in records
    ]
    print_table(["BUILD", "STARTED", "STATE", "TOOK", "CACHED", "DOCKERFILE", "RESULT"], rows)


def _title(record: BuildRecord) -> str:
    from builder.progress.sanitise import clean

    asked = record.request
    name = asked.dockerfile if asked.dockerfile.startswith("/") else f"{asked.context}/{asked.dockerfile}"
    return clean(name + (f" ({asked.target})" if asked.target else ""))


def _show_steps(record: BuildRecord, form: str) -> None:
    from builder.history.cause import place_of
    from builder.history.record import unpack_steps
    from builder.progress.sanitise import clean

    steps = sorted((step for step in unpack_steps(record) if step.kind != "hidden"), key=lambda step: step.number or 1 << 30)
    if form == "json":
        _print_json(record, tuple(steps))
        return
    rows = [
        [str(step.number or "-"), step.outcome, f"{step.duration_ns / 1e9:.1f}s" if step.duration_ns else "", clean(place_of(step))]
        for step in steps
    ]
    print_table(["STEP", "OUTCOME", "TOOK", "INSTRUCTION"], rows)
    if record.error:
        click.echo(f"error: {clean(record.error)}")


def _print_json(record: BuildRecord, steps: tuple[StepRecord, ...] = ()) -> None:
    import msgspec

    document = msgspec.to_builtins(msgspec.structs.replace(record, steps=b""))
    document["steps"] = msgspec.to_builtins(steps)
    click.echo(msgspec.json.encode(document))
