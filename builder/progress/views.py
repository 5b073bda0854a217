"""The views by name: what `--progress` chooses from."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, Protocol, TextIO

from builder.progress.events import Event

if TYPE_CHECKING:
    from builder.progress.plain import Folding

ViewName = Literal["tty", "plain", "rawjson", "quiet"]
VIEW_NAMES: tuple[ViewName, ...] = ("tty", "plain", "rawjson", "quiet")


class View(Protocol):
    """A listener that has an end: `close` writes what waits and gives the terminal back; safe to call twice."""

    def on_event(self, event: Event) -> None:
        """Shows one event."""
        ...

    def close(self) -> None:
        """Ends the view."""
        ...


class QuietView:
    """Shows nothing: `-q` prints the image's id, and that is the command's."""

    def on_event(self, event: Event) -> None:
        """Nothing is shown."""

    def close(self) -> None:
        """Nothing waits."""


def open_view(name: ViewName, out: TextIO, clock: Callable[[], int], folding: Folding = "none") -> View:
    """The view called `name` on `out`, loaded when it is asked for; `tty` becomes plain where `out` is no terminal.

    `clock` (unix nanoseconds) is for the live view only, which shows how long a silent step has been running.
    """

    def write(text: str) -> None:
        out.write(text)
        out.flush()

    match name:
        case "tty" if out.isatty():
            from builder.progress.live import LiveView  # rich costs 60 ms to import

            return LiveView(out, clock)
        case "tty" | "plain":
            from builder.progress.plain import PlainView

            return PlainView(write, folding)
        case "rawjson":
            from builder.progress.rawjson import RawJsonView

            return RawJsonView(write)
        case "quiet":
            return QuietView()
