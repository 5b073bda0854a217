"""The client the registry tests use: impatient, and a short way to name what the fake registry holds."""

from __future__ import annotations

from builder.oci.reference import Reference, parse_reference
from builder.registry.settings import Settings
from tests.registry.fake_registry import FakeRegistry

FAST = Settings(backoff=0.0, attempts=3, read_timeout=5)


def ref(fake: FakeRegistry, rest: str) -> Reference:
    return parse_reference(f"{fake.host}/{rest}")
