"""The user's terminal, for what is interactive: asked for before anything starts, lent to a shell, and given back."""

from __future__ import annotations

import sys
import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING

from builder.errors import UsageError
from builder.progress.events import Event, StepFinished, StepStarted
from builder.progress.sanitise import clean

if TYPE_CHECKING:
    from builder.ops.shell import FailedStep
    from builder.progress.events import Listener
    from runtime.sandbox import Sandbox
    from runtime.spec import Exit, Process


def require_terminal(what: str) -> None:
    """UsageError unless somebody sits there."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError(
            "no-terminal", f"{what} needs a terminal", help="run it in a terminal, with standard input and error not redirected"
        )


def talk(sandbox: Sandbox, process: Process) -> Exit:
    """The process on the terminal of this command, to its end."""
    from runtime.terminal import Terminal

    with Terminal(sys.stdin.fileno(), sys.stderr.fileno()) as terminal:
        return sandbox.run(process, lambda stream, data: None, threading.Event(), terminal.slave)


class Beside:
    """What became of steps while nobody saw them."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self._ended: list[str] = []

    def on_event(self, event: Event, *, seen: bool) -> None:
        """Takes note of names, and of what ends unseen."""
        if isinstance(event, StepStarted):
            self._names[event.vertex] = event.name
        elif isinstance(event, StepFinished) and not seen and not event.cancelled:
            ended = f"failed: {event.error}" if event.error is not None else f"done in {event.duration_ns / 1e9:.1f}s"
            self._ended.append(clean(f"{self._names.get(event.vertex, event.vertex)}: {ended}"))

    def told(self) -> str:
        """Lines to print; nothing where nothing ended."""
        return "meanwhile:\n" + "".join(f"  {line}\n" for line in list(self._ended)) if self._ended else ""


class ShellOnFailure:
    """--on-fail=shell: the first step that fails gets a shell; the view ends before, for both cannot have the screen.

    Steps that run beside it go on; what became of them is told when the shell has ended.
    """

    def __init__(self, view: Listener, ending: ExitStack) -> None:
        self._view = view
        self._ending = ending
        self._lock = threading.Lock()
        self._open = True
        self._beside = Beside()

    def on_event(self, event: Event) -> None:
        """Passes on to the view, until that has ended; then takes note of what ends."""
        if self._open:
            self._view.on_event(event)
        self._beside.on_event(event, seen=self._open)

    def failed(self, step: FailedStep) -> None:
        """See OnFailure."""
        with self._lock:
            if not self._open:
                return
            self._open = False
            self._ending.close()
            first = clean(step.command.strip().partition("\n")[0])
            lines = [*step.error.notes, "", f"`{first}`: {step.error.message}", "a shell in its file system; `exit` ends the build", ""]
            sys.stderr.write("\n".join(lines))
            sys.stderr.flush()
            ended = talk(step.sandbox, step.process)
            if ended.setup_error is not None:
                sys.stderr.write(f"the shell could not be started: {ended.setup_error}\n")
            sys.stderr.write(self._beside.told())
