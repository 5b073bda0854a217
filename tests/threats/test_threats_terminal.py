"""What a hostile Dockerfile, image or step writes cannot steer the terminal (or the CI) that shows it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.acceptance.command import Command

DOCKERFILE = r"""
FROM box AS box
LABEL x="a\033]0;title\007"
RUN printf '\033]0;owned\007\033[2J\033[1;1H\233[2J\r::set-output name=a::b\n\302\233[31m \010\010\177 \342\200\256 over\n'
RUN printf '\033[31merror: \033[8mhidden\n' >&2; exit 4
"""


@pytest.mark.parametrize("progress", ["plain", "rawjson"])
def test_escapes_never_reach_the_terminal(tmp_path: Path, busybox_root: Path, progress: str) -> None:
    if os.geteuid() != 0:
        pytest.skip("runs steps as root")
    work = tmp_path / "work"
    work.mkdir()
    (work / "Dockerfile").write_text(DOCKERFILE.replace("FROM box AS", "FROM base AS"))
    arguments = ("--progress", progress, "--network", "none", "--build-context", f"base={busybox_root}", ".")
    ended = Command(tmp_path / "store", work).run("build", *arguments, check=False)
    assert ended.returncode == 1, ended.stderr
    said = ended.stdout + ended.stderr
    assert "hidden" in said
    assert [char for char in said if char != "\n" and (ord(char) < 32 or 0x7F <= ord(char) < 0xA0 or char in "\u202e\u2066")] == []
