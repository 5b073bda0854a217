"""The one place that prints errors and turns them into exit codes (0 done, 1 failed, 2 usage, 3 our bug, 130 interrupted)."""

from __future__ import annotations

import errno
import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any, NoReturn

from builder.errors import LayerwrightError
from builder.progress.sanitise import clean
from grammar.diagnostics import Diagnostic, DockerfileError, render

INTERRUPTED = 130
BUG = 3
_MOST_SIGNALS = 3


def run_guarded(command: Callable[[], int | None]) -> int:
    """Runs a command; whatever it raises becomes a message on stderr and an exit code, never a traceback."""
    try:
        return command() or 0
    except LayerwrightError as error:
        print(_fitted(describe(error)), file=sys.stderr)
        return error.exit_code
    except DockerfileError as error:
        print(_fitted(_cleaned(render(error.diagnostic, error.source))), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nerror[cancelled]: interrupted", file=sys.stderr)  # on a line of its own, after the terminal's ^C
        return INTERRUPTED
    except BrokenPipeError:
        sys.stderr.close()
        return 1
    except Exception as error:
        code = _told_by_click(error)
        if code is not None:
            return code
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            # What lies below the commands says so itself (builder.store.space): this is standard output.
            print("error[disk-full]: no space left to write the output\n  = help: free some, or write it elsewhere", file=sys.stderr)
            return 1
        print(_report_bug(error), file=sys.stderr)
        return BUG


def _told_by_click(error: Exception) -> int | None:
    """The exit code of what click raises, after its message; None for the rest. A plain build has not loaded it."""
    if "click" not in sys.modules:
        return None
    import click

    if isinstance(error, click.exceptions.Exit):
        return error.exit_code
    if isinstance(error, click.Abort):  # click has begun a new line
        print("error[cancelled]: interrupted", file=sys.stderr)
        return INTERRUPTED
    if isinstance(error, click.ClickException):
        error.show()
        return error.exit_code
    return None


def run_entry(command: Callable[[], int | None]) -> int:
    """Runs the one command of a process; for entry points."""

    def call() -> int | None:
        _hear_signals()
        return command()

    return run_guarded(call)


def run_command(command: Any, name: str) -> int:
    """Runs a click command with the process's arguments; for entry points."""

    def call() -> int:
        result = command.main(prog_name=name, standalone_mode=False)
        return result if isinstance(result, int) else 0

    return run_entry(call)


def _hear_signals() -> None:
    """Ctrl-C, and SIGTERM, with which a CI service ends a job: what runs is killed and cleaned up. The third ends all at once.

    As docker buildx does: what is called off may wait for a network that says nothing. Whatever a command is killed
    at, its store is good for the next one, and what it started dies with it.
    """
    heard = 0

    def hear(number: int, frame: object) -> None:
        nonlocal heard
        heard += 1
        if heard < _MOST_SIGNALS:
            raise KeyboardInterrupt
        show = b"\x1b[?25h" if os.isatty(2) else b""  # the cursor, which a live view has hidden
        os.write(2, show + b"\nerror[cancelled]: ended at once, by a third signal\n")
        os._exit(INTERRUPTED)

    signal.signal(signal.SIGTERM, hear)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # else it is ignored, as under nohup(1)
        signal.signal(signal.SIGINT, hear)


def leave(code: int) -> NoReturn:
    """Ends the process at once where nothing but its memory is left to give back.

    What the interpreter would take apart object by object, a tenth of a build that finds everything cached, the
    kernel frees as it is. With other threads alive, or output that cannot be written, it ends as it always does;
    after an error that has been told, the output is not tried again, for then it would end with 120 (Py_FinalizeEx).
    """
    if threading.active_count() > 1:
        sys.exit(code)
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, ValueError):
        if code == 0:
            sys.exit(code)
    os._exit(code)


def describe(error: LayerwrightError) -> str:
    """The error as people read it: notes (the last output of a command) first, then what, where and the way out."""
    diagnostic = Diagnostic(error.code, error.message, error.span, error.help)
    text = _cleaned(render(diagnostic, error.source))
    if not error.notes:
        return text
    return "\n".join([*(f"  {_defused(clean(line))}" for line in error.notes), text])


def _fitted(text: str) -> str:
    if not sys.stderr.isatty():
        return text
    import shutil  # loads three libraries that compress

    from builder.progress.snippet import fitted

    return fitted(text, shutil.get_terminal_size().columns)


def _cleaned(text: str) -> str:
    """Names, lines of a Dockerfile, and words of a registry may hold escape sequences."""
    return "\n".join(clean(line) for line in text.split("\n"))


def _defused(line: str) -> str:
    """No workflow command for GitHub, which takes `::x::` at the start of a line, blanks before it or not (ActionCommand.cs)."""
    line = line.replace("##[", "# #[")
    return line.replace("::", ": :", 1) if line.lstrip().startswith("::") else line


def _report_bug(error: Exception) -> str:
    import tempfile
    import traceback

    with tempfile.NamedTemporaryFile("w", prefix="layerwright-", suffix=".log", delete=False, encoding="utf-8") as log:
        traceback.print_exception(error, file=log)
    return f"error[internal]: {type(error).__name__}: {error}\n  = help: this is a bug of layerwright; please report it with {log.name}"
