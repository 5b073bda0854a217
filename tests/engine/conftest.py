"""Fixtures of the engine's tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.engine.site import Site


@pytest.fixture
def site(tmp_path: Path, busybox_root: Path) -> Site:
    """A fresh store and an empty context; root only, for it runs steps."""
    if os.geteuid() != 0:
        pytest.skip("runs steps as root")
    return Site(tmp_path, busybox_root)
