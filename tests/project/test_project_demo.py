"""`make demo`'s script and the hello example, as a person would run them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """A directory with `build` and `layerwright` as pip would install them."""
    directory = tmp_path / "bin"
    directory.mkdir()
    for name, module in (("build", "builder.cli.build"), ("layerwright", "builder.cli.main")):
        path = directory / name
        path.write_text(f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(REPOSITORY)!r})\nfrom {module} import main\nmain()\n")
        path.chmod(0o755)
    return directory


def run(programs: Path, store: Path, *argv: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "LAYERWRIGHT_ROOT": str(store)}
    return subprocess.run([str(programs / argv[0]), *argv[1:]], capture_output=True, text=True, check=False, env=env, cwd=REPOSITORY)


@pytest.mark.skipif(os.geteuid() != 0, reason="the demo's RUN steps are run as root here")
def test_the_demo(programs: Path, store_root: Path) -> None:
    env = {**os.environ, "LAYERWRIGHT_ROOT": str(store_root), "BIN": str(programs)}
    done = subprocess.run(["bash", "examples/demo.sh"], capture_output=True, text=True, check=False, env=env, cwd=REPOSITORY)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(
        "Hello, world!\nThis image was built without a daemon.\n  and hello, Ada\n  and hello, Grace\n(4 lines in /srv/hello.txt)\n"
    )
    shown = json.loads(run(programs, store_root, "layerwright", "inspect", "hello").stdout)
    assert len(shown["layers"]) == 5
    assert shown["digest"] in done.stdout
    assert shown["config"]["Cmd"] == ["show"]
    again = run(programs, store_root, "build", "-t", "hello", "--network", "none", "--progress", "plain", "examples/hello")
    assert "RUN" in again.stderr
    assert "DONE 0.0s\n\n#" not in again.stderr.replace("CACHED", "")
    assert "warning" not in again.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="the store of root is used")
def test_commands_on_the_base(programs: Path, store_root: Path) -> None:
    first = run(programs, store_root, "layerwright", "base", "-q")
    second = run(programs, store_root, "layerwright", "base", "-q")
    assert first.stdout == second.stdout
    assert first.stdout.startswith("sha256:")
    listed = run(programs, store_root, "layerwright", "images", "--digests").stdout
    assert "layerwright/base:latest" in listed
    assert first.stdout.strip() in listed
    assert run(programs, store_root, "layerwright", "run", "layerwright/base", "sh", "-c", "echo out; echo err >&2; exit 3").returncode == 3
    assert (
        run(programs, store_root, "layerwright", "run", "layerwright/base", "sh", "-c", "sh -c 'kill -TERM $$'; exit $?").returncode == 143
    )
    assert (
        run(programs, store_root, "layerwright", "run", "-e", "A=b", "-w", "/x", "layerwright/base", "sh", "-c", "echo $A $PWD").stdout
        == "b /x\n"
    )
    missing = run(programs, store_root, "layerwright", "inspect", "layerwrigt/base")
    assert missing.returncode == 1
    assert missing.stderr == (
        "error[image-not-found]: there is no image layerwrigt/base:latest in the store\n  = help: did you mean `layerwright/base:latest`?\n"
    )


def test_the_command_list_needs_no_heavy_library() -> None:
    heavy = ["lark", "requests", "pyroute2", "rich", "asyncio", "sqlite3"]
    code = f"import builder.cli.main, builder.cli.build, sys; print(sorted(set({heavy}) & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=REPOSITORY).stdout == "[]\n"


def test_every_command_is_there_and_has_help(programs: Path, store_root: Path) -> None:
    from builder.cli.main import COMMANDS

    listed = run(programs, store_root, "layerwright", "--help").stdout
    for name in COMMANDS:
        assert name in listed
        done = run(programs, store_root, "layerwright", name, "--help")
        assert done.returncode == 0, done.stderr
        assert "Usage:" in done.stdout
