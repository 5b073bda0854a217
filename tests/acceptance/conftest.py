"""Fixtures of the acceptance tests."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path

import pytest

from tests.acceptance.command import Command


@pytest.fixture
def command(tmp_path: Path) -> Command:
    """The commands on a fresh store; root only, for they run steps."""
    if os.geteuid() != 0:
        pytest.skip("runs steps as root")
    work = tmp_path / "work"
    work.mkdir()
    return Command(tmp_path / "store", work)


@pytest.fixture(scope="session")
def box_tar(busybox_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The busybox root as a tar for ADD."""
    path = tmp_path_factory.mktemp("box") / "box.tar"
    with tarfile.open(path, "w") as archive:
        archive.add(busybox_root, ".")
    return path
