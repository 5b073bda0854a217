"""`layerwright explain`: why each step of a build was a hit or a miss."""

from __future__ import annotations

import click

from builder.cli.settings import read_environment

EPILOG = """\b
Examples:
  layerwright explain
  layerwright explain last --format json
"""


@click.command(epilog=EPILOG)
@click.argument("build", required=False)
@click.option("--all-files", is_flag=True, help="Name every file that changed, not the first 20 of a step.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", help="How to print (text).")
@click.option("--root", metavar="DIR", help="The store.")
def explain(build: str | None, all_files: bool, form: str, root: str | None) -> int:
    """Explain BUILD (an id, its beginning, or `last`): each step hit or miss, and for a miss what changed.

    A build is compared with the nearest earlier one of the same context, Dockerfile and target.
    """
    from builder.cli.explaining import print_explanation
    from builder.cli.userspace import workshop_settings
    from builder.engine.explain import explain_build
    from builder.store.store import Store

    with Store.open(workshop_settings(read_environment(), root).root) as store:
        print_explanation(explain_build(store, build), form=form, all_files=all_files)
    return 0
