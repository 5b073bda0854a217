"""The three networks of a step, and the pool behind the default one."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from runtime import etcfiles, ipv6
from runtime.child import libc
from runtime.network import Lease, Pool, addresses, in_thread
from runtime.sandbox import NamespaceSandbox, Sandbox
from runtime.unsupported import Unsupported
from tests.privileges import root_of_the_machine_only
from tests.runtime.box import Box


@pytest.fixture(scope="module")
def pool_directory() -> Iterator[Path]:
    """A pool of the tests' own, below /run as the real one: an upper file system could not hold namespaces."""
    path = Path(f"/run/layerwright-test-{os.getpid()}")
    yield path
    if path.exists():
        Pool(str(path)).remove()
        shutil.rmtree(path)


@pytest.fixture(scope="module")
def pool(pool_directory: Path) -> Pool:
    root_of_the_machine_only()
    pool = Pool(str(pool_directory), avoid=("10.213.0.9",))
    try:
        pool.lease().close()
    except Unsupported as error:
        pytest.skip(error.reason)
    return pool


@pytest.fixture(scope="module")
def networked(pool: Pool, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with NamespaceSandbox(str(tmp_path_factory.mktemp("networked")), pool) as sandbox:
        yield sandbox


@pytest.fixture
def net_box(networked: Sandbox, busybox_root: Path, tmp_path: Path) -> Callable[[str], Box]:
    return lambda name: Box(networked, busybox_root, tmp_path / name)


def _tables() -> str:
    return subprocess.run(["nft", "list", "ruleset"], capture_output=True, text=True, check=False).stdout


def test_none_has_a_loopback_and_nothing_else(box: Box) -> None:
    assert box.run("ls /sys/class/net; ip route | wc -l; ip addr show lo | grep -c 'inet 127.0.0.1/8'").lines() == ["lo", "0", "1"]


def test_host_is_the_hosts(box: Box) -> None:
    shown = box.run(["readlink", "/proc/self/ns/net"], network="host").lines()
    assert shown == [os.readlink("/proc/self/ns/net")]


def test_host_gateway_names_the_host(box: Box, net_box: Callable[[str], Box]) -> None:
    hosts = (("host-gateway", "outside"),)
    assert "127.0.0.1\toutside" in box.run("cat /etc/hosts", network="host", hosts=hosts).lines()
    assert "outside" not in box.run("cat /etc/hosts", hosts=hosts).stdout
    done = net_box("gw").run("grep outside /etc/hosts; ip route | grep default", network="default", hosts=hosts).lines()
    assert done[0].split()[0] == done[1].split()[2]


def test_two_steps_may_bind_one_port_and_do_not_see_each_other(net_box: Callable[[str], Box]) -> None:
    ends: dict[str, list[str]] = {}

    def one(name: str) -> None:
        script = "nc -l -p 8080 >/dev/null & sleep 1; ip -4 addr show eth0 | sed -n 's/.*inet \\([0-9.]*\\).*/\\1/p'; kill %1 && echo bound"
        ends[name] = net_box(name).run(script, network="default").lines()

    threads = [threading.Thread(target=one, args=(name,)) for name in ("a", "b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [lines[1] for lines in ends.values()] == ["bound", "bound"]
    assert ends["a"][0] != ends["b"][0]


def test_steps_cannot_reach_each_other(net_box: Callable[[str], Box], pool: Pool) -> None:
    ready = threading.Event()
    stop = threading.Event()
    listener = net_box("listener")
    found: list[str] = []

    def listen() -> None:
        listener.run(
            "ip -4 addr show eth0 | sed -n 's/.*inet \\([0-9.]*\\).*/\\1/p' > /address; nc -l -p 9999", network="default", cancel=stop
        )

    thread = threading.Thread(target=listen)
    thread.start()
    address = listener.upper / "address"
    until = time.monotonic() + 5
    while time.monotonic() < until and not (address.exists() and address.read_text()):
        time.sleep(0.05)
    found.append(address.read_text().strip())
    ready.set()
    try:
        done = net_box("caller").run(f"echo hello | nc -w 1 {found[0]} 9999 && echo reached || echo cut off", network="default")
        assert done.lines() == ["cut off"]
    finally:
        stop.set()
        thread.join()


def test_the_hosts_loopback_is_out_of_reach(net_box: Callable[[str], Box]) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        gateway = "gw=$(ip route | sed -n 's/default via \\([0-9.]*\\).*/\\1/p')"
        script = f"{gateway}; for to in 127.0.0.1 $gw; do nc -w 1 $to {port} </dev/null && echo reached $to; done; true"
        assert net_box("loop").run(script, network="default").lines() == []


def test_a_service_of_the_host_is_reached_by_its_gateway(net_box: Callable[[str], Box]) -> None:
    with socket.socket() as server:
        server.bind(("0.0.0.0", 0))
        server.listen()
        server.settimeout(10)
        answers: list[bytes] = []

        def answer() -> None:
            connection, _address = server.accept()
            with connection:
                connection.sendall(b"from the host\n")
                answers.append(connection.recv(100))

        thread = threading.Thread(target=answer)
        thread.start()
        done = net_box("reach").run(
            f"echo hi | nc -w 2 outside {server.getsockname()[1]}", network="default", hosts=(("host-gateway", "outside"),)
        )
        thread.join()
    assert done.stdout == "from the host\n"


def _connects(lease: Lease, address: str, port: int) -> bool:
    """Whether something in the namespace reaches an address."""
    reached: list[bool] = []

    def attempt() -> None:
        libc.setns(lease.namespace_fd, libc.CLONE_NEWNET)
        try:
            socket.create_connection((address, port), 1).close()
        except OSError:
            reached.append(False)
        else:
            reached.append(True)

    in_thread(attempt)
    return reached[0]


def test_ipv6_where_the_host_has_it(pool: Pool, pool_directory: Path) -> None:
    """An address of its own, the host by its gateway, neither the host's loopback nor another step."""
    subnet = ipv6.subnet(str(pool_directory))
    first, second = pool.lease(), pool.lease()
    with ExitStack() as stack:
        stack.callback(first.close)
        stack.callback(second.close)
        if subnet is None or "no IPv6" in (pool_directory / f"{first.number}.lock").read_text():
            pytest.skip("this host has no IPv6 to share")
        outside = stack.enter_context(socket.create_server(("::", 0), family=socket.AF_INET6)).getsockname()[1]
        loopback = stack.enter_context(socket.create_server(("::1", 0), family=socket.AF_INET6)).getsockname()[1]
        gateway, _inside = ipv6.addresses(subnet, first.number)
        assert _connects(first, str(gateway), outside)
        assert not _connects(first, str(gateway), loopback)
        assert not _connects(first, "::1", loopback)
        neighbour = str(ipv6.addresses(subnet, second.number)[1])
        servers: list[socket.socket] = []

        def listen() -> None:
            libc.setns(second.namespace_fd, libc.CLONE_NEWNET)
            servers.append(socket.create_server(("::", 0), family=socket.AF_INET6))

        in_thread(listen)
        port = stack.enter_context(servers[0]).getsockname()[1]
        assert _connects(second, neighbour, port)
        assert not _connects(first, neighbour, port)


def test_the_namespace_is_used_again(pool: Pool, pool_directory: Path) -> None:
    first = pool.lease()
    second = pool.lease()
    assert first.number != second.number
    inode = os.fstat(first.namespace_fd).st_ino
    number = first.number
    first.close()
    again = pool.lease()
    assert (again.number, os.fstat(again.namespace_fd).st_ino) == (number, inode)
    again.close()
    second.close()


def test_a_broken_or_spoilt_namespace_is_made_anew(pool: Pool, pool_directory: Path) -> None:
    lease = pool.lease()
    number, inode = lease.number, os.fstat(lease.namespace_fd).st_ino
    pool.spoil(lease)
    lease.close()
    lease = pool.lease()
    assert (lease.number, os.fstat(lease.namespace_fd).st_ino != inode) == (number, True)
    inode = os.fstat(lease.namespace_fd).st_ino
    lease.close()
    subprocess.run(["umount", pool_directory / f"{number}.ns"], check=True)
    lease = pool.lease()
    assert (lease.number, os.fstat(lease.namespace_fd).st_ino != inode) == (number, True)
    lease.close()


def test_a_namespace_whose_link_is_another_one_is_made_anew(pool: Pool, pool_directory: Path) -> None:
    """Somebody took the link away, and another one came to have its name: the namespace itself has no way out any more."""
    lease = pool.lease()
    mark = hashlib.sha256(os.fsencode(str(pool_directory))).hexdigest()[:6]
    link, inode = f"lw{mark}n{lease.number}", os.fstat(lease.namespace_fd).st_ino
    lease.close()
    subprocess.run(["ip", "link", "del", link], check=True)
    subprocess.run(["ip", "link", "add", link, "type", "bridge"], check=True)
    lease = pool.lease()
    assert os.fstat(lease.namespace_fd).st_ino != inode
    lease.close()


def test_a_lease_holds_across_pools(pool: Pool, pool_directory: Path) -> None:
    """As another process would see it."""
    with open(pool_directory / "0.lock", "r+b") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        lease = Pool(str(pool_directory)).lease()
        assert lease.number != 0
        lease.close()


def test_the_subnet_meets_nothing_of_the_host(pool: Pool, pool_directory: Path) -> None:
    subnet = IPv4Network((pool_directory / "subnet").read_text().strip())
    assert subnet != IPv4Network("10.213.0.0/16")  # the fixture put a name server there
    assert [str(one) for one in addresses(subnet, 1)] == [str(subnet.network_address + 5), str(subnet.network_address + 6)]


def test_removal_leaves_nothing(pool: Pool, tmp_path_factory: pytest.TempPathFactory) -> None:
    directory = Path(f"/run/layerwright-test-{os.getpid()}-gone")
    own = Pool(str(directory), avoid=("10.213.0.0/16",))
    own.lease().close()
    table = "layerwright_" + hashlib.sha256(str(directory).encode()).hexdigest()[:6]
    link = f"/sys/class/net/lw{table[-6:]}n0"
    assert os.path.exists(link)
    assert table in _tables() or not shutil.which("nft")
    own.remove()
    shutil.rmtree(directory)
    assert table not in _tables()
    assert not os.path.exists(link)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("nameserver 127.0.0.53\nsearch lan\n", "search lan\nnameserver 8.8.8.8\nnameserver 8.8.4.4\n"),
        ("nameserver 127.0.0.1\nnameserver 9.9.9.9\n", "nameserver 9.9.9.9\n"),
        ("nameserver ::1\noptions edns0\nnameserver fe80::1%eth0\n", "options edns0\nnameserver fe80::1%eth0\n"),
        ("", "nameserver 8.8.8.8\nnameserver 8.8.4.4\n"),
    ],
)
def test_loopback_name_servers_are_dropped(before: str, after: str) -> None:
    assert etcfiles.without_loopback(before) == after


def test_only_loopback() -> None:
    assert etcfiles.only_loopback("nameserver 127.0.0.53\n")
    assert not etcfiles.only_loopback("nameserver 127.0.0.53\nnameserver 1.1.1.1\n")
    assert not etcfiles.only_loopback("")
