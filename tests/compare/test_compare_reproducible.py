"""`build --verify-reproducible`: two builds from cold, the first difference by step and file, and what would mend it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from builder.compare.differences import FieldDifference, FileDifference, FileState
from builder.compare.mend import CONTENT, EPOCH, NAMED, OLDER, REWRITE, remedies
from builder.history.archive import History
from builder.store.store import Store
from runtime.sandbox import SHARED_NETWORK
from tests.cli.commands import Cli

RANDOM = "FROM box\nRUN echo fixed > /fixed\nRUN head -c 9 /dev/urandom > /d\n"
FIXED = "FROM box\nRUN mkdir /d && echo fixed > /d/f\nRUN --mount=type=cache,target=/c echo x >> /c/n; cat /c/n > /count\n"
REWRITTEN = ("-o", "type=image,rewrite-timestamp=true")


@pytest.fixture
def cli(tmp_path: Path, busybox_root: Path) -> Cli:
    """A home with a context in it; root only, for it runs steps."""
    if os.geteuid() != 0:
        pytest.skip("runs steps as root")
    (tmp_path / "app").mkdir()
    (tmp_path / "box").symlink_to(busybox_root)
    return Cli(tmp_path)


def verify(cli: Cli, dockerfile: str, *args: str, epoch: bool = True) -> tuple[int, str]:
    """Exit code and what was said besides the progress."""
    (cli.home / "app/Dockerfile").write_text(dockerfile)
    cli.env.pop("SOURCE_DATE_EPOCH", None)
    if epoch:
        cli.env["SOURCE_DATE_EPOCH"] = "1000000000"
    done = cli("build", "--progress=plain", "--verify-reproducible", "--build-context", "box=box", "-t", "app", *args, "app")
    said = [line for line in done.err.splitlines() if line and not line.startswith("#") and line != SHARED_NETWORK]
    assert said[:2] == ["building from cold, for the first time", "building from cold, for the second time"]
    return done.code, "\n".join(said[2:])


def test_what_is_reproducible_is_written(cli: Cli) -> None:
    code, said = verify(cli, FIXED, *REWRITTEN)
    assert code == 0
    digest = said.partition("gave ")[2]
    assert said == f"reproducible: both builds gave {digest}"
    with Store.open(cli.root) as store:
        builds = History(store).list()
        (image,) = store.images.list()
    assert [(build.ran, build.cached, build.digest) for build in builds] == [(0, 3, digest), (2, 1, digest), (3, 0, digest)]
    assert image.descriptor.digest == digest
    assert cli("run", "app", "cat", "/count").out == "x\n"


def test_cache_mounts_begin_empty_and_are_left_alone(cli: Cli) -> None:
    (cli.home / "app/Dockerfile").write_text(FIXED)
    assert cli("build", "--build-context", "box=box", "-t", "before", "app").code == 0
    assert verify(cli, FIXED, *REWRITTEN)[0] == 0
    (cli.home / "app/Dockerfile").write_text(FIXED.replace("/count", "/again"))
    assert cli("build", "--build-context", "box=box", "-t", "after", "app").code == 0
    assert cli("run", "after", "cat", "/again").out == "x\nx\n"


def test_times_are_told_with_their_remedies(cli: Cli) -> None:
    code, said = verify(cli, FIXED, epoch=False)
    assert code == 1
    first, *_, only, error, help = said.splitlines()
    assert first.startswith("  ~ /d  mtime 20")
    assert only == "  times are all that differs"
    assert error.startswith("error[not-reproducible]: two builds from cold gave sha256:")
    assert error.endswith("; the first difference is in [stage-0 2/3] RUN mkdir /d && echo fixed > /d/f (line 2)")
    assert help == f"  = help: {EPOCH}; {REWRITE}"
    code, said = verify(cli, FIXED)
    assert (code, said.splitlines()[-1]) == (1, f"  = help: {REWRITE}")
    code, said = verify(cli, "FROM box\nRUN true\n", epoch=False)
    assert code == 1
    assert "their files are the same, what the image says of itself is not" in said
    assert said.splitlines()[-1] == f"  = help: {EPOCH}"


def test_the_first_difference_that_is_no_time_is_told_too(cli: Cli) -> None:
    """Nothing is written, and the outputs asked for are not there."""
    code, said = verify(cli, RANDOM, "-o", "type=oci,dest=app.tar", epoch=False)
    assert code == 1
    assert "  the first difference that is no time, in [stage-0 3/3] RUN head -c 9 /dev/urandom > /d (line 3):" in said.splitlines()
    assert "  ~ /d  content (9 bytes both), mtime" in said
    assert "the first difference is in [stage-0 2/3] RUN echo fixed > /fixed (line 2)" in said
    assert CONTENT in said
    assert not (cli.home / "app.tar").exists()
    with Store.open(cli.root) as store:
        assert list(store.images.list()) == []


def test_a_file_of_one_build_only(cli: Cli) -> None:
    code, said = verify(cli, "FROM box\nRUN touch -d @5 /f-$(head -c 9 /dev/urandom | sha256sum | head -c 8)\n", *REWRITTEN)
    assert code == 1
    assert {line[:6] for line in said.splitlines() if "/f-" in line and "file 0644" in line} == {"  - /f", "  + /f"}
    assert NAMED in said


def test_a_build_that_fails_is_that(cli: Cli) -> None:
    (cli.home / "app/Dockerfile").write_text("FROM box\nRUN false\n")
    done = cli("build", "--progress=plain", "--verify-reproducible", "--build-context", "box=box", "app")
    assert done.code == 1
    assert "error[run-failed]" in done.err
    assert "second time" not in done.err


def test_standard_input_is_read_once(cli: Cli) -> None:
    done = cli("build", "--verify-reproducible", "-", stdin=b"FROM scratch\n")
    assert done.code == 2
    assert done.err.startswith("error[read-once]: ")


def changed(path: str, *aspects: str) -> FileDifference:
    state = FileState("file", 0o644, 0, 0, 1, "", "", 0, 0, (), "", 0, 1)
    return FileDifference("changed", path, aspects or ("content",), state, state)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("difference", "epoch", "rewrite", "words"),
    [
        (changed("a", "mtime"), False, False, (EPOCH, REWRITE)),
        (changed("a", "mtime"), True, False, (REWRITE,)),
        (changed("a", "mtime"), True, True, (OLDER,)),
        (changed("a"), True, True, (CONTENT,)),
        (changed("usr/lib/python3/x.pyc"), True, True, "PYTHONDONTWRITEBYTECODE"),
        (changed("var/log/apt/history"), True, True, "logs"),
        (changed("srv/app.log"), True, True, "logs"),
        (changed("var/cache/ldconfig/aux-cache"), True, True, "aux-cache"),
        (changed("var/lib/apt/lists/x"), True, True, "--mount=type=cache"),
        (changed("etc/machine-id"), True, True, "machine-id"),
        (changed("etc/ssh/ssh_host_rsa_key"), True, True, "host keys"),
        (changed("var/tmp/x"), True, True, "temporary"),
        (changed("opt/app.jar"), True, True, "archives"),
        (changed("src/.git/index"), True, True, ".git"),
        (FieldDifference("config", "changed", "created", "a", "b"), False, False, (EPOCH,)),
        (FieldDifference("config", "changed", "created", "a", "b"), True, False, ()),
    ],
)
def test_remedies(difference: FileDifference | FieldDifference, epoch: bool, rewrite: bool, words: tuple[str, ...] | str) -> None:
    found = remedies((difference, difference), epoch=epoch, rewrite=rewrite)
    if isinstance(words, tuple):
        assert found == words
    else:
        assert [words in text for text in found] == [True]
