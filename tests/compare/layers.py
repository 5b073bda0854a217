"""Layers and images for comparing, made of entries."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from builder.fs.entries import Entry
from builder.fs.tarwrite import TarWriter
from builder.oci.reference import parse_reference
from builder.store.store import Store
from tests.registry.fake_registry import Sample, sample

Row = tuple[Entry, bytes | None]


def tar(*rows: Row) -> bytes:
    """A layer's plain bytes."""
    data = bytearray()
    writer = TarWriter(data.extend)
    for entry, content in rows:
        writer.add(entry, content)
    writer.close()
    return bytes(data)


def file(path: str, content: bytes = b"x", mode: int = 0o644, **fields: object) -> Row:
    """A regular file."""
    return Entry(path, "file", mode, size=len(content), **fields), content  # type: ignore[arg-type]


def directory(path: str, mode: int = 0o755, **fields: object) -> Row:
    """A directory."""
    return Entry(path, "dir", mode, **fields), None  # type: ignore[arg-type]


def gone(path: str) -> Row:
    """A whiteout."""
    return Entry(path, "whiteout"), None


def opaque(path: str) -> Row:
    """The mark of a directory that hides what was in it."""
    return Entry(path, "opaque"), None


def hard(path: str, target: str) -> Row:
    """A hard link."""
    return Entry(path, "hardlink", 0o644, link=target), None


def image(*layers: Sequence[Row]) -> Sample:
    """An image of these layers, lowest first."""
    return sample(*(tar(*layer) for layer in layers))


def keep(root: Path, name: str, made: Sample) -> None:
    """Puts an image into a store."""
    with Store.open(root) as store:
        store.images.set(str(parse_reference(name)), made.put(store.blobs))


def is_root() -> bool:
    """An ordinary user's command enters a user namespace, which a test's own process must not."""
    return os.geteuid() == 0
