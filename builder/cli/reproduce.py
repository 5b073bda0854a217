"""--verify-reproducible: the build twice from cold, told of in words."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING

import click

from builder.compare.render import text_lines
from builder.engine.reproduce import Reproduction, build_twice
from builder.errors import LayerwrightError
from builder.progress.sanitise import clean

if TYPE_CHECKING:
    from builder.engine.request import BuildRequest
    from builder.engine.workshop import WorkshopSettings
    from builder.history.cause import Explanation
    from builder.progress.events import Listener


def verify_reproducible(
    request: BuildRequest,
    settings: WorkshopSettings,
    view: Callable[[], AbstractContextManager[Listener]],
    explained: Callable[[Explanation], object] | None,
    *,
    quiet: bool,
) -> None:
    """Says that both gave the same, or raises `not-reproducible` with the first difference and what would mend it."""

    @contextmanager
    def views(number: int) -> Iterator[Listener]:
        if not quiet:
            click.echo(f"building from cold, {('for the first time', 'for the second time')[number - 1]}", err=True)
        with view() as listener:
            yield listener

    found = build_twice(request, settings, views, cancel=threading.Event(), explained=explained)
    if found.parting is None:
        if not quiet:
            click.echo(f"reproducible: both builds gave {found.first.digest}", err=True)
        return
    raise LayerwrightError(
        "not-reproducible",
        f"two builds from cold gave {found.first.digest[:19]} and {found.second.digest[:19]}; {_where(found)}",
        help="; ".join(found.mend) or "compare what the steps wrote, with `layerwright logs`",
        notes=tuple(_notes(found)),
    )


def _where(found: Reproduction) -> str:
    platform = f" of {found.platform}" if found.platform else ""
    if not found.place:
        return f"their files are the same{platform}, what the image says of itself is not"
    return f"the first difference{platform} is in {clean(found.place)}"


def _notes(found: Reproduction) -> Iterator[str]:
    parting = found.parting
    assert parting is not None
    for difference in parting.shown:
        yield from (line.removeprefix("  ") for line in text_lines(difference))
    if parting.count > len(parting.shown):
        yield f"… and {parting.count - len(parting.shown):,} more there"
    if parting.deeper is None:
        yield "times are all that differs"
    elif parting.deeper[1] not in parting.shown:
        yield f"the first difference that is no time{_in(found.deeper_place)}:"
        yield from (line.removeprefix("  ") for line in text_lines(parting.deeper[1]))


def _in(place: str) -> str:
    return f", in {clean(place)}" if place else ""
