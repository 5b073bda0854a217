"""The projects of testdata/realworld: built by the commands, on a Debian in the place of the images that the network does not give."""

from __future__ import annotations

import json
import ssl
import urllib.request

import pytest

from tests.acceptance.command import REPOSITORY, Command

SOURCES = REPOSITORY / "testdata" / "realworld"
MIRRORS = {
    "Debian": "http://deb.debian.org/debian/dists/bookworm/Release",
    "PyPI": "https://pypi.org/simple/bottle/",
    "npm": "https://registry.npmjs.org/ms",
}


def need(name: str) -> None:
    """Skips the test where a mirror does not answer."""
    try:
        with urllib.request.urlopen(MIRRORS[name], timeout=10) as answer:
            answer.read(1)
    except OSError as error:
        pytest.skip(f"{name} cannot be reached: {error}")


class Projects:
    """Builds the projects in one store, on the registry's Debian, and runs what they make."""

    def __init__(self, command: Command, base: str) -> None:
        self.command = command
        self._base = base

    def build(self, name: str, *args: str) -> str:
        """The project of that name, under its name; what the build said."""
        authorities = ssl.get_default_verify_paths().cafile
        secret = ["--secret", f"id=ca,src={authorities}"] if authorities else []
        contexts = ["--build-context", f"debian:bookworm=docker-image://{self._base}"]
        tag = f"{name}:bookworm"
        return self.command.build("-t", tag, *contexts, *secret, *args, str(SOURCES / name)).stderr

    def run(self, name: str, *args: str) -> str:
        """What the image's program says."""
        return self.command.run("layerwright", "run", "--network", "none", f"{name}:bookworm", *args).stdout

    def config(self, name: str) -> dict[str, object]:
        """The image's config."""
        config: dict[str, object] = json.loads(self.command.run("layerwright", "inspect", f"{name}:bookworm").stdout)["config"]
        return config
