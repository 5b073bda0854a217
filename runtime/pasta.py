"""Network namespaces for steps of an ordinary user: each with a pasta (passt.top) that carries its packets out.

pasta runs outside as this user and speaks for the namespace through ordinary sockets, so nothing on the host
changes. A namespace is made when first needed, serves one step at a time, and ends with the build. The ports
of the host's loopback are out of reach: pasta would map them to the gateway's address and to the namespace's
own loopback unless told otherwise.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time

from runtime.child import libc
from runtime.network import Lease, NoNetwork, in_thread
from runtime.unsupported import Unsupported, read

START_SECONDS = 10.0
REMEDY = "install the package passt, or use --network=host"
_ENTRY = os.path.join(os.path.dirname(os.path.abspath(__file__)), "child", "__main__.py")
_OPTIONS = ("--foreground", "--quiet", "--config-net", "--no-map-gw", "-t", "none", "-u", "none", "-T", "none", "-U", "none")


def find() -> str | None:
    """The program, if it is installed and can be used here: it needs /dev/net/tun, which some hosts keep for root."""
    return shutil.which("pasta") if os.access("/dev/net/tun", os.R_OK | os.W_OK) else None


def carries(ipv4: str, ipv6: str) -> bool:
    """Whether the routes of a host (/proc/net/route and ipv6_route) have a default one: pasta takes the place of its interface.

    Without any its versions before September 2024 end, and later ones carry nothing anywhere.
    """
    four = (line.split() for line in ipv4.splitlines()[1:])
    six = (line.split() for line in ipv6.splitlines())
    return any(row[1] == row[7] == "00000000" and row[0] != "lo" for row in four) or any(
        row[0] == "0" * 32 and row[1] == "00" and row[-1] != "lo" for row in six
    )


class PastaPool:
    """Namespaces of this process; `directory` is a place for their names."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._lock = threading.Lock()
        self._mounted = False
        self._free: list[_Namespace] = []
        self._every: list[_Namespace] = []

    def lease(self) -> Lease:
        """A namespace that no other step uses; raises Unsupported, NoNetwork."""
        if not carries(read("/proc/net/route"), read("/proc/net/ipv6_route")):
            raise NoNetwork("this host has no route to anywhere", REMEDY)
        with self._lock:
            namespace = self._free.pop() if self._free else None
            number = len(self._every)
            if namespace is None:
                try:
                    self._hide()
                    namespace = _Namespace(os.path.join(self._directory, f"{number}.ns"))
                except OSError as error:
                    raise Unsupported(f"cannot make a network for the step: {error.strerror}", REMEDY) from error
                self._every.append(namespace)
        try:
            namespace.wait_until_up()
        except BaseException:
            namespace.close()
            raise
        taken = namespace
        return Lease(os.dup(taken.fd), number, None, release=lambda: self._release(taken))

    def make_ready(self) -> None:
        """Nothing: a namespace and its pasta are made for the lease that needs them."""

    def _hide(self) -> None:
        """Other builds use the directory too, but a tmpfs over it in this mount namespace is ours alone, and leaves nothing."""
        if not self._mounted:
            os.makedirs(self._directory, mode=0o700, exist_ok=True)
            libc.mount("none", self._directory, "tmpfs", libc.MS_NOSUID | libc.MS_NODEV, "mode=700")
            self._mounted = True

    def spoil(self, lease: Lease) -> None:
        """What a step could change, it can only change for itself: the builder's own rights end at this namespace."""

    def close(self) -> None:
        with self._lock:
            namespaces, self._every, self._free = self._every, [], []
        for namespace in namespaces:
            namespace.close()

    def _release(self, namespace: _Namespace) -> None:
        with self._lock:
            if namespace in self._every:
                self._free.append(namespace)


class _Namespace:
    """One namespace and its pasta."""

    def __init__(self, path: str) -> None:
        self._path = path
        os.close(os.open(path, os.O_CREAT | os.O_RDONLY | os.O_CLOEXEC, 0o600))
        in_thread(self._make)
        self.fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._process: subprocess.Popen[bytes] | None = None
        self._started = threading.Event()
        # As with the launcher: the thread that forks must live as long as the child that asks to die with it.
        threading.Thread(target=self._keep, name="pasta-keeper", daemon=True).start()
        self._started.wait()

    def _make(self) -> None:
        libc.unshare(libc.CLONE_NEWNET)
        libc.mount("/proc/thread-self/ns/net", self._path, None, libc.MS_BIND)

    def _keep(self) -> None:
        program = find()
        if program is not None:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-E", _ENTRY, "--die-with-parent", program, *_OPTIONS, "--netns", self._path],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                start_new_session=True,  # a terminal's interrupt is the builder's to handle
                env={"LC_ALL": "C.UTF-8"},
            )
        self._started.set()
        if self._process is not None:
            self._process.wait()

    def wait_until_up(self) -> None:
        """pasta says nothing when it is ready, so look for the route it makes."""
        until = time.monotonic() + START_SECONDS
        while not self._has_route():
            if self._process is None:
                raise Unsupported("pasta is not installed, or there is no /dev/net/tun", REMEDY)
            if self._process.poll() is not None:
                said = (self._process.stderr.read() if self._process.stderr else b"").decode(errors="replace").strip().splitlines()
                raise Unsupported(f"pasta ended: {said[-1] if said else 'it gave no reason'}", REMEDY)
            if time.monotonic() > until:
                raise Unsupported(f"pasta made no route within {START_SECONDS:.0f} seconds", REMEDY)
            time.sleep(0.005)

    def _has_route(self) -> bool:
        found: list[bool] = []

        def look() -> None:
            libc.setns(self.fd, libc.CLONE_NEWNET)
            with open("/proc/thread-self/net/route") as stream:
                found.append(any(line.split()[1] == "00000000" for line in stream))

        in_thread(look)
        return found[0]

    def close(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
            libc.umount(self._path, libc.MNT_DETACH)
            os.unlink(self._path)
