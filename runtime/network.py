"""Network namespaces for steps: a pool that outlives the build, each leased to one step at a time.

The only module that imports pyroute2, and only when a namespace must be made.

    DIR/subnet     the pool's subnet, chosen once so that it meets no route, address or name server of the host
    DIR/lock       flock: held while rules or namespaces are made
    DIR/N.lock     flock: held by the sandbox that uses namespace N; `ready` in it once N is fully set up
    DIR/N.ns       the namespace, a bind mount of nsfs

A namespace has `lo` and an `eth0`, the far end of a veth whose near end is the gateway: each pair is a subnet
of its own, so two steps share no link; where the host has IPv6, of both kinds (see ipv6). The lock's descriptor
also goes to the step's supervisor: it stays held until the step has ended, even if the builder was killed. What a
crash left half made is made anew. DIR is on a tmpfs (/run), so a reboot leaves nothing.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from ipaddress import IPv4Address, IPv4Network, IPv6Network
from typing import Protocol

from runtime import firewall, ipv6
from runtime.child import libc
from runtime.unsupported import Unsupported

DEFAULT_DIRECTORY = "/run/layerwright/net"
POOL_LIMIT = 1000
_FORWARD = "/proc/sys/net/ipv4/ip_forward"
_NO_DETECTION = 2  # IFA_F_NODAD: there is nobody else on the link, and an address is of no use while it is tentative
_NS_GET_NSTYPE = 0xB703  # ioctl_ns(2)
_CANDIDATES = tuple(IPv4Network(f"10.{second}.0.0/16") for second in (213, 197, 233, 181, 167, 149, 227, 239)) + tuple(
    IPv4Network(f"192.168.{third}.0/24") for third in (213, 197, 233, 181)
)
_REMEDY = "give the builder CAP_NET_ADMIN and CAP_SYS_ADMIN, or use --network=host"


class NoNetwork(Unsupported):
    """The host itself reaches nothing, and its steps can do without."""


class Lease:
    """A namespace for one step: its descriptor, those that must stay open while it is used, and the host as the step sees it."""

    def __init__(
        self, namespace_fd: int, number: int, gateway: str | None, held: tuple[int, ...] = (), release: Callable[[], None] | None = None
    ) -> None:
        self.namespace_fd = namespace_fd
        self.number = number
        self.gateway = gateway
        self.held = held
        self._release = release

    def close(self) -> None:
        """Give it back; one with locks is free once the supervisor has let go of them too."""
        for fd in (self.namespace_fd, *self.held):
            os.close(fd)
        if self._release is not None:
            self._release()


class Networks(Protocol):
    """Where the namespaces of steps with a default network come from."""

    def lease(self) -> Lease:
        """A namespace that nobody else uses until the lease is closed; raises Unsupported, NoNetwork."""
        ...

    def make_ready(self) -> None:
        """Begin with what the first lease would wait for; returns at once and never raises."""
        ...

    def spoil(self, lease: Lease) -> None:
        """Mark a leased namespace as not to be used again: whoever has it can change it."""
        ...

    def close(self) -> None:
        """End what serves this process only. Idempotent."""
        ...


class Pool:
    """The namespaces of one directory; several processes and threads may use it at once."""

    def __init__(self, directory: str = DEFAULT_DIRECTORY, avoid: tuple[str, ...] = ()) -> None:
        self._directory = directory
        # Another pool's links and rules must not look like ours.
        mark = "" if directory == DEFAULT_DIRECTORY else hashlib.sha256(os.fsencode(directory)).hexdigest()[:6]
        self._prefix = f"lw{mark}n"
        self._table = f"layerwright_{mark}" if mark else "layerwright"
        self._avoid = avoid
        self._subnet: IPv4Network | None = None
        self._subnet6: IPv6Network | None = None
        self._lock = threading.Lock()

    def lease(self) -> Lease:
        try:
            subnet = self._ready_subnet()
            number, lock_fd = self._take(min(POOL_LIMIT, subnet.num_addresses // 4))
            try:
                return self._open(number, lock_fd, subnet)
            except BaseException:
                os.close(lock_fd)
                raise
        except OSError as error:
            raise Unsupported(f"cannot make a network for the step: {error.strerror or error}", _REMEDY) from error

    def make_ready(self) -> None:
        """The rules: four to six programs that run while the launcher starts."""

        def work() -> None:
            with suppress(Unsupported, OSError):
                self._ready_subnet()

        threading.Thread(target=work, name="network-ready", daemon=True).start()

    def spoil(self, lease: Lease) -> None:
        os.ftruncate(lease.held[0], 0)

    def close(self) -> None:
        """The pool outlives the process."""

    def remove(self) -> None:
        """Take away every namespace that nobody uses, and the rules when none is left."""
        left = False
        with self._setting_up():
            names = (name.removesuffix(".lock").removesuffix(".ns") for name in os.listdir(self._directory))
            for number in sorted({int(name) for name in names if name.isdigit()}):
                left |= not self._remove_one(number)
            subnet = self._chosen()
            if not left and subnet is not None:
                firewall.remove(table=self._table, prefix=self._prefix, subnet=str(subnet))
                os.unlink(self._path("subnet"))
        self._subnet = None

    def _remove_one(self, number: int) -> bool:
        lock_fd = self._try_lock(number)
        if lock_fd is None:
            return False
        os.ftruncate(lock_fd, 0)
        self._discard(number)
        os.close(lock_fd)
        return True

    def _ready_subnet(self) -> IPv4Network:
        """Once a process: the subnet chosen, the rules made, forwarding on."""
        with self._lock:
            if self._subnet is None:
                os.makedirs(self._directory, mode=0o700, exist_ok=True)
                with self._setting_up():
                    subnet = self._chosen() or self._choose()
                    if _read(_FORWARD).strip() != "1":  # read-only in some containers
                        _write(_FORWARD, "1")
                    self._subnet6 = self._apply(subnet)
                self._subnet = subnet
            return self._subnet

    def _apply(self, subnet: IPv4Network) -> IPv6Network | None:
        """The rules; the subnet of IPv6 if there is one. Its rules come first: nothing is ever forwarded without them."""
        subnet6 = ipv6.subnet(self._directory)
        text6 = None if subnet6 is None else str(subnet6)
        made = firewall.apply(table=self._table, prefix=self._prefix, subnet=str(subnet), subnet6=text6)
        return subnet6 if made and ipv6.forward() else None

    def _chosen(self) -> IPv4Network | None:
        try:
            return IPv4Network(_read(self._path("subnet")).strip())
        except (OSError, ValueError):
            return None

    def _choose(self) -> IPv4Network:
        taken = [*_routes(), *(IPv4Network(address) for address in self._avoid)]
        for candidate in _CANDIDATES:
            if not any(candidate.overlaps(network) for network in taken):
                _write(self._path("subnet"), f"{candidate}\n")
                return candidate
        raise Unsupported("every private subnet that steps could use is routed elsewhere by this host", "use --network=host")

    def _take(self, limit: int) -> tuple[int, int]:
        for number in range(limit):
            lock_fd = self._try_lock(number)
            if lock_fd is not None:
                return number, lock_fd
        raise Unsupported(f"all {limit} network namespaces are in use", "run fewer steps at once")

    def _try_lock(self, number: int) -> int | None:
        fd = os.open(self._path(f"{number}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            return None
        return fd

    def _open(self, number: int, lock_fd: int, subnet: IPv4Network) -> Lease:
        gateway, inside = addresses(subnet, number)
        namespace_fd = self._existing(number) if os.pread(lock_fd, 128, 0) == self._ready(number, gateway) else None
        if namespace_fd is None:
            with self._setting_up():
                self._discard(number)
                namespace_fd = self._make(number, gateway, inside)
            os.ftruncate(lock_fd, 0)
            os.pwrite(lock_fd, self._ready(number, gateway), 0)
        return Lease(namespace_fd, number, str(gateway), (lock_fd,))

    def _ready(self, number: int, gateway: IPv4Address) -> bytes:
        """What a lock file says of a namespace that is made: with the link's index, for a name can be taken by another link."""
        try:
            index = _read(f"/sys/class/net/{self._prefix}{number}/ifindex").strip()
        except OSError:
            index = ""
        return f"ready {gateway} {index} {self._subnet6 or 'no IPv6'}\n".encode()

    def _existing(self, number: int) -> int | None:
        """The namespace if it and its link are still there."""
        if not os.path.exists(f"/sys/class/net/{self._prefix}{number}"):
            return None
        try:
            fd = os.open(self._path(f"{number}.ns"), os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            if fcntl.ioctl(fd, _NS_GET_NSTYPE) == libc.CLONE_NEWNET:
                return fd
        except OSError:
            pass  # ENOTTY: a plain file, the bind mount is gone
        os.close(fd)
        return None

    def _discard(self, number: int) -> None:
        path = self._path(f"{number}.ns")
        with suppress(OSError):
            libc.umount(path, libc.MNT_DETACH)
        with suppress(FileNotFoundError):
            os.unlink(path)
        if os.path.exists(f"/sys/class/net/{self._prefix}{number}"):
            # The namespace goes asynchronously and its link with it; do not wait for that.
            from pyroute2 import IPRoute

            with suppress(Exception), IPRoute() as route:
                for index in route.link_lookup(ifname=f"{self._prefix}{number}"):
                    route.link("del", index=index)

    def _make(self, number: int, gateway: IPv4Address, inside: IPv4Address) -> int:
        from pyroute2 import IPRoute
        from pyroute2.netlink.exceptions import NetlinkError

        path = self._path(f"{number}.ns")
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDONLY | os.O_CLOEXEC, 0o400))
        name, mtu = f"{self._prefix}{number}", _mtu()
        try:
            in_thread(lambda: _new_namespace(path))
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            with IPRoute() as route:
                route.link("add", ifname=name, kind="veth", mtu=mtu, peer={"ifname": "eth0", "mtu": mtu, "net_ns_fd": fd})
                index = route.link_lookup(ifname=name)[0]
                route.addr("add", index=index, address=str(gateway), prefixlen=30)
                if self._subnet6 is None:
                    ipv6.keep_off(name)
                else:
                    gateway6, inside6 = ipv6.addresses(self._subnet6, number)
                    route.addr("add", index=index, address=str(gateway6), prefixlen=126, flags=_NO_DETECTION)
                route.link("set", index=index, state="up")
            in_thread(lambda: _configure_inside(fd, gateway, inside))
            if self._subnet6 is not None:
                in_thread(lambda: _configure_inside6(fd, str(gateway6), str(inside6)))
        except NetlinkError as error:
            raise OSError(error.code, os.strerror(abs(error.code))) from error
        return fd

    @contextmanager
    def _setting_up(self) -> Iterator[None]:
        fd = os.open(self._path("lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)

    def _path(self, name: str) -> str:
        return os.path.join(self._directory, name)


def addresses(subnet: IPv4Network, number: int) -> tuple[IPv4Address, IPv4Address]:
    """The gateway and the inner address of namespace `number`: a /30 each."""
    first = int(subnet.network_address) + 4 * number
    return IPv4Address(first + 1), IPv4Address(first + 2)


def in_thread(work: Callable[[], None]) -> None:
    """In a thread of its own, since a thread that has changed its namespace must not be used again."""
    failed: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run, name="network-namespace")
    thread.start()
    thread.join()
    if failed:
        raise failed[0]


def _new_namespace(path: str) -> None:
    libc.unshare(libc.CLONE_NEWNET)
    libc.mount("/proc/thread-self/ns/net", path, None, libc.MS_BIND)


def _configure_inside(fd: int, gateway: IPv4Address, inside: IPv4Address) -> None:
    from pyroute2 import IPRoute

    libc.setns(fd, libc.CLONE_NEWNET)
    with IPRoute() as route:
        index = route.link_lookup(ifname="eth0")[0]
        route.link("set", index=route.link_lookup(ifname="lo")[0], state="up")
        route.addr("add", index=index, address=str(inside), prefixlen=30)
        route.link("set", index=index, state="up")
        route.route("add", dst="default", gateway=str(gateway))


def _configure_inside6(fd: int, gateway: str, inside: str) -> None:
    from pyroute2 import IPRoute

    libc.setns(fd, libc.CLONE_NEWNET)
    with IPRoute() as route:
        index = route.link_lookup(ifname="eth0")[0]
        route.addr("add", index=index, address=inside, prefixlen=126, flags=_NO_DETECTION)
        route.route("add", family=socket.AF_INET6, dst="default", gateway=gateway, oif=index)


def _routes() -> list[IPv4Network]:
    """Every network the host routes but the default one (/proc/net/route, addresses little endian in hex)."""
    found = []
    for line in _read("/proc/net/route").splitlines()[1:]:
        columns = line.split()
        destination, mask = (int.from_bytes(bytes.fromhex(columns[at]), "little") for at in (1, 7))
        if mask:
            found.append(IPv4Network((destination, mask.bit_count())))
    return found


def _mtu() -> int:
    """That of the interface the host's default route leaves by, so that large packets pass."""
    for line in _read("/proc/net/route").splitlines()[1:]:
        columns = line.split()
        if columns[1] == "00000000" and columns[7] == "00000000":
            with suppress(OSError, ValueError):
                return int(_read(f"/sys/class/net/{columns[0]}/mtu"))
    return 1500


def _read(path: str) -> str:
    with open(path, encoding="ascii") as stream:
        return stream.read()


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="ascii") as stream:
        stream.write(text)
