"""What `build` says when something is wrong: the whole of standard error, and the exit code."""

from __future__ import annotations

import os
import re
import textwrap
from pathlib import Path

import pytest

from tests.acceptance.command import Command
from tests.peers.service import free_port
from tests.registry.fake_registry import FakeRegistry, Fault, sample

TIME = re.compile(r"after \d+\.\d s")


@pytest.fixture
def command(tmp_path: Path) -> Command:
    work = tmp_path / "work"
    work.mkdir()
    return Command(tmp_path / "store", work)


def _fails(command: Command, dockerfile: str, *args: str, code: int = 1) -> str:
    """The error of a quiet build, without its times."""
    (command.cwd / "Dockerfile").write_text(textwrap.dedent(dockerfile))
    ended = command.run("build", "-q", *args, ".", check=False)
    assert ended.returncode == code, ended.stderr
    assert ended.stdout == ""
    return TIME.sub("after TIME", ended.stderr)


def _text(text: str) -> str:
    return textwrap.dedent(text).lstrip("\n")


def test_a_typo_in_an_instruction(command: Command) -> None:
    assert _fails(command, "FROM scratch\nCOYP a b\n") == _text(
        """
        error[unknown-instruction]: there is no instruction COYP
         --> Dockerfile:2:1
          |
        2 | COYP a b
          | ^^^^
          = help: did you mean COPY?
        """
    )


def test_a_missing_source(command: Command) -> None:
    (command.cwd / "main.py").write_text("")
    assert _fails(command, "FROM scratch\nCOPY mian.py /\n") == _text(
        """
        error[copy-source-missing]: "/mian.py": not found
         --> Dockerfile:2:1
          |
        2 | COPY mian.py /
          | ^^^^^^^^^^^^^^
          = help: did you mean "main.py"?
        """
    )


def test_a_stage_that_does_not_exist(command: Command) -> None:
    text = """\
        FROM scratch AS build
        COPY Dockerfile /
        FROM scratch
        COPY --from=biuld /Dockerfile /
        """
    assert _fails(command, text) == _text(
        """
        error[unknown-stage]: --from=biuld names no earlier stage, and there is no such image
         --> Dockerfile:4:13
          |
        4 | COPY --from=biuld /Dockerfile /
          |             ^^^^^
          = help: did you mean `build` (line 1)?
        """
    )


def test_a_target_that_does_not_exist(command: Command) -> None:
    assert _fails(command, "FROM scratch AS build\nCOPY Dockerfile /\n", "--target", "bild", code=2) == _text(
        """
        error[unknown-target]: target stage 'bild' is not in Dockerfile
          = help: did you mean `build`?
        """
    )


def test_the_embedded_base_before_it_is_made(command: Command) -> None:
    assert _fails(command, "FROM layerwright/base\nCOPY Dockerfile /\n") == _text(
        """
        error[base-not-made]: layerwright/base is not in the store yet
         --> Dockerfile:1:6
          |
        1 | FROM layerwright/base
          |      ^^^^^^^^^^^^^^^^
          = help: make it with `layerwright base`
        """
    )


