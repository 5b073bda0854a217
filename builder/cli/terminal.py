"""The user's terminal, for what is interactive: asked for before anything starts, lent to a shell, and given back."""

from __future__ import annotations

import sys
import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING

from builder.errors import UsageError

if TYPE_CHECKING:
    from builder.ops.shell import FailedStep
    from builder.progress.events import Event, Listener
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


class ShellOnFailure:
    """--on-fail=shell: the first step that fails gets a shell; the view ends before, for both cannot have the screen.

    Steps that run beside it go on, unseen.
    """

    def __init__(self, view: Listener, ending: ExitStack) -> None:
        self._view = view
        self._ending = ending
        self._lock = threading.Lock()
        self._open = True

    def on_event(self, event: Event) -> None:
        """Passes on to the view, until that has ended."""
        if self._open:
            self._view.on_event(event)

    def failed(self, step: FailedStep) -> None:
        """See OnFailure."""
        with self._lock:
            if not self._open:
                return
            self._open = False
            self._ending.close()
            from builder.progress.sanitise import clean

            first = clean(step.command.strip().partition("\n")[0])
            lines = [*step.error.notes, "", f"`{first}`: {step.error.message}", "a shell in its file system; `exit` ends the build", ""]
            sys.stderr.write("\n".join(lines))
            sys.stderr.flush()
            ended = talk(step.sandbox, step.process)
            if ended.setup_error is not None:
                sys.stderr.write(f"the shell could not be started: {ended.setup_error}\n")
