"""`builds`, `logs` and `explain` of what `build` left in the store: files, commands, whole outputs."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from tests.cli.commands import Cli

DOCKERFILE = """\
FROM box
ARG WHO=you
RUN printf 'hello %s\\n\\033[31mred\\n' $WHO
COPY file /file
RUN cat /file; echo oops >&2; false
"""


@pytest.fixture
def cli(tmp_path: Path, busybox_root: Path) -> Cli:
    """A home with a context in it; root only, for it runs steps."""
    if os.geteuid() != 0:
        pytest.skip("runs steps as root")
    (tmp_path / "app").mkdir()
    (tmp_path / "app/Dockerfile").write_text(DOCKERFILE)
    (tmp_path / "app/file").write_text("content\n")
    (tmp_path / "box").symlink_to(busybox_root)
    return Cli(tmp_path)


def _build(cli: Cli, *args: str) -> tuple[int, str]:
    done = cli("build", "--progress=plain", "--build-context", "box=box", "-t", "app", *args, "app")
    return done.code, done.err


def _plain(text: str) -> str:
    """Without what differs from run to run."""
    text = re.sub(r"\b[0-9a-f]{12,16}\b", "ID", text)
    text = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "WHEN", text)
    return re.sub(r"\d+\.\d+( ?)s\b", r"0.0\1s", text)


def test_a_failed_build_is_remembered_with_its_logs(cli: Cli) -> None:
    assert _build(cli)[0] == 1
    listed = _plain(cli("builds").out).replace(str(cli.home), "HOME").splitlines()
    assert [re.split(r"  +", line.strip()) for line in listed] == [
        ["BUILD", "STARTED", "STATE", "TOOK", "CACHED", "DOCKERFILE", "RESULT"],
        ["ID", "WHEN", "failed", "0.0s", "0/3", "HOME/app/Dockerfile"],
    ]
    steps = _plain(cli("builds", "last").out).splitlines()
    assert steps.pop() == "error: the command ended with exit code 1 after 0.0 s"
    assert [re.split(r"  +", line.strip()) for line in steps] == [
        ["STEP", "OUTCOME", "TOOK", "INSTRUCTION"],
        ["2", "ran", "0.0s", "[stage-0] FROM box (line 1)"],
        ["3", "ran", "0.0s", "[stage-0 3/5] RUN printf 'hello %s\\n\\033[31mred\\n' $WHO (line 3)"],
        ["4", "ran", "0.0s", "[stage-0 4/5] COPY file /file (line 4)"],
        ["5", "failed", "0.0s", "[stage-0 5/5] RUN cat /file; echo oops >&2; false (line 5)"],
    ]
    assert cli("logs", "last", "3").out == "hello you\nred\n"
    assert cli("logs", "last", "3", "--raw").raw == b"hello you\n\x1b[31mred\n"
    assert sorted(cli("logs", "last", "5/5").out.splitlines()) == ["content", "oops"]
    assert "hello you\n" in cli("logs").out


def test_the_log_of_a_cached_step_is_that_of_the_build_that_ran_it(cli: Cli) -> None:
    _build(cli)
    (cli.home / "app/file").write_text("other\n")
    _build(cli)
    assert cli("logs", "last", "3").out == "hello you\nred\n"
    assert "cached" in cli("builds", "last").out


def test_explain_and_dry_run_on_the_command_line(cli: Cli) -> None:
    (cli.home / "app/Dockerfile").write_text(DOCKERFILE.replace("; false", ""))
    assert _build(cli)[0] == 0
    (cli.home / "app/new").write_text("")
    (cli.home / "app/file").chmod(0o600)
    expected = """\
{head}, compared with build ID
HIT       [stage-0] FROM box (line 1)
HIT       [stage-0 3/5] RUN printf 'hello %s\\n\\033[31mred\\n' $WHO (line 3)
{miss} [stage-0 4/5] COPY file /file (line 4){took}
          - the build context changed: 1 changed
              mode file (0644 -> 0600)
{miss} [stage-0 5/5] RUN cat /file; echo oops >&2 (line 5){took}
          - an earlier step {verb} again: [stage-0 4/5] COPY file /file (line 4)
2 cached, 2 {verb}
"""
    dry = cli("build", "--dry-run", "--build-context", "box=box", "app")
    assert (dry.code, _plain(dry.out)) == (0, expected.format(head="a build now", miss="WOULD RUN", took="", verb="would run"))
    code, text = _build(cli, "--explain")
    assert code == 0
    after = expected.format(head="build ID", miss="MISS     ", took="  0.0s", verb="ran")
    assert _plain(text).endswith(after)
    assert _plain(cli("explain").out) == after
    lines = cli("explain", "--format", "json").out.splitlines()
    assert len(lines) == 4


@pytest.mark.parametrize(
    ("args", "error"),
    [
        (("logs",), "error[no-builds]: this store knows of no build\n"),
        (("explain", "beef"), "error[build-not-found]: there is no build beef\n"),
        (("debug",), "error[no-terminal]: debug needs a terminal\n"),
    ],
)
def test_what_is_not_there(cli: Cli, args: tuple[str, ...], error: str) -> None:
    done = cli(*args)
    assert done.code in (1, 2)
    assert done.err.startswith(error)


def test_a_step_that_is_not_there(cli: Cli) -> None:
    _build(cli)
    assert cli("logs", "last", "77").err.startswith("error[step-not-found]: there is no step '77' in this build\n")
    assert cli("logs", "last", "/file").err.startswith("error[step-ambiguous]: several steps have '/file' in their text\n")
