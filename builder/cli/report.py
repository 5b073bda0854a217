"""`layerwright report`: a build as one HTML page."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from builder.cli.settings import read_environment
from builder.errors import LayerwrightError

EPILOG = """\b
Examples:
  layerwright report
  layerwright report last -o build.html
"""


@click.command(epilog=EPILOG)
@click.argument("build", required=False)
@click.option("-o", "--output", default="report.html", show_default=True, metavar="FILE", help="Where to write it; - for standard output.")
@click.option("--root", metavar="DIR", help="The store.")
def report(build: str | None, output: str, root: str | None) -> int:
    """Write BUILD (an id, its beginning, or `last`) as one HTML page that needs no network.

    It shows the instruction graph, the timeline and its critical path, hits and misses with their causes, layers with
    their largest files, warnings, and what would make the next build faster.
    """
    from builder.cli.userspace import workshop_settings
    from builder.engine.report import report_build
    from builder.store.store import Store

    with Store.open(workshop_settings(read_environment(), root).root) as store:
        page = report_build(store, build)
    write_page(output, page)
    return 0


def write_page(output: str, page: bytes, *, quiet: bool = False) -> None:
    """To a file, which is named on standard error, or to standard output."""
    if output == "-":
        sys.stdout.buffer.write(page)
        return
    try:
        Path(output).write_bytes(page)
    except OSError as error:
        raise LayerwrightError("report-unwritable", f"the report {output} cannot be written: {error.strerror}") from None
    if not quiet:
        click.echo(f"report: {output}", err=True)
