"""What starting loads: each library of ours that is heavy has one gate module, imported where it is first needed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
_PATHS = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
NEVER_AT_START = {"lark", "requests", "pyroute2", "rich", "asyncio", "ssl", "http.client", "email"}
NOT_BY_A_CACHED_BUILD = NEVER_AT_START | {
    "click", "shutil", "zstandard", "isal", "concurrent.futures", "logging", "subprocess", "ctypes", "tempfile", "csv",
    "runtime.sandbox", "builder.ops.copy", "builder.ops.run", "builder.lint.table", "builder.store.sweep", "builder.cache.spec",
    "builder.fs.ownership", "grammar.parse", "grammar.mounts",
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


CACHED = """FROM scratch
ARG A=x
ENV B="${A:-y} z" C=${A#x}
LABEL "a b"='c'
WORKDIR /x
EXPOSE 80 ${A:+81}
"""


def test_a_build_of_which_nothing_changed_loads_no_parser_and_no_openssl(tmp_path: Path) -> None:
    """Words with quotes and operators are kept parsed; what is hashed is little."""
    (tmp_path / "Dockerfile").write_text(CACHED)
    arguments = ["--quiet", "--root", str(tmp_path / "store"), str(tmp_path)]
    build = "from builder.cli.build import execute, read_environment, read_plain; "
    build += f"assert not execute(read_plain({arguments!r}), read_environment())"
    assert "grammar.parse" in _loaded(build)
    into_a_user_namespace = {"ctypes", "shutil", "subprocess"} if os.geteuid() else set()
    unwanted = {*NOT_BY_A_CACHED_BUILD, "_hashlib", "typing_extensions", "inspect"} - into_a_user_namespace
    # On a machine with much to write the first build leaves its flush, which takes ctypes, to the next.
    assert set() in (_loaded(build) & unwanted, _loaded(build) & unwanted)


def test_the_end_of_a_command_takes_nothing_apart(tmp_path: Path) -> None:
    """What is registered for the interpreter's end is not run, while output and exit code arrive."""
    program = "import atexit, sys; atexit.register(print, 'taken apart'); from builder.cli.errors import leave; print('said'); leave(4)"
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False, env=_PATHS)
    assert (done.returncode, done.stdout, done.stderr) == (4, "said\n", "")
    waits = "import threading; threading.Timer(0.2, print, ['late']).start(); from builder.cli.errors import leave; leave(0)"
    done = subprocess.run([sys.executable, "-c", waits], cwd=tmp_path, capture_output=True, text=True, check=False, env=_PATHS)
    assert (done.returncode, done.stdout) == (0, "late\n"), "a thread that is still at work is waited for"
