"""A server image in the shape of a database's: built by us, and run, asked and stopped by dockerd."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from tests.peers.distribution import Registry
from tests.peers.engine import Engine
from tests.realworld.projects import Projects

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def server(projects: Projects, registry: Registry, dockerd: Engine) -> Iterator[str]:
    """kv-server as a container of dockerd; its id."""
    name = f"{registry.host}/kv-server:1"
    projects.build("kv-server")
    projects.command.run("layerwright", "tag", "kv-server:bookworm", name)
    projects.command.run("layerwright", "push", name)
    container = dockerd.docker("run", "-d", "--network", "none", name, "--port", "6399").stdout.decode().strip()
    yield container
    dockerd.docker("rm", "-f", "-v", container)


def test_kv_server_steps_down_serves_and_stops_as_asked(server: str, dockerd: Engine) -> None:
    def ask(*words: str) -> str:
        return dockerd.docker("exec", server, "kv-server", *words).stdout.decode()

    _until_it_serves(dockerd, server)
    assert ask("--set", "color", "green") == "ok\n"
    assert ask("--get", "color") == "green\n"
    facts = json.loads(dockerd.docker("inspect", server).stdout)[0]
    assert facts["Config"]["StopSignal"] == "SIGINT"
    assert facts["Config"]["Healthcheck"]["Interval"] == 90 * 10**9
    assert facts["Config"]["ExposedPorts"] == {"6399/tcp": {}}
    assert [mount["Destination"] for mount in facts["Mounts"]] == ["/data"]
    owner = dockerd.docker("exec", server, "stat", "-c", "%U %a", "/data", "/data/color").stdout.decode()
    assert owner == "kv 750\nkv 600\n"
    dockerd.docker("stop", "-t", "20", server)
    logs = dockerd.docker("logs", server).stdout.decode()
    assert logs == "uid 999 serves port 6399 from /data\nbye on signal 2\n"


def _until_it_serves(dockerd: Engine, container: str) -> None:
    for _ in range(100):
        if b"serves" in dockerd.docker("logs", container).stdout:
            return
        time.sleep(0.1)
    raise AssertionError("the server does not start")


def test_nothing_of_what_fetching_took_stays(projects: Projects) -> None:
    projects.build("kv-server")
    question = "dpkg -l procps netbase gosu | grep ^ii | cut -d ' ' -f 3"
    said = projects.command.run("layerwright", "run", "--entrypoint", "sh", "kv-server:bookworm", "-c", question).stdout
    assert said.split() == ["gosu"]
