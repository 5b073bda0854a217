"""Both builders, over the same bases."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.differential.bases import base_archives
from tests.differential.builders import Ours, Reference
from tests.peers.engine import Engine


@pytest.fixture(scope="session")
def archives(busybox_root: Path) -> list[bytes]:
    """The bases."""
    return base_archives(busybox_root)


@pytest.fixture(scope="session")
def ours(archives: list[bytes], tmp_path_factory: pytest.TempPathFactory) -> Ours:
    """Our builder."""
    return Ours(tmp_path_factory.mktemp("ours") / "store", archives)


@pytest.fixture(scope="session")
def reference(archives: list[bytes], dockerd: Engine) -> Reference:
    """The reference builder."""
    return Reference(dockerd, archives)
