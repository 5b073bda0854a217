"""A real registry (package docker-registry) on a free loopback port."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tests.peers.service import Service, Unavailable, free_port, listens

CONFIG = """\
version: 0.1
log: {{level: warn, accesslog: {{disabled: true}}}}
storage:
  filesystem: {{rootdirectory: {root}}}
  delete: {{enabled: true}}
http: {{addr: "127.0.0.1:{port}"}}
"""


class Registry:
    """A running registry: `host` is `127.0.0.1:PORT`, `root` where its files lie, `url` for plain HTTP."""

    def __init__(self, service: Service, port: int, root: Path) -> None:
        self._service = service
        self.port = port
        self.host = f"127.0.0.1:{port}"
        self.url = f"http://{self.host}"
        self.root = root

    def push_layout(self, layout: Path, tag: str, name: str) -> str:
        """Puts an image of an OCI layout there with skopeo; returns the reference."""
        reference = f"{self.host}/{name}"
        subprocess.run(
            ["skopeo", "copy", "--quiet", "--preserve-digests", "--dest-tls-verify=false", f"oci:{layout}:{tag}", f"docker://{reference}"],
            check=True, capture_output=True,
        )  # fmt: skip
        return reference

    def stop(self) -> None:
        """Ends the server; its files stay until their directory is removed."""
        self._service.stop()


def start_registry(state: Path, port: int | None = None) -> Registry:
    """Starts `docker-registry serve` with its files beneath `state`; raises Unavailable."""
    program = shutil.which("docker-registry")
    if program is None:
        raise Unavailable("docker-registry is not installed")
    for attempt in range(5):
        chosen = port or free_port()
        root = state / "registry"
        root.mkdir(parents=True, exist_ok=True)
        config = state / "registry.yml"
        config.write_text(CONFIG.format(root=root, port=chosen))
        service = Service([program, "serve", str(config)], state / "registry.log")
        try:
            service.wait_until(lambda port=chosen: listens(port))  # type: ignore[misc]
        except Unavailable:
            if port is not None or attempt == 4:
                raise
            continue
        return Registry(service, chosen, root)
    raise Unavailable("no free port for a registry")
