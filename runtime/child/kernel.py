"""The kernel's version, and what came with which."""

from __future__ import annotations

import itertools
import os

NEEDED = (5, 12)
"""open_tree, move_mount and mount_setattr, by which everything is mounted."""


def version(release: str | None = None) -> tuple[int, int]:
    """Of a release as uname(2) has it (`6.1.0-56-amd64`), of this kernel's by default."""
    major, _dot, rest = (os.uname().release if release is None else release).partition(".")
    return int(major), int("".join(itertools.takewhile(str.isdigit, rest)) or 0)
