"""login and logout, and the list of commands: each with its whole output."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from builder.cli.main import COMMANDS
from tests.cli.commands import Cli
from tests.registry.fake_registry import FakeRegistry


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    return Cli(tmp_path)


@pytest.mark.parametrize("kind", ["basic", "bearer"])
def test_login_and_logout(cli: Cli, kind: str) -> None:
    config = cli.home / "docker/config.json"
    with FakeRegistry(auth=kind) as fake:
        done = cli("login", "-u", "user", "--password-stdin", fake.host, stdin=b"s3cret\n")
        assert done.whole == (0, f"logged in to {fake.host} as user; the login is kept in {config}\n", "")
        assert json.loads(config.read_text()) == {"auths": {fake.host: {"auth": "dXNlcjpzM2NyZXQ="}}}
        assert cli("logout", fake.host).whole == (0, f"logged out of {fake.host}\n", "")
        assert cli("logout", fake.host).whole == (0, f"there was no login for {fake.host}\n", "")
    assert json.loads(config.read_text()) == {"auths": {}}


@pytest.mark.parametrize("kind", ["basic", "bearer"])
def test_a_wrong_password_is_not_kept(cli: Cli, kind: str) -> None:
    with FakeRegistry(auth=kind) as fake:
        assert cli("login", "-u", "user", "-p", "wrong", fake.host).whole == (
            1,
            "",
            f"error[registry-unauthorized]: {fake.host} does not accept this user name and password\n"
            "  = help: check both; many registries want an access token in place of the password\n",
        )
    assert not (cli.home / "docker/config.json").exists()


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (
            ("login", "-u", "me", "r.example"),
            "error[no-terminal]: there is no terminal to ask for the password\n  = help: use -u NAME --password-stdin\n",
        ),
        (("login", "--password-stdin", "r.example"), "error[no-username]: --password-stdin needs a user name\n  = help: add -u NAME\n"),
        (
            ("login", "-u", "me", "-p", "x", "--password-stdin", "r.example"),
            "error[two-passwords]: --password and --password-stdin do not go together\n  = help: leave one out\n",
        ),
        (
            ("logout", "nohost"),
            "error[invalid-host]: 'nohost' is not the host of a registry\n  = help: write HOST[:PORT], as registry.example:5000\n",
        ),
    ],
)
def test_wrong_use(cli: Cli, args: tuple[str, ...], message: str) -> None:
    assert cli(*args).whole == (2, "", message)


def test_every_command_says_how_it_is_used(cli: Cli) -> None:
    for name in COMMANDS:
        done = cli(name, "--help")
        assert done.code == 0
        assert done.out.startswith(f"Usage: layerwright {name} ")


def test_the_list_of_commands_loads_none(cli: Cli) -> None:
    script = (
        "import sys; from builder.cli.main import layerwright, run_command; sys.argv[1:] = ['--help']\n"
        "run_command(layerwright, 'layerwright')\n"
        "heavy = {'lark', 'requests', 'pyroute2', 'rich', 'asyncio', 'sqlite3', 'zstandard', 'isal'} & set(sys.modules)\n"
        "sys.exit(f'loaded {heavy}' if heavy else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, env=cli.env)
    assert (done.returncode, done.stderr) == (0, "")
    assert all(f"  {name} " in done.stdout for name in COMMANDS)


def test_a_misspelt_command_is_suggested(cli: Cli) -> None:
    done = cli("pul", "app")
    assert done.code == 2
    assert "(did you mean `pull`?)" in done.err
