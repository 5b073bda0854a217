"""The commands as a user runs them: processes of their own, with a store and a working directory of the test's."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
EXAMPLES = REPOSITORY / "examples"

_ENTRY = {
    "build": "from builder.cli.build import main; main()",
    "layerwright": "from builder.cli.main import main; main()",
}


class Command:
    """Runs `build` and `layerwright` on one store."""

    def __init__(self, root: Path, cwd: Path) -> None:
        self.root = root
        self.cwd = cwd

    def argv(self, name: str, *args: str) -> list[str]:
        """The command line of a child process."""
        return [sys.executable, "-c", _ENTRY[name], *args]

    @property
    def env(self) -> dict[str, str]:
        """The environment: the store by LAYERWRIGHT_ROOT, logins nowhere."""
        config = {"LAYERWRIGHT_ROOT": str(self.root), "PYTHONPATH": str(REPOSITORY), "DOCKER_CONFIG": str(self.root.parent / "docker")}
        return {**os.environ, **config}

    def start(self, name: str, *args: str) -> subprocess.Popen[bytes]:
        """A command that runs on its own."""
        return subprocess.Popen(self.argv(name, *args), cwd=self.cwd, env=self.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def run(self, name: str, *args: str, check: bool = True, stdin: bytes | None = None) -> subprocess.CompletedProcess[str]:
        """A command to its end; with `check` a failure shows what it said."""
        ended = subprocess.run(self.argv(name, *args), cwd=self.cwd, env=self.env, capture_output=True, input=stdin, check=False)
        result = subprocess.CompletedProcess(ended.args, ended.returncode, ended.stdout.decode(), ended.stderr.decode())
        if check and result.returncode != 0:
            raise AssertionError(f"{name} {' '.join(args)} ended with {result.returncode}\n{result.stdout}\n{result.stderr}")
        return result

    def build(self, *args: str, check: bool = True, stdin: bytes | None = None) -> subprocess.CompletedProcess[str]:
        """`build`, with plain progress."""
        return self.run("build", "--progress", "plain", *args, check=check, stdin=stdin)
