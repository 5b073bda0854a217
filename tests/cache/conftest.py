"""Fixtures of the cache's tests: a registry that tells what it was asked, and machines that share only it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cache.machines import Machines
from tests.registry.fake_registry import FakeRegistry


@pytest.fixture
def fake() -> Iterator[FakeRegistry]:
    """An empty registry on loopback."""
    with FakeRegistry() as registry:
        yield registry


@pytest.fixture
def machines(tmp_path: Path, busybox_root: Path, fake: FakeRegistry) -> Machines:
    """Machines with a store each, one context, and a base image in the registry."""
    if os.geteuid() != 0:
        pytest.skip("runs steps as root")
    return Machines(tmp_path, busybox_root, fake)
