"""Run by an ordinary user (see test_runtime_pasta): steps on networks of their own by pasta; prints what they found, as JSON."""

from __future__ import annotations

import json
import os
import socket
import sys
import tempfile
import threading
from pathlib import Path

from runtime.userns import enter_user_namespace

enter_user_namespace()

from runtime import pasta  # noqa: E402 - the namespace comes before anything that could start a thread
from runtime.sandbox import Sandbox, open_sandbox  # noqa: E402
from runtime.spec import NetworkMode, Overlay, Process  # noqa: E402

BIND = """
nc -l -p 8080 </dev/null >/got & listener=$!
for try in $(seq 100); do grep -q :1F90 /proc/net/tcp && break; sleep 0.1; done
sleep 1; echo $0 | nc -w 2 127.0.0.1 8080 & wait $listener; cat /got
"""
REACH = """
for to in 127.0.0.1 $(ip route | sed -n 's/default via \\([^ ]*\\).*/\\1/p'); do
  nc -w 2 $to PORT </dev/null >/dev/null 2>&1 && echo reached $to
done; echo tried
"""


class Place:
    """Roots for steps that run at once."""

    def __init__(self, base: str, sandbox: Sandbox) -> None:
        self._base, self._sandbox = base, sandbox
        self._place = Path(tempfile.mkdtemp())

    def run(self, name: str, script: str, network: NetworkMode = "default", hosts: tuple[tuple[str, str], ...] = ()) -> list[str]:
        upper, work = (self._place / f"{name}-{kind}" for kind in ("upper", "work"))
        for path in (upper, work):
            path.mkdir(exist_ok=True)
        written: list[bytes] = []
        process = Process(
            argv=("/bin/sh", "-c", script, name), root=Overlay((self._base,), str(upper), str(work)),
            env=(("PATH", "/bin"),), network=network, hosts=hosts,
        )  # fmt: skip
        ended = self._sandbox.run(process, lambda _stream, data: written.append(data), threading.Event())
        return [*(ended.setup_error or b"".join(written).decode()).splitlines(), *ended.notes]


def main(base: str) -> dict[str, object]:
    found: dict[str, object] = {"pasta": pasta.find() is not None, "own": os.readlink("/proc/self/ns/net")}
    state = tempfile.mkdtemp()
    with open_sandbox(state_dir=state) as sandbox:
        place = Place(base, sandbox)
        found["namespace"] = place.run("namespace", "readlink /proc/self/ns/net")
        found["routed"] = pasta.carries(Path("/proc/net/route").read_text(), "")
        if found["pasta"] and found["routed"]:
            found.update(look(place))
        children = [Path(f"/proc/self/task/{task}/children").read_text().split() for task in os.listdir("/proc/self/task")]
        started = [Path(f"/proc/{pid}") for pids in children for pid in pids if is_pasta(pid)]
        found["pastas"] = len(started)
    found["left"] = [[str(path) for path in started if path.exists()], os.listdir(f"{state}/net") if found["pastas"] else []]
    return found


def is_pasta(pid: str) -> bool:
    return Path(f"/proc/{pid}/comm").read_text().startswith(("pasta", "passt"))


def look(place: Place) -> dict[str, object]:
    """What steps with a network of their own reach and do not."""
    found: dict[str, object] = {}
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        told: dict[str, list[str]] = {}
        names = ("one", "two")
        threads = [threading.Thread(target=lambda name=name: told.update({name: place.run(name, BIND)})) for name in names]  # type: ignore[misc]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        found["bound"] = [told[name] for name in names]
        found["loopback"] = place.run("loopback", REACH.replace("PORT", str(port)))
        found["host"] = place.run("host", f"nc -w 2 127.0.0.1 {port} </dev/null >/dev/null & sleep 1; kill $! && echo reached", "host")
    found["links"] = place.run("links", "ls /sys/class/net | wc -l; ip route | grep -c default")
    found["resolver"] = place.run("resolver", "cat /etc/resolv.conf")
    found["resolved"] = place.run("resolved", "busybox nslookup deb.debian.org >/dev/null 2>&1 && echo resolved")
    found["gateway"] = place.run("gateway", "grep -c outside /etc/hosts", hosts=(("host-gateway", "outside"),))
    found["none"] = place.run("none", "ls /sys/class/net", "none")
    return found


print(json.dumps(main(sys.argv[1])))
