"""A full disk, said once: the error every write under the store root turns into, and how sizes on disk are counted."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

from builder.errors import LayerwrightError

BLOCK = 4096
"""Bytes a file's size is rounded up to when sizes are summed; the block of nearly every file system."""

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


def disk_size(size: int) -> int:
    """Bytes on disk of a file with this many bytes."""
    return (size + BLOCK - 1) // BLOCK * BLOCK


def is_full(error: OSError) -> bool:
    """Whether this error means that the disk or the quota is used up."""
    return error.errno in _FULL


def disk_full(root: str | os.PathLike[str]) -> LayerwrightError:
    """The error to raise when nothing more can be written under `root`."""
    return LayerwrightError(
        "disk-full",
        f"no space is left on the disk of the store {os.fspath(root)}",
        help="free some with `layerwright prune`, or put the store elsewhere with --root",
    )


@contextmanager
def guard_space(root: str | os.PathLike[str]) -> Iterator[None]:
    """Turns ENOSPC and EDQUOT inside into the `disk-full` error; other errors pass."""
    try:
        yield
    except OSError as error:
        if is_full(error):
            raise disk_full(root) from error
        raise


def free_bytes(root: str | os.PathLike[str]) -> tuple[int, int]:
    """Free and total bytes of the file system that holds `root`, as an ordinary user sees them."""
    stats = os.statvfs(root)
    return stats.f_bavail * stats.f_frsize, stats.f_blocks * stats.f_frsize
