"""What a selection held, file by file: kept under the selection's digest, so that a later miss can be explained.

    <digest> = zlib of msgpack: a list of rows

Written only when the digest is new, so an unchanged build pays a stat for each COPY and no more. Nothing is
decided by a manifest: one that is lost makes an explanation less exact, and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import msgspec

MAX_ROWS = 200_000
"""Of a larger selection no manifest is kept."""


class ManifestRow(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One thing taken: `path` in its tree (bytes as stored in paths), `content` the sha256 of a file, else the link's target
    or the device numbers; `group` tells hard links of one file apart; `xattrs` digested."""

    path: bytes
    kind: str
    mode: int
    uid: int
    gid: int
    size: int
    content: bytes
    group: int
    xattrs: bytes


class Manifests(Protocol):
    """Where manifests are kept, by digest. Thread-safe; losing one is allowed."""

    def has(self, digest: str) -> bool:
        """Whether it is there; marks it as used."""

    def put(self, digest: str, data: bytes) -> None:
        """Keep it; atomic, best effort."""

    def get(self, digest: str) -> bytes | None:
        """None when absent."""


def encode_manifest(rows: Iterable[ManifestRow]) -> bytes:
    """The bytes to keep."""
    import zlib  # its library costs 2 ms to load, which a build that finds no new selection need not pay

    return zlib.compress(msgspec.msgpack.encode(list(rows)), 1)


def decode_manifest(data: bytes | None) -> tuple[ManifestRow, ...] | None:
    """The rows; None for what is absent or no manifest of this version."""
    if data is None:
        return None
    import zlib

    try:
        return msgspec.msgpack.decode(zlib.decompress(data), type=tuple[ManifestRow, ...])
    except (msgspec.MsgspecError, zlib.error):
        return None
