"""Fixtures of the acceptance tests."""

from __future__ import annotations

import os
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
