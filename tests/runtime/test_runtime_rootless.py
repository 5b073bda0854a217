"""The same sandbox for an ordinary user, inside a user namespace; and the maps that make one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from runtime import idmap, rlimits
from runtime.idmap import Range
from runtime.spec import Resources, Ulimit
from tests.peers.service import Unavailable
from tests.peers.users import OrdinaryUser

SCRIPT = Path(__file__).with_name("rootless.py")


@pytest.fixture(scope="module")
def found(ordinary_user: OrdinaryUser, busybox_root: Path) -> dict[str, Any]:
    base = ordinary_user.home / "base"
    shutil.copytree(busybox_root, base, symlinks=True)
    for path in (base, *base.rglob("*")):
        shutil.chown(path, ordinary_user.uid, ordinary_user.gid) if not path.is_symlink() else None
    script = ordinary_user.home / "rootless.py"
    shutil.copy(SCRIPT, script)
    script.chmod(0o644)
    try:
        done = ordinary_user.python(str(script), str(base), check=False, timeout=60)
    except Unavailable as error:
        pytest.skip(str(error))
    assert done.returncode == 0, done.stderr.decode()
    return dict(json.loads(done.stdout))


def test_it_is_root_in_there(found: dict[str, Any]) -> None:
    assert (found["uid"], found["mode"], found["overlay"], found["prefix"]) == (0, "userns", True, "user.overlay.")
    assert found["root"].split() == ["0", "0", "CapInh:", "0000000000000000", "CapEff:", "00000000a80425fb", "Seccomp:", "2"]


def test_users_and_owners(found: dict[str, Any]) -> None:
    assert found["user"].split() == ["1000", "1001", "Groups:", "7"]
    assert found["owners"] == "1000:33\n"


def test_whiteouts_are_made(found: dict[str, Any]) -> None:
    assert found["removed"] == "0\n"
    assert found["whiteout"] == [0, 0]


def test_devices_and_masks(found: dict[str, Any]) -> None:
    assert found["devices"].split()[0] == "2"
    assert found["masked"].split()[0] == "0"
    assert "refused" in found["masked"].split()


def test_networks(found: dict[str, Any]) -> None:
    assert found["none"] == "lo\n"
    assert set(found["host"].split()) >= {"lo"}
    default = found["default"].split()
    if found["pasta"]:
        assert default[-1] == "1"
        assert len(default) == 3
    else:
        assert "lo" in default


def test_no_stub_is_left(found: dict[str, Any]) -> None:
    assert found["leaked"] == "ls: /gone: No such file or directory\n"
    assert "gone" not in found["upper"]


def test_limits_without_a_group_are_kept_by_process_and_user(found: dict[str, Any]) -> None:
    """Unless this host gives an ordinary user control groups: then they are kept as such, and no word is needed."""
    for name in ("memory", "enough", "pids"):
        assert found[f"limited {name}"][1] in ([], [rlimits.NOTE]), name
    assert found["limited memory"][0] is False
    assert found["limited enough"][::3] == [True, "fine\n"]
    assert found["limited pids"][2] is None
    if found["limited pids"][1]:
        assert "can't fork" in found["limited pids"][3]


def test_what_has_no_such_limit_is_refused(found: dict[str, Any]) -> None:
    ok, notes, error, _said = found["limited processors"]
    assert notes == []
    assert ok or error.startswith("cannot make a cgroup for the step")


def test_which_limits_can_be_had_of_setrlimit() -> None:
    assert rlimits.instead(Resources(memory=5)) == (Ulimit("data", 5, 5),)
    assert rlimits.instead(Resources(memory=5, memory_swap=-1)) == (Ulimit("data", 5, 5),)
    assert rlimits.instead(Resources(cpu_shares=5, memory=5)) is None
    assert rlimits.instead(Resources(cgroup_parent="x")) is None
    found = rlimits.instead(Resources(pids=5))
    assert found is None or 5 < found[0].hard < 5000


@pytest.mark.parametrize(
    ("text", "ranges"),
    [
        ("me:100000:65536\n", ((100000, 65536),)),
        ("1000:5:10\nme:100:10\nother:1:1\n", ((5, 10), (100, 10))),
        ("me:-1:5\nme:x:5\nme:1\nme:1:0\nme:4294967290:65536\n", ()),
        ("", ()),
    ],
)
def test_subordinate_ranges(text: str, ranges: tuple[tuple[int, int], ...]) -> None:
    assert idmap.subordinate(text, "me", 1000) == ranges


def test_a_map_has_the_user_first_and_no_gaps() -> None:
    ranges = idmap.mapping(1000, ((100000, 65536), (300000, 10)))
    assert ranges == (Range(0, 1000, 1), Range(1, 100000, 65536), Range(65537, 300000, 10))
    assert idmap.arguments(ranges[:2]) == ["0", "1000", "1", "1", "100000", "65536"]
    assert idmap.highest(ranges) == 65547


def test_the_first_namespace_is_recognised() -> None:
    assert idmap.is_initial(idmap.parse("         0          0 4294967295\n"))
    assert not idmap.is_initial(idmap.parse("0 1000 1\n1 100000 65536\n"))
