"""A registry on loopback and a client of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from builder.registry.client import Registry
from builder.store.blobs import MemoryBlobs
from tests.registry.client import FAST
from tests.registry.fake_registry import FakeRegistry


@pytest.fixture
def fake() -> Iterator[FakeRegistry]:
    with FakeRegistry() as registry:
        yield registry


@pytest.fixture
def blobs() -> MemoryBlobs:
    return MemoryBlobs()


@pytest.fixture
def client(blobs: MemoryBlobs) -> Iterator[Registry]:
    with Registry(FAST, blobs, sleep=lambda _: None) as registry:
        yield registry
