"""What stops a sandbox before its payload runs, in words for the person who builds."""

from __future__ import annotations


class SetupError(Exception):
    """One sentence on the cause, and the exit code a shell would give."""

    def __init__(self, message: str, code: int = 125) -> None:
        super().__init__(message)
        self.message = message
        self.code = code


class doing:
    """Names what is under way, so that a failed system call says what it was for."""

    def __init__(self, what: str) -> None:
        self._what = what

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, OSError):
            detail = f" ({error.filename})" if isinstance(error.filename, str) and error.filename else ""
            raise SetupError(f"cannot {self._what}: {error.strerror}{detail}") from error
