"""The default network, of both kinds, on a host that drops what it forwards, as one with dockerd does; all in a namespace of its own."""

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
ip -6 addr add 2001:db8::2/64 dev up0 nodad
ip -6 route add default via 2001:db8::1
nsenter -t $far -n sh -c 'ip addr add 198.51.100.1/24 dev far0; ip link set far0 up; ip link set lo up'
nsenter -t $far -n ip -6 addr add 2001:db8::1/64 dev far0 nodad
nsenter -t $far -n timeout 40 "$1" -c "$SERVER" >/dev/null 2>&1 & server=$!
trap 'kill $far $server' EXIT
iptables -P FORWARD DROP
ip6tables -P FORWARD DROP
sleep 0.2
timeout 30 "$1" - "$2" "$3" "$4" || echo failed
"""
SERVER = """
import socket
server = socket.create_server(("", 7), family=socket.AF_INET6, dualstack_ipv6=True)
while True:
    peer, address = server.accept()
    peer.sendall(address[0].removeprefix("::ffff:").encode() + bytes([10]))
    peer.close()
"""
STEP = "nc -w 2 198.51.100.1 7 </dev/null; ip route | grep -c default; nc -w 5 2001:db8::1 7 </dev/null 2>/dev/null || echo none"
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
            argv=("/bin/sh", "-c", os.environ["STEP"]),
            root=Overlay((base,), place + "/upper", place + "/work"), env=(("PATH", "/bin"),),
        )
        print(sandbox.run(process, lambda stream, data: os.write(1, data), threading.Event()).setup_error, flush=True)
pool.remove()
"""


@needs_root_of_the_machine
@pytest.mark.parametrize("hidden", ["", "nft"])
def test_packets_pass_where_forwarding_is_dropped(busybox_root: Path, tmp_path: Path, hidden: str) -> None:
    for program in ("iptables", "ip6tables", "ip", "nsenter", "unshare", "busybox"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    for name in ("upper", "work"):
        (tmp_path / name).mkdir()
    net = f"/run/layerwright-test-firewall-{os.getpid()}"
    env = {**os.environ, "PYTHONPATH": str(REPOSITORY), "SERVER": SERVER, "STEP": STEP}
    if hidden:
        env["PATH"] = str(_without(tmp_path / "programs", hidden))
    done = subprocess.run(
        ["unshare", "-n", "-m", "sh", "-c", HOST, "sh", sys.executable, str(busybox_root), str(tmp_path), net],
        input=BUILDER, env=env, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    shutil.rmtree(net, ignore_errors=True)
    by_ipv6 = "none" if hidden else "2001:db8::2"  # the rules for IPv6 are nftables' only
    assert done.stdout.split() == ["198.51.100.2", "1", by_ipv6, "None"] * 2, done.stdout + done.stderr


def _without(directory: Path, name: str) -> Path:
    """A directory with every program of the system but one."""
    directory.mkdir()
    for folder in ("/usr/sbin", "/usr/bin", "/sbin", "/bin"):
        for program in os.listdir(folder):
            if program != name and not (directory / program).exists():
                (directory / program).symlink_to(f"{folder}/{program}")
    return directory
