"""What a step finds around it is what a container of dockerd finds, but for the differences that the documentation explains."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Callable
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path

import pytest

from runtime.sandbox import NamespaceSandbox
from runtime.spec import User
from runtime.syscalls import numbers
from tests.peers.engine import Engine
from tests.privileges import root_of_the_machine_only
from tests.runtime.box import Box

REPOSITORY = Path(__file__).resolve().parents[2]
PAGE = REPOSITORY / "docs/reference/sandbox-differences.md"
SOURCE = Path(__file__).with_name("probe.c")
NAMESPACES = ("mnt", "pid", "net", "ipc", "uts", "cgroup", "user", "time")
ABSENT = "absent"


def _report(text: str) -> dict[str, str]:
    names = {number: name for name, number in numbers("x86_64").items()}
    found = {}
    for line in text.splitlines():
        key, _, value = line.partition("=")
        kind, _, rest = key.partition(".")
        found[f"call.{names.get(int(rest), rest)}" if kind == "call" else key] = value.strip()
    return found


def _rows() -> list[tuple[str, str, str]]:
    cells = [[cell.strip().strip("`") for cell in line.strip("|").split(" | ")] for line in PAGE.read_text().splitlines()]
    return [(row[0].strip(), row[1], row[2]) for row in cells if len(row) == 4 and row[0].strip() not in ("what", "---") and row[3]]


def _explained(key: str, ours: str, theirs: str) -> bool:
    return any(
        fnmatchcase(key, pattern) and fnmatchcase(ours, one.strip("`")) and fnmatchcase(theirs, other.strip("`"))
        for pattern, one, other in ((row[0].strip("`"), *row[1:]) for row in _rows())
    )


@pytest.fixture(scope="module")
def root(busybox_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root file system with the probe in it."""
    if platform.machine() != "x86_64":
        pytest.skip("the probe numbers the calls of x86_64")
    if shutil.which("gcc") is None:
        pytest.skip("gcc is not installed")
    place = tmp_path_factory.mktemp("probe") / "root"
    shutil.copytree(busybox_root, place, symlinks=True)
    subprocess.run(["gcc", "-O1", "-static", "-w", "-o", str(place / "probe"), str(SOURCE)], check=True)
    return place


@pytest.fixture(scope="module")
def ours(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], dict[str, str]]:
    root_of_the_machine_only()
    place = tmp_path_factory.mktemp("sandbox")
    env = tuple((f"HOST_{name}", os.readlink(f"/proc/self/ns/{name}")) for name in NAMESPACES)

    @cache
    def run(uid: int) -> dict[str, str]:
        with NamespaceSandbox(str(place), None) as sandbox:
            done = Box(sandbox, root, place / str(uid)).run(("/probe",), env=env, user=User(uid, uid, (uid,)))
        assert done.exit.ok, done
        return _report(done.stdout)

    return run


@pytest.fixture(scope="module")
def image(dockerd: Engine, root: Path) -> str:
    """The same root as an image of dockerd's."""
    archive = subprocess.run(["tar", "-C", str(root), "-c", "."], check=True, capture_output=True).stdout
    dockerd.docker("import", "-", "probe:1", stdin=archive)
    return "probe:1"


@pytest.mark.parametrize("uid", [0, 1000])
def test_a_step_is_like_a_container(ours: Callable[[int], dict[str, str]], dockerd: Engine, image: str, uid: int) -> None:
    hosts = [word for name in NAMESPACES for word in ("-e", f"HOST_{name}=" + os.readlink(f"/proc/self/ns/{name}"))]
    options = ("--rm", "--network", "none", "--hostname", "buildkitsandbox", "--user", f"{uid}:{uid}", *hosts)
    theirs = _report(dockerd.docker("run", *options, image, "/probe").stdout.decode())
    mine = ours(uid)
    assert len([key for key in mine if key.startswith("call.")]) > 450
    different = {key: (mine.get(key, ABSENT), theirs.get(key, ABSENT)) for key in mine.keys() | theirs.keys()}
    different = {key: pair for key, pair in different.items() if pair[0] != pair[1]}
    assert {key: pair for key, pair in sorted(different.items()) if not _explained(key, *pair)} == {}


def test_what_a_step_is(ours: Callable[[int], dict[str, str]]) -> None:
    """Not by comparison: what must hold whatever the peer does."""
    found = ours(0)
    assert [found[f"status.{name}"] for name in ("CapInh", "CapEff", "CapAmb")] == ["0" * 16, "00000000a80425fb", "0" * 16]
    assert {found[f"namespace.{name}"] for name in ("mnt", "pid", "net", "ipc", "uts", "cgroup")} == {"own"}
    assert (found["status.Seccomp"], found["process.pid"], found["process.ppid"], found["process.tty"]) == ("2", "1", "0", "0")
    assert all("shared" not in value for key, value in found.items() if key.startswith("mount."))
