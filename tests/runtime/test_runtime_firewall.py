"""The default network on a host that drops what it forwards, as one with dockerd does; all in a namespace of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.privileges import needs_root_of_the_machine

REPOSITORY = Path(__file__).resolve().parents[2]
HOST = """
set -e
mount -t sysfs none /sys
ip link set lo up
ip link add up0 type veth peer name far0
unshare -n sleep 40 >/dev/null 2>&1 & far=$!
sleep 0.2
ip link set far0 netns $far
ip addr add 198.51.100.2/24 dev up0
ip link set up0 up
ip route add default via 198.51.100.1
nsenter -t $far -n sh -c 'ip addr add 198.51.100.1/24 dev far0; ip link set far0 up; ip link set lo up'
nsenter -t $far -n timeout 40 busybox nc -ll -p 7 -e /bin/echo reached >/dev/null 2>&1 & server=$!
trap 'kill $far $server' EXIT
iptables -P FORWARD DROP
sleep 0.2
timeout 30 "$1" - "$2" "$3" "$4" || echo failed
"""
BUILDER = """
import os, sys, threading
from runtime.network import Pool
from runtime.sandbox import NamespaceSandbox
from runtime.spec import Overlay, Process
base, place, net = sys.argv[1:]
pool = Pool(net)
with NamespaceSandbox(place, pool) as sandbox:
    for number in range(2):
        process = Process(
            argv=("/bin/sh", "-c", "nc -w 2 198.51.100.1 7 </dev/null; ip route | grep -c default"),
            root=Overlay((base,), place + "/upper", place + "/work"), env=(("PATH", "/bin"),),
        )
        print(sandbox.run(process, lambda stream, data: os.write(1, data), threading.Event()).setup_error, flush=True)
pool.remove()
"""


@needs_root_of_the_machine
@pytest.mark.parametrize("hidden", ["", "nft"])
def test_packets_pass_where_forwarding_is_dropped(busybox_root: Path, tmp_path: Path, hidden: str) -> None:
    for program in ("iptables", "ip", "nsenter", "unshare", "busybox"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    for name in ("upper", "work"):
        (tmp_path / name).mkdir()
    net = f"/run/layerwright-test-firewall-{os.getpid()}"
    env = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    if hidden:
        env["PATH"] = str(_without(tmp_path / "programs", hidden))
    done = subprocess.run(
        ["unshare", "-n", "-m", "sh", "-c", HOST, "sh", sys.executable, str(busybox_root), str(tmp_path), net],
        input=BUILDER, env=env, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    shutil.rmtree(net, ignore_errors=True)
    assert done.stdout.split() == ["reached", "1", "None", "reached", "1", "None"], done.stdout + done.stderr


def _without(directory: Path, name: str) -> Path:
    """A directory with every program of the system but one."""
    directory.mkdir()
    for folder in ("/usr/sbin", "/usr/bin", "/sbin", "/bin"):
        for program in os.listdir(folder):
            if program != name and not (directory / program).exists():
                (directory / program).symlink_to(f"{folder}/{program}")
    return directory
