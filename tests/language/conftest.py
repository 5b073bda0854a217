"""One store with the bases for all builds of a session; a context directory for each test."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.differential.bases import base_archives
from tests.differential.builders import Ours
from tests.language.workplace import Workplace


@pytest.fixture(scope="session")
def shared_store(busybox_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Ours:
    """The store, with its bases loaded."""
    if os.geteuid() != 0:
        pytest.skip("layers are read back with their owners, which takes root")
    return Ours(tmp_path_factory.mktemp("language") / "store", base_archives(busybox_root))


@pytest.fixture
def place(shared_store: Ours, tmp_path: Path) -> Workplace:
    """A context to build from."""
    return Workplace(shared_store, tmp_path)
