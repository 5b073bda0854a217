"""`layerwright logs`: what the steps of a build wrote, whole."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from builder.cli.settings import read_environment

if TYPE_CHECKING:
    from builder.history.archive import History
    from builder.history.record import BuildRecord, StepRecord

EPILOG = """\b
Examples:
  layerwright logs
  layerwright logs last 3
  layerwright logs last "RUN make"
"""


@click.command(epilog=EPILOG)
@click.argument("build", required=False)
@click.argument("step", required=False)
@click.option("--raw", is_flag=True, help="Every byte as it was written, terminal escapes too.")
@click.option("--root", metavar="DIR", help="The store.")
def logs(build: str | None, step: str | None, raw: bool, root: str | None) -> int:
    """Print the whole log of BUILD (an id, its beginning, or `last`), or of one STEP of it.

    STEP is the number that the build printed, a place (`build 2/4`), or a part of the instruction's text. The log of
    a cached step is that of the build that ran it.
    """
    from builder.cli.userspace import workshop_settings
    from builder.history.archive import History, find_step
    from builder.history.record import unpack_steps
    from builder.store.store import Store

    with Store.open(workshop_settings(read_environment(), root).root) as store:
        history = History(store)
        record = history.find(build)
        steps = unpack_steps(record)
        if step is not None:
            return _one(history, record, find_step(steps, step), raw=raw)
        for each in sorted((found for found in steps if found.number), key=lambda found: found.number):
            _headed(history, record, each, raw=raw)
    return 0


def _one(history: History, record: BuildRecord, step: StepRecord, *, raw: bool) -> int:
    from builder.errors import NotFoundError

    found = history.log(record, step)
    if found is None and (step.logged or step.outcome == "cached"):
        raise NotFoundError(
            "no-log", f"the log of step {step.number} of build {record.id} is not in the store", help="a step that wrote nothing has none"
        )
    if found is not None:
        _write(found[1], raw=raw)
    return 0


def _headed(history: History, record: BuildRecord, step: StepRecord, *, raw: bool) -> None:
    from builder.history.cause import place_of
    from builder.progress.sanitise import clean

    found = history.log(record, step) if step.logged else None
    sys.stdout.write(f"#{step.number} {clean(place_of(step))} {step.outcome}\n")
    if found is not None:
        sys.stdout.flush()
        _write(found[1], raw=raw)


def _write(path: Path, *, raw: bool) -> None:
    from builder.progress.sanitise import Lines

    lines = Lines()
    with path.open("rb") as log:
        while data := log.read(1 << 16):
            if raw:
                sys.stdout.buffer.write(data)
            else:
                sys.stdout.writelines(f"{line}\n" for line in lines.feed(data))
    if not raw:
        sys.stdout.writelines(f"{line}\n" for line in lines.flush())
    sys.stdout.flush()
