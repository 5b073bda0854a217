"""Fixtures of the real-world images."""

from __future__ import annotations

import os

import pytest

from tests.acceptance.command import Command
from tests.realworld.projects import Projects, need


@pytest.fixture(scope="module")
def projects(tmp_path_factory: pytest.TempPathFactory, debian_base: str) -> Projects:
    """One store for all: what one project installs, the next finds."""
    if os.geteuid() != 0:
        pytest.skip("runs steps as root")
    need("Debian")
    place = tmp_path_factory.mktemp("realworld")
    (place / "work").mkdir()
    return Projects(Command(place / "store", place / "work"), debian_base)
