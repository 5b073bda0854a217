"""Runs `layerwright` in this process, with an environment, a directory and a standard input of its own."""

from __future__ import annotations

import io
import os
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import click

from builder.cli.errors import run_guarded
from builder.cli.main import layerwright


class Done:
    """What a command said."""

    def __init__(self, code: int, out: bytes, err: bytes) -> None:
        self.code = code
        self.raw = out
        self.out = out.decode(errors="replace")
        self.err = err.decode(errors="replace")

    @property
    def whole(self) -> tuple[int, str, str]:
        """Exit code, standard output, standard error."""
        return self.code, self.out, self.err


class Cli:
    """Commands over one store and one home directory."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.env = {
            "HOME": str(home), "LAYERWRIGHT_ROOT": str(home / "store"), "PATH": os.environ["PATH"],
            "CONTAINERS_REGISTRIES_CONF": str(home / "registries.conf"), "SOURCE_DATE_EPOCH": "0", "DOCKER_CONFIG": str(home / "docker"),
        }  # fmt: skip
        self.root = home / "store"

    def __call__(self, *args: str, stdin: bytes = b"") -> Done:
        out, err = _Stream(), _Stream()
        saved, here, stdin_before = dict(os.environ), os.getcwd(), sys.stdin
        command: Any = layerwright
        os.environ.clear()
        os.environ.update(self.env)
        os.chdir(self.home)
        sys.stdin = _Stream(stdin)
        try:
            with redirect_stdout(out), redirect_stderr(err):
                code = run_guarded(lambda: _code(command, args))
        finally:
            sys.stdin = stdin_before
            os.chdir(here)
            os.environ.clear()
            os.environ.update(saved)
        return Done(code, out.bytes(), err.bytes())


class _Stream(io.TextIOWrapper):
    def __init__(self, data: bytes = b"") -> None:
        super().__init__(io.BytesIO(data), encoding="utf-8", write_through=True)

    def bytes(self) -> bytes:
        buffer = self.buffer
        assert isinstance(buffer, io.BytesIO)
        return buffer.getvalue()


def _code(command: click.Command, args: tuple[str, ...]) -> int:
    result = command.main(args=list(args), prog_name="layerwright", standalone_mode=False)
    return result if isinstance(result, int) else 0
