"""Fixtures of the sandbox: one for the session as root, and a fresh root for each test."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from runtime.sandbox import NamespaceSandbox, Sandbox
from tests.runtime.box import Box


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    with NamespaceSandbox(str(tmp_path_factory.mktemp("sandbox")), None) as opened:
        yield opened


@pytest.fixture
def new_box(sandbox: Sandbox, busybox_root: Path, tmp_path: Path) -> Callable[[str], Box]:
    """Makes roots by name."""
    return lambda name: Box(sandbox, busybox_root, tmp_path / name)


@pytest.fixture
def box(new_box: Callable[[str], Box]) -> Box:
    return new_box("box")
