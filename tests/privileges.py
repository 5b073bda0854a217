"""As whom the tests run: root of the machine, root of a user namespace (`python -m tests.rootless`), or an ordinary user as such.

The product itself never works as the last: an ordinary user's build is root of a user namespace.
"""

from __future__ import annotations

import os

import pytest

from runtime.unsupported import in_user_namespace

ROOT = os.geteuid() == 0
"""Of the machine or of a user namespace: owners can be given, overlays mounted, steps run."""

ROOT_OF_THE_MACHINE = ROOT and not in_user_namespace()
"""Devices can be made, trusted attributes set, links and rules of the host changed."""

XATTR_PREFIX = "trusted.overlay." if ROOT_OF_THE_MACHINE or not ROOT else "user.overlay."
"""Of overlayfs, for the stores and layers of tests."""

needs_root = pytest.mark.skipif(not ROOT, reason="files of other owners need root")
needs_no_namespace = pytest.mark.skipif(not ROOT, reason="an ordinary user enters a user namespace, which a test's own process must not")
needs_root_of_the_machine = pytest.mark.skipif(not ROOT_OF_THE_MACHINE, reason="needs root of the machine")


def root_only() -> None:
    """Skips a test that gives files other owners."""
    if not ROOT:
        pytest.skip("files of other owners need root")


def root_of_the_machine_only() -> None:
    """Skips a test of what only root of the machine may do."""
    if not ROOT_OF_THE_MACHINE:
        pytest.skip("needs root of the machine")
