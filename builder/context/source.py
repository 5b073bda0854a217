"""What a fetched source is: its files, and the pin that fixes their content."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import msgspec

from builder.fs.tree import Tree

SecretLookup = Callable[[str], bytes | None]
"""A secret by its id, None when it was not given."""


class Fetched(msgspec.Struct, frozen=True):
    """A source's files; equal pins mean equal files."""

    tree: Tree
    pin: str


def pin_of(*record: object) -> str:
    """64 hex digits of a record, framed by length."""
    return hashlib.sha256(msgspec.msgpack.encode(record)).hexdigest()
