"""Fixtures of the tests of explanations."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.explain.told import Told


@pytest.fixture
def told(tmp_path: Path, busybox_root: Path) -> Told:
    """A fresh store and an empty context; root only, for it runs steps."""
    if os.geteuid() != 0:
        pytest.skip("runs steps as root")
    return Told(tmp_path, busybox_root)
