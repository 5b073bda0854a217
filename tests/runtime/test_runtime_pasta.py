"""The default network of an ordinary user's steps, by pasta: ports of their own, names, and no way to the host's loopback."""

from __future__ import annotations

import json
import os
import shutil
import socket
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest

from runtime.pasta import carries
from runtime.sandbox import HOST_LEFT_OUT, OFFLINE, SHARED_NETWORK
from tests.peers.service import Unavailable
from tests.peers.users import OrdinaryUser
from tests.privileges import root_of_the_machine_only

SCRIPT = Path(__file__).with_name("rootless_pasta.py")


@pytest.fixture(scope="module")
def base(ordinary_user: OrdinaryUser, busybox_root: Path) -> Path:
    base = ordinary_user.home / "pasta-base"
    shutil.copytree(busybox_root, base, symlinks=True)
    for path in (base, *base.rglob("*")):
        if not path.is_symlink():
            shutil.chown(path, ordinary_user.uid, ordinary_user.gid)
    shutil.copy(SCRIPT, ordinary_user.home / SCRIPT.name)
    (ordinary_user.home / SCRIPT.name).chmod(0o644)
    return base


def _run(user: OrdinaryUser, base: Path, device: Path, *more: str) -> dict[str, Any]:
    """The script, with a /dev/net/tun of another mode: many distributions open it to all, some keep it for root."""
    program, path = user.interpreter
    inner = f"mount --bind {device} /dev/net/tun && exec setpriv --reuid {user.uid} --regid {user.gid} --init-groups \"$@\""
    done = subprocess.run(
        ["unshare", "--mount", *more, "sh", "-euc", inner, "sh", program, str(user.home / SCRIPT.name), str(base)],
        env={"PYTHONPATH": path, "PATH": os.environ["PATH"], "HOME": str(user.home)}, cwd=user.home, capture_output=True, text=True,
        check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def _device(place: Path, mode: int) -> Path:
    root_of_the_machine_only()
    for program in ("unshare", "setpriv", "newuidmap"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    if not os.path.exists("/dev/net/tun"):
        pytest.skip("there is no /dev/net/tun")
    device = place / "tun"
    try:
        os.mknod(device, stat.S_IFCHR | mode, os.makedev(10, 200))
    except PermissionError:
        pytest.skip("device nodes cannot be made here")
    device.chmod(mode)
    place.chmod(0o755)
    return device


@pytest.fixture(scope="module")
def found(ordinary_user: OrdinaryUser, base: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    if shutil.which("pasta") is None:
        pytest.skip("pasta (package passt) is not installed")
    device = _device(tmp_path_factory.mktemp("tun"), 0o666)
    try:
        os.close(os.open(device, os.O_RDWR))
    except OSError as error:
        pytest.skip(f"/dev/net/tun cannot be opened: {error.strerror}")
    try:
        return _run(ordinary_user, base, device)
    except Unavailable as error:
        pytest.skip(str(error))


def test_pasta_is_used(found: dict[str, Any]) -> None:
    assert found["pasta"]
    assert found["links"] == ["2", "1"]
    assert found["namespace"] != [found["own"]]


def test_two_steps_bind_one_port(found: dict[str, Any]) -> None:
    assert found["bound"] == [["one"], ["two"]]


def test_the_loopback_of_the_host_is_out_of_reach(found: dict[str, Any]) -> None:
    """Neither as the step's own, nor by the gateway, which pasta would map to it; on the host's network it is there."""
    assert found["loopback"] == ["tried"]
    assert found["host"] == ["reached"]


def test_a_host_that_has_no_address_is_told(found: dict[str, Any]) -> None:
    assert found["gateway"] == ["0", HOST_LEFT_OUT]


def test_names_are_resolved(found: dict[str, Any]) -> None:
    servers = [line for line in found["resolver"] if line.startswith("nameserver")]
    assert servers
    assert not any(line.split()[1].startswith("127.") for line in servers)
    try:
        socket.getaddrinfo("deb.debian.org", 80)
    except OSError:
        pytest.skip("this host resolves no names of the internet")
    assert found["resolved"] == ["resolved"]


def test_nothing_is_left(found: dict[str, Any]) -> None:
    assert found["pastas"] == 2
    assert found["left"] == [[], []]
    assert found["none"] == ["lo"]


def test_without_it_the_hosts_network_is_shared_and_told(ordinary_user: OrdinaryUser, base: Path, tmp_path: Path) -> None:
    for parent in (tmp_path, *tmp_path.parents[:3]):
        parent.chmod(parent.stat().st_mode | 0o055)
    device = _device(tmp_path, 0o600)
    found = _run(ordinary_user, base, device)
    assert not found["pasta"]
    assert found["namespace"] == [found["own"], SHARED_NETWORK]


def test_a_host_without_routes_builds_without_a_network(ordinary_user: OrdinaryUser, base: Path, tmp_path: Path) -> None:
    """A laptop on a train: pasta would have nothing to carry, and some of its versions end."""
    for parent in (tmp_path, *tmp_path.parents[:3]):
        parent.chmod(parent.stat().st_mode | 0o055)
    if shutil.which("pasta") is None:
        pytest.skip("pasta (package passt) is not installed")
    found = _run(ordinary_user, base, _device(tmp_path, 0o666), "--net")
    assert not found["routed"]
    assert found["namespace"] == [found["namespace"][0], OFFLINE]
    assert found["namespace"][0] not in (found["own"], SHARED_NETWORK)
    assert found["pastas"] == 0


ROUTES = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"


@pytest.mark.parametrize(
    ("ipv4", "ipv6", "carried"),
    [
        ("", "", False),
        (ROUTES, "", False),
        (f"{ROUTES}eth0\t000AFFC0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n", "", False),
        (f"{ROUTES}eth0\t00000000\t010AFFC0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n", "", True),
        (ROUTES, f"{'0' * 32} 00 {'0' * 32} 00 {'0' * 32} ffffffff 00000001 00000000 00200200       lo\n", False),
        (ROUTES, f"{'0' * 32} 00 {'0' * 32} 00 fe80{'0' * 27}1 00000400 00000001 00000000 00000003     eth0\n", True),
    ],
)
def test_a_default_route_is_looked_for(ipv4: str, ipv6: str, carried: bool) -> None:
    assert carries(ipv4, ipv6) is carried
