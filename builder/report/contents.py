"""What is in a layer: its largest files, and the caches that package managers left there; from its directory or its blob.

Nothing is fetched and nothing unpacked: of a layer that is neither here nor there, nothing is known.
"""

from __future__ import annotations

import heapq
import os
from collections.abc import Iterable, Iterator

import msgspec

from builder.errors import LayerwrightError
from builder.fs.compress import decompress
from builder.fs.scan import raw_entries
from builder.fs.tarread import read_tar
from builder.report.facts import FileSize
from builder.store.layertable import LayerId, LayerRecord
from builder.store.store import Store

LARGEST = 8

WASTE = (
    "var/lib/apt/lists/",
    "var/cache/apt/",
    "var/cache/apk/",
    "var/cache/dnf/",
    "var/cache/yum/",
    "root/.cache/",
    "root/.npm/",
    "usr/local/share/.cache/",
    "tmp/",
    "var/tmp/",
)
"""Directories that an image has no use for."""


class Contents(msgspec.Struct, frozen=True):
    """Bytes and number of a layer's files, the largest, and what lies below WASTE."""

    size: int
    count: int
    largest: tuple[FileSize, ...]
    waste: tuple[FileSize, ...]


def layer_contents(store: Store, layer: LayerId) -> tuple[LayerRecord | None, Contents | None]:
    """What the store knows of a layer, and what is in it where that is here."""
    record = store.index.layers.get(layer)
    if record is None:
        return None, None
    try:
        files = _files(store, record)
        return record, None if files is None else _sum(files)
    except (LayerwrightError, OSError):
        return record, None  # broken, or removed meanwhile: fsck tells of it, a picture need not


def _files(store: Store, record: LayerRecord) -> Iterable[tuple[str, int]] | None:
    directory = store.root / "layers" / record.dir if record.dir is not None else None
    if directory is not None and directory.is_dir():
        return _of_directory(os.fspath(directory))
    for blob in record.blobs:
        if store.blobs.has(blob.digest):
            return _of_blob(store, record)
    return None


def _of_directory(directory: str) -> Iterator[tuple[str, int]]:
    seen: set[tuple[int, int]] = set()
    for entry, identity in raw_entries(directory):
        if identity is not None:
            if identity in seen:
                continue
            seen.add(identity)
        if entry.kind == "file":
            yield entry.path, entry.size


def _of_blob(store: Store, record: LayerRecord) -> Iterator[tuple[str, int]]:
    blob = next(blob for blob in record.blobs if store.blobs.has(blob.digest))
    with store.blobs.open(blob.digest) as reader:
        for entry, _ in read_tar(decompress(reader)):
            if entry.kind == "file":
                yield entry.path, entry.size


def _sum(files: Iterable[tuple[str, int]]) -> Contents:
    size = count = 0
    waste: dict[str, int] = {}
    top: list[tuple[int, str]] = []
    for path, length in files:
        size += length
        count += 1
        if len(top) < LARGEST:
            heapq.heappush(top, (length, path))
        elif length > top[0][0]:
            heapq.heapreplace(top, (length, path))
        if path.startswith(WASTE):
            directory = next(prefix for prefix in WASTE if path.startswith(prefix))
            waste[directory] = waste.get(directory, 0) + length
    largest = tuple(FileSize(path, length) for length, path in sorted(top, key=lambda row: (-row[0], row[1])))
    found = tuple(FileSize(path.rstrip("/"), length) for path, length in sorted(waste.items(), key=lambda row: (-row[1], row[0])))
    return Contents(size, count, largest, found)