def test_a_failing_run(command: Command, box_tar: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("runs steps as root")
    os.link(box_tar, command.cwd / "box.tar")
    text = """\
        FROM scratch
        ADD box.tar /
        RUN --network=none echo first; \\
            echo last words >&2; exit 7
        """
    assert _fails(command, text) == _text(
        """
          first
          last words
        error[run-failed]: the command ended with exit code 7 after TIME
         --> Dockerfile:3:1
          |
        3 | RUN --network=none echo first; \\
          | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
          = help: `layerwright debug` opens a shell in what it left, `layerwright logs` has its whole output
        """
    )


def test_a_registry_that_is_down(command: Command) -> None:
    port = free_port()
    assert _fails(command, f"FROM 127.0.0.1:{port}/base\n") == _text(
        f"""
        error[registry-unreachable]: http://127.0.0.1:{port} cannot be reached: Connection refused
         --> Dockerfile:1:6
          |
        1 | FROM 127.0.0.1:{port}/base
          |      {"^" * len(f"127.0.0.1:{port}/base")}
          = help: check the name, the network and the proxy
        """
    )


def test_a_registry_that_wants_a_login(command: Command) -> None:
    with FakeRegistry(auth="basic") as registry:
        registry.add_image("base", "1", sample(b"layer"))
        said = _fails(command, f"FROM {registry.host}/base:1\n")
        wants = f"{registry.host} wants a login to pull {registry.host}/base:1"
        assert said == _text(
            f"""
            error[registry-unauthorized]: {wants}, or there is no such name (authentication required)
             --> Dockerfile:1:6
              |
            1 | FROM {registry.host}/base:1
              |      {"^" * len(f"{registry.host}/base:1")}
              = help: check the name, or log in: `layerwright login {registry.host}`
            """
        )


def test_a_tag_that_does_not_exist(command: Command) -> None:
    with FakeRegistry() as registry:
        registry.add_image("base", "bookworm", sample(b"layer"))
        said = _fails(command, f"FROM {registry.host}/base:bookwrom\n")
        assert said == _text(
            f"""
            error[manifest-unknown]: {registry.host} has no {registry.host}/base:bookwrom
             --> Dockerfile:1:6
              |
            1 | FROM {registry.host}/base:bookwrom
              |      {"^" * len(f"{registry.host}/base:bookwrom")}
              = help: did you mean {registry.host}/base:bookworm?
            """
        )


def test_a_corrupted_blob(command: Command) -> None:
    with FakeRegistry() as registry:
        image = sample(b"layer")
        registry.add_image("base", "1", image)
        layer = image.manifest.layers[0].digest
        registry.faults.append(Fault("GET", layer, garble=True, times=99))
        said = _fails(command, f"FROM {registry.host}/base:1\nCOPY Dockerfile /\n")
        assert said == _text(
            f"""
            error[blob-corrupted]: {registry.host} sent bytes for {layer} of base that are not it
             --> Dockerfile:2:1
              |
            2 | COPY Dockerfile /
              | ^^^^^^^^^^^^^^^^^
              = help: tell the registry's owner
            """
        )


def test_an_unknown_option(command: Command) -> None:
    assert _fails(command, "FROM scratch\n", "--qqqqqqqqqqqqqq", code=2) == _text(
        """
        Usage: build [OPTIONS] PATH | URL | -
        Try 'build --help' for help.

        Error: No such option '--qqqqqqqqqqqqqq'.
        """
    )


def test_a_context_that_does_not_exist(command: Command) -> None:
    ended = command.run("build", "nowhere", check=False)
    assert (ended.returncode, ended.stderr) == (
        1,
        "error[context-not-found]: the build context 'nowhere' cannot be read: No such file or directory\n"
        "  = help: name a directory that exists, `.` for this one\n",
    )


@pytest.mark.parametrize("host", ["db", "db:", "db:here", ":1.2.3.4", "db:1.2.3", "db=[here]"])
def test_a_host_without_an_address(command: Command, host: str) -> None:
    expected = f"error[bad-host]: --add-host {host!r} is not a host and an address\n"
    help = "  = help: write --add-host NAME:ADDRESS, as db:10.0.0.7 or gateway:host-gateway\n"
    assert _fails(command, "FROM scratch\nCOPY Dockerfile /\n", "--add-host", host, code=2) == expected + help


def test_hosts_and_their_addresses(command: Command) -> None:
    (command.cwd / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /\n")
    hosts = [word for host in ("a:1.2.3.4", "b=::1", "c:::1", "d:[fe80::1]", "e:host-gateway") for word in ("--add-host", host)]
    assert command.run("build", "-q", *hosts, ".").returncode == 0
