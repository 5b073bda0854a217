"""The escape suite: every attempt of escape.c, as root of the machine, as an ordinary user, and as a step's unprivileged user.

Root's steps are kept from devices by a control group, or where there can be none by their mounts: both are tried.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from runtime.sandbox import NamespaceSandbox
from runtime.spec import User
from tests.escape.host import COMMAND, outcomes, reachable
from tests.peers.service import Unavailable
from tests.peers.users import OrdinaryUser
from tests.privileges import root_of_the_machine_only
from tests.runtime.box import Box

SOURCE = Path(__file__).with_name("escape.c")
ATTEMPTS = re.findall(r"ATTEMPT\((\w+)\)", SOURCE.read_text().partition("ATTEMPTS[] = {")[2])
Reports = dict[str, dict[str, str]]
WATCHED = (
    "/proc/sys/kernel/hostname",
    "/proc/sys/kernel/core_pattern",
    "/proc/sys/kernel/modprobe",
    "/proc/sys/vm/panic_on_oom",
    "/proc/swaps",
)


def _watched() -> list[str]:
    return [Path(path).read_text() for path in WATCHED if os.path.exists(path)]


@pytest.fixture(scope="module")
def root(busybox_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root file system with the program in it."""
    if shutil.which("gcc") is None:
        pytest.skip("gcc is not installed")
    place = tmp_path_factory.mktemp("escape") / "root"
    shutil.copytree(busybox_root, place, symlinks=True)
    subprocess.run(["gcc", "-O1", "-static", "-w", "-o", str(place / "escape"), str(SOURCE)], check=True)
    return place


@pytest.fixture(scope="module")
def as_root(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Reports:
    root_of_the_machine_only()
    place = tmp_path_factory.mktemp("host")
    (place / "canary").write_text("well")
    before, reports = _watched(), {}
    for guard, kind in ((None, "root"), (lambda: None, "root-nodev")):
        with NamespaceSandbox(str(place), None, guard) as sandbox, reachable(place / "canary") as env:
            for mode, user in ((kind, User()), (f"{kind}-user", User(1000, 1000))):
                reports[mode] = outcomes(Box(sandbox, root, place / mode).run(COMMAND, env=env, user=user).stdout)
    assert _watched() == before
    assert (place / "canary").read_text() == "well"
    return reports


@pytest.fixture(scope="module")
def as_ordinary_user(root: Path, ordinary_user: OrdinaryUser) -> Reports:
    base = ordinary_user.home / "escape-root"
    shutil.copytree(root, base, symlinks=True)
    for name in ("rootless_escape.py", "host.py"):
        shutil.copy(SOURCE.with_name(name), ordinary_user.home / name)
    subprocess.run(["chown", "-hR", f"{ordinary_user.uid}:{ordinary_user.gid}", str(base)], check=True)
    reports = {}
    for mode, uid in (("rootless", "0"), ("rootless-user", "1000")):
        try:
            done = ordinary_user.python(str(ordinary_user.home / "rootless_escape.py"), str(base), uid, check=False, timeout=60)
        except Unavailable as error:
            pytest.skip(str(error))
        assert done.returncode == 0, done.stderr.decode()
        reports[mode] = outcomes(done.stdout.decode())
    return reports


def test_there_are_enough() -> None:
    assert len(set(ATTEMPTS)) == len(ATTEMPTS) >= 70


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_contained(as_root: Reports, attempt: str) -> None:
    modes = ("root", "root-user", "root-nodev", "root-nodev-user")
    assert {mode: report.get(attempt) for mode, report in as_root.items()} == dict.fromkeys(modes, "contained")


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_contained_rootless(as_ordinary_user: Reports, attempt: str) -> None:
    assert {mode: report.get(attempt) for mode, report in as_ordinary_user.items()} == {
        "rootless": "contained",
        "rootless-user": "contained",
    }


def test_the_attempts_work_where_nothing_holds_them(root: Path, tmp_path: Path) -> None:
    """On the bare host some of the harmless ones get through: the program tells one from the other."""
    root_of_the_machine_only()
    canary = tmp_path / "canary"
    canary.write_text("well")
    with reachable(canary) as env:
        for attempt in (
            "plain_path",
            "abstract_socket",
            "loopback_of_the_host",
            "listed_sockets",
        ):
            done = subprocess.run([str(root / "escape"), attempt], env=dict(env), capture_output=True, text=True, check=False)
            assert done.returncode == 1, (attempt, done.stdout)
