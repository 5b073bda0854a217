"""The root file system that a stack of layers makes, as one stream in the order of paths; nothing is unpacked.

What an upper layer hides (whiteouts, opaque directories, a file in the place of a directory) is known before
what it hides comes, for a directory's contents follow it at once. OCI image-spec layer.md, "Applying Changesets".
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

import msgspec

from builder.compare.listing import Listing, Node, rank

Placed = tuple[Node, int]
"""A node, and the number of its layer from 1 on; 0 for a directory that no layer names."""

_Row = tuple[bytes, int, int, Node]


def merged(listings: Sequence[Listing]) -> Iterator[Placed]:
    """Every path once, the root first. Of hard links those that are still joined say so."""
    if not any(listing.links for listing in listings):
        return _merge(listings)
    members: dict[tuple[int, bytes], list[bytes]] = {}
    for node, layer in _merge(listings):
        if node.group:
            members.setdefault((layer, node.group), []).append(node.key)
    return _regrouped(_merge(listings), {group: keys[0] for group, keys in members.items() if len(keys) > 1})


def _regrouped(nodes: Iterable[Placed], firsts: dict[tuple[int, bytes], bytes]) -> Iterator[Placed]:
    for node, layer in nodes:
        first = firsts.get((layer, node.group), b"") if node.group else b""
        yield (node if first == node.group else msgspec.structs.replace(node, group=first)), layer


def _merge(listings: Sequence[Listing]) -> Iterator[Placed]:
    rows = heapq.merge(*(_rows(listing, number) for number, listing in enumerate(listings, 1)))
    covers = _Covers()
    parents = _Parents()
    for key, group in groupby(rows, key=lambda row: row[0]):
        floor = covers.at(key)
        shown: Placed | None = None
        cover = floor
        for _, negative, kind, node in group:
            layer = -negative
            if kind:
                cover = max(cover, layer)
                floor = max(floor, layer) if node.kind == "whiteout" else floor
            elif layer >= floor:
                shown = shown or (node, layer)
                if node.kind != "dir":
                    cover = max(cover, layer)
        covers.push(key, cover)
        if shown is not None:
            yield from parents.missing(key)
            parents.enter(key)
            yield shown


def _rows(listing: Listing, layer: int) -> Iterator[_Row]:
    """Ordered by path, then the upper layer first, then entries before marks."""
    for node in listing:
        yield node.key, -layer, rank(node), node


class _Covers:
    """For each directory on the way down: layers below this number are hidden in it."""

    def __init__(self) -> None:
        self._stack: list[tuple[bytes, int]] = [(b"", 0)]

    def at(self, key: bytes) -> int:
        """What holds for a path; paths come in order."""
        while len(self._stack) > 1 and not key.startswith(self._stack[-1][0]):
            self._stack.pop()
        return self._stack[-1][1]

    def push(self, key: bytes, level: int) -> None:
        """What holds below a path."""
        if level > self._stack[-1][1]:
            self._stack.append((_inside(key), level))


class _Parents:
    """Directories that hold something and that no layer names: 0755 of root, as unpacking makes them."""

    def __init__(self) -> None:
        self._stack: list[bytes] = []

    def missing(self, key: bytes) -> Iterator[Placed]:
        """Those above a path that is about to be shown."""
        while self._stack and not key.startswith(_inside(self._stack[-1])):
            self._stack.pop()
        if key and not self._stack:
            yield self._made(b"")
        if not key or key.rpartition(b"\0")[0] == self._stack[-1]:
            return
        names = key.split(b"\0")
        for count in range(1, len(names)):
            parent = b"\0".join(names[:count])
            if len(parent) > len(self._stack[-1]):
                yield self._made(parent)

    def enter(self, key: bytes) -> None:
        """A path is shown."""
        self._stack.append(key)

    def _made(self, key: bytes) -> Placed:
        self._stack.append(key)
        return Node(key, "dir", 0o755), 0


def _inside(key: bytes) -> bytes:
    return key + b"\0" if key else b""
