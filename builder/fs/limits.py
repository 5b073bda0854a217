"""The one table of caps on what is read from archives, images and contexts.

Every number is far above what real images hold, and low enough that hostile input fails in bounded memory,
disk and time (see the tests of the tar reader and of unpacking).
"""

from __future__ import annotations

import msgspec


class Limits(msgspec.Struct, frozen=True):
    """Each cap names the error's subject; sizes in bytes."""

    entries: int = 4_000_000
    """Entries of one archive."""
    plain: int = 256 << 30
    """Decompressed bytes of one archive."""
    file: int = 256 << 30
    """Size of one file, holes included."""
    path: int = 8 << 10
    """One path or link target; Linux's own PATH_MAX of 4096 binds only single calls."""
    depth: int = 2048
    """Components of one path."""
    header: int = 1 << 20
    """One extended header (PAX, GNU long name), as Go's archive/tar."""
    segments: int = 1 << 20
    """Data segments of one sparse file."""
    zstd_window: int = 128 << 20
    """A zstd frame's window: the default of the zstd command."""
    xz_memory: int = 256 << 20
    """Memory of the xz decoder (xz -9 needs 65 MiB)."""
    accounts: int = 4 << 20
    """etc/passwd or etc/group (CVE-2026-47262)."""
    links: int = 255
    """Symlinks followed in one path; the kernel's own limit is 40, chains in images are short."""


DEFAULT = Limits()
