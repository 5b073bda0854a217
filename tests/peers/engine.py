"""A real dockerd (package docker.io) with a socket, data and bridge of its own."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.peers.service import Service, Unavailable


class Engine:
    """A running dockerd; `docker` runs its client, of the same package."""

    def __init__(self, service: Service, client: str, state: Path, bridge: str) -> None:
        self._service = service
        self._client = client
        self._state = state
        self._bridge = bridge
        self.socket = state / "docker.sock"

    @property
    def env(self) -> dict[str, str]:
        """What a client needs: DOCKER_HOST, and a configuration directory of its own."""
        return {"DOCKER_HOST": f"unix://{self.socket}", "DOCKER_CONFIG": str(self._state / "config"), "DOCKER_BUILDKIT": "1"}

    def docker(
        self, *args: str, check: bool = True, env: Mapping[str, str] | None = None, stdin: bytes | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        """Runs the client; stdout and stderr are captured."""
        return subprocess.run(
            [self._client, *args], env={**os.environ, **self.env, **(env or {})}, check=check, capture_output=True, input=stdin
        )

    def stop(self) -> None:
        """Ends the daemon, then removes its bridge and its data."""
        self._service.stop(20)
        subprocess.run(["ip", "link", "del", self._bridge], check=False, capture_output=True)
        subprocess.run(["umount", "-R", "-l", str(self._state / "data")], check=False, capture_output=True)
        shutil.rmtree(self._state, ignore_errors=True)


def start_engine(state: Path) -> Engine:
    """Starts dockerd with its own bridge and without a word to iptables; raises Unavailable."""
    if os.geteuid() != 0:
        raise Unavailable("dockerd needs root")
    client = "/usr/bin/docker" if os.path.exists("/usr/bin/docker") else shutil.which("docker")
    for program, found in (("dockerd", shutil.which("dockerd")), ("docker", client), ("ip", shutil.which("ip"))):
        if found is None:
            raise Unavailable(f"{program} is not installed")
    state.mkdir(parents=True, exist_ok=True)
    (state / "config").mkdir(exist_ok=True)
    bridge = _make_bridge()
    path = state / "docker.sock"
    # No iptables: several daemons on one machine would rewrite each other's chains. Containers reach the bridge only.
    service = Service(
        ["dockerd", "--host", f"unix://{path}", "--data-root", str(state / "data"), "--exec-root", str(state / "exec"),
         "--pidfile", str(state / "docker.pid"), "--bridge", bridge, "--iptables=false", "--ip6tables=false", "--ip-forward=false",
         "--ip-masq=false", "--userland-proxy=false", "--config-file", str(_empty_config(state))],
        state / "dockerd.log",
    )  # fmt: skip
    engine = Engine(service, str(client), state, bridge)
    try:
        service.wait_until(lambda: _answers(path), 40)
    except Unavailable:
        subprocess.run(["ip", "link", "del", bridge], check=False, capture_output=True)
        raise
    return engine


def _empty_config(state: Path) -> Path:
    path = state / "daemon.json"
    path.write_text("{}")
    return path


def _make_bridge() -> str:
    """A new bridge with the first free 10.213.N.1/24; the kernel refuses a taken name, so two sessions cannot share one."""
    for number in range(1, 255):
        name = f"lwtest{number}"
        if subprocess.run(["ip", "link", "add", name, "type", "bridge"], check=False, capture_output=True).returncode != 0:
            continue
        subprocess.run(["ip", "addr", "add", f"10.213.{number}.1/24", "dev", name], check=True, capture_output=True)
        subprocess.run(["ip", "link", "set", name, "up"], check=True, capture_output=True)
        return name
    raise Unavailable("a network bridge cannot be made here")


def _answers(path: Path) -> bool:
    """Whether the daemon says OK to a ping."""
    if not path.exists():
        return False
    with socket.socket(socket.AF_UNIX) as link:
        link.settimeout(2)
        try:
            link.connect(str(path))
            link.sendall(b"GET /_ping HTTP/1.0\r\nHost: docker\r\n\r\n")
            return b"200 OK" in link.recv(64)
        except OSError:
            return False
