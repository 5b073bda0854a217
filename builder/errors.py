"""The errors a build can end with: what happened, where, what to try, and the exit code.

Raised or returned, never logged and raised. The solver adds the step, the CLI prints.
"""

from __future__ import annotations

from grammar.source import Source, Span


class LayerwrightError(Exception):
    """An error in the user's world (exit code 1).

    `code` is kebab-case and stable; `message` is one sentence; `help` says what to try; `span` and
    `source` say where in the Dockerfile; `notes` are further lines (the last output of a command).
    """

    exit_code = 1

    def __init__(
        self,
        code: str,
        message: str,
        *,
        help: str | None = None,
        span: Span | None = None,
        source: Source | None = None,
        notes: tuple[str, ...] = (),
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.help = help
        self.span = span
        self.source = source
        self.notes = notes


class UsageError(LayerwrightError):
    """The command line or the API was used wrongly (exit code 2)."""

    exit_code = 2


class CorruptionError(LayerwrightError):
    """Bytes are not what their digest, size or format says."""


class NotFoundError(LayerwrightError):
    """A named thing (image, blob, stage, file) is not there."""


class BuildCancelled(LayerwrightError):
    """The build was interrupted (exit code 130)."""

    exit_code = 130

    def __init__(self, message: str = "the build was cancelled") -> None:
        super().__init__("cancelled", message)
