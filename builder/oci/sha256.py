"""SHA-256 twice: `small` for names and records, `large` for files and blobs.

hashlib loads OpenSSL, which takes a tenth of the start of a build that finds everything cached and hashes a few
kilobytes; CPython's own implementation is a third as fast on large data and the same on small.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hashlib import _Hash


def _own() -> Callable[..., Any]:
    """What hashlib falls back on: `_sha2` since CPython 3.12, `_sha256` before; other interpreters may have neither."""
    for name in ("_sha256", "_sha2"):
        try:
            made: Callable[..., Any] = __import__(name).sha256
            return made
        except ImportError:
            continue
    from hashlib import sha256

    return sha256


small: Callable[..., _Hash] = _own()
"""A hash of at most a few kilobytes."""


def large(data: bytes | bytearray = b"") -> _Hash:
    """A hash of anything, by OpenSSL and the processor's own instructions."""
    import hashlib

    return hashlib.sha256(data, usedforsecurity=False)
