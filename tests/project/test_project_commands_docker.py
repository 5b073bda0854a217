"""The documentation's commands that speak with docker, with a real one."""

from __future__ import annotations

from pathlib import Path

import pytest

from builder.cli.main import COMMANDS
from tests.peers.distribution import Registry
from tests.peers.engine import Engine
from tests.privileges import needs_root_of_the_machine
from tests.project.test_project_commands import WITH_DOCKER
from tests.project.world import World
from tests.project.written import in_help, on_page, pages

pytestmark = [needs_root_of_the_machine, pytest.mark.timeout(600)]


def _written() -> list[str]:
    places = [*(on_page(page) for page in pages()), *(in_help(name) for name in COMMANDS)]
    return list(dict.fromkeys(command.text for place in places for command in place if WITH_DOCKER.search(command.text)))


def test_commands_with_docker(tmp_path: Path, box_tar: Path, registry: Registry, dockerd: Engine) -> None:
    world = World(tmp_path, box_tar, registry, "http://127.0.0.1:9", dockerd.env)
    world.sh("build -q -t app:1 .")
    world.sh("layerwright save app:1 | docker load && layerwright rm app:1")
    written = _written()
    assert len(written) >= 3
    # What saves from docker comes first, for the store has lost the image.
    for text in sorted(written, key=lambda text: "docker save" not in text):
        code, said = world.run(text)
        assert code == 0, f"{text}\n{said}"
    assert "app" in world.sh("docker images")
