"""What starting loads: each library of ours that is heavy has one gate module, imported where it is first needed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
NEVER_AT_START = {"lark", "requests", "pyroute2", "rich", "asyncio", "ssl", "http.client", "email"}
NOT_BY_A_CACHED_BUILD = NEVER_AT_START | {
    "zstandard", "isal", "concurrent.futures", "logging", "subprocess", "ctypes", "tempfile", "csv",
    "runtime.sandbox", "builder.ops.copy", "builder.ops.run", "builder.lint.table", "builder.store.sweep", "grammar.parse",
}  # fmt: skip


def _loaded(statement: str) -> set[str]:
    code = f"{statement}\nimport sys\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize("module", ["builder.cli", "builder.cli.build", "builder.cli.main"])
def test_the_command_line_loads_no_heavy_library(module: str) -> None:
    assert _loaded(f"import {module}") & (NEVER_AT_START | {"sqlite3"}) == set()


def test_a_build_loads_what_runs_a_step_with_the_first_step() -> None:
    assert _loaded("import builder.engine.build") & NOT_BY_A_CACHED_BUILD == set()
