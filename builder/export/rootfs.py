"""A result's files in the order they are written: sorted, depth first, further names of one file as hard links."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from builder.fs.entries import Entry
from builder.fs.tree import Tree, below
from builder.image.model import Image
from builder.snapshot.layers import Layers


def entries_of(tree: Tree, epoch: int | None = None) -> Iterator[Entry]:
    """Every entry below the root, xattrs filled; sockets are passed over, as in layers.

    With an epoch (in seconds) every time is that (BuildKit exporter/local/fs.go).
    """
    first_names: dict[tuple[int, int], str] = {}
    pending = list(reversed(tree.names("")))
    while pending:
        path = pending.pop()
        entry = tree.lstat(path)
        if entry is None or entry.kind == "socket":
            continue
        if epoch is not None:
            entry = msgspec.structs.replace(entry, mtime_ns=epoch * 10**9)
        if entry.kind == "dir":
            pending.extend(below(path, name) for name in reversed(tree.names(path)))
        else:
            identity = tree.identity(path)
            if identity is not None:
                first = first_names.setdefault(identity, path)
                if first != path:
                    yield msgspec.structs.replace(entry, kind="hardlink", link=first, size=0)
                    continue
        if entry.kind in ("file", "dir"):
            entry = msgspec.structs.replace(entry, xattrs=tree.xattrs(path))
        yield entry


def trees(images: tuple[Image, ...], layers: Layers, split: bool | None) -> Iterator[tuple[str, Tree]]:
    """Each image's files with the directory they go under: `linux_amd64` where platforms are split (several always are)."""
    for image in images:
        apart = len(images) > 1 if split is None else split
        yield (str(image.platform).replace("/", "_") if apart else ""), layers.tree(image.layers)
