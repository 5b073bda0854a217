"""What follows a build, whether it failed or not: its explanation, and its report."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from builder.errors import LayerwrightError

if TYPE_CHECKING:
    from builder.engine.workshop import WorkshopSettings
    from builder.history.cause import Explanation


@contextmanager
def aftermath(explain: bool, report: str | None, settings: WorkshopSettings, *, quiet: bool) -> Iterator[Callable[[Explanation], object]]:
    """Gives what the build is to tell its explanation to. A report that cannot be written hides no error of the build."""
    told: list[Explanation] = []
    try:
        yield told.append
    except BaseException:
        try:
            _show(told, explain, report, settings, quiet)
        except LayerwrightError as error:
            from builder.cli.errors import describe

            click.echo(describe(error), err=True)
        raise
    _show(told, explain, report, settings, quiet)


def _show(told: list[Explanation], explain: bool, report: str | None, settings: WorkshopSettings, quiet: bool) -> None:
    for explanation in told:
        if explain:
            from builder.cli.explaining import print_explanation

            print_explanation(explanation, err=True)
        if report is not None:
            from builder.cli.report import write_page
            from builder.engine.report import report_build
            from builder.store.store import Store

            with Store.open(settings.root) as store:
                page = report_build(store, explanation.build)
            write_page(report, page, quiet=quiet)
