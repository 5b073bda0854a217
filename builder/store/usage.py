"""What the store takes of the disk, thing by thing and in all (`layerwright du`)."""

from __future__ import annotations

import os
from typing import Literal

import msgspec

from builder.store.collect import Item
from builder.store.inventory import directory_size, horizon, take_inventory
from builder.store.space import disk_size
from builder.store.store import Store

Kind = Literal["layer", "directory", "blob", "cache-mount", "temporary", "index"]


class UsageLine(msgspec.Struct, frozen=True):
    """One thing; `kept` says why prune would not take it, "" when it would."""

    kind: Kind
    name: str
    size: int
    used_ns: int
    kept: str
    note: str = ""


class Usage(msgspec.Struct, frozen=True):
    """All things, and the sums over them."""

    lines: tuple[UsageLine, ...]

    @property
    def total(self) -> int:
        return sum(line.size for line in self.lines)

    @property
    def reclaimable(self) -> int:
        return sum(line.size for line in self.lines if not line.kept)

    def by_kind(self) -> tuple[tuple[Kind, int, int], ...]:
        """(kind, count, bytes) for each kind there is, sorted."""
        kinds = sorted({line.kind for line in self.lines})
        return tuple(
            (kind, sum(1 for line in self.lines if line.kind == kind), sum(line.size for line in self.lines if line.kind == kind))
            for kind in kinds
        )


def usage(store: Store) -> Usage:
    """Everything below the store's root; cache mounts are measured anew."""
    since = horizon(store)
    lines = [_line(item, since) for item in take_inventory(store, measure=True).items if item.size or item.kind != "layer"]
    lines.sort(key=lambda line: (line.kind, -line.size, line.name))
    lines.append(UsageLine("temporary", "work", directory_size(store.root / "work"), store.now(), "goes by itself"))
    lines.append(UsageLine("index", "index.db", _index_size(store), store.now(), "it is part of every store"))
    return Usage(tuple(lines))


def _line(item: Item, since: int) -> UsageLine:
    kept = item.kept or ("a running process uses it" if item.used_ns >= since else "")
    return UsageLine(item.kind, item.name, item.size, item.used_ns, kept, item.note)


def _index_size(store: Store) -> int:
    total = 0
    for name in ("index.db", "index.db-wal", "index.db-shm", "reserve"):
        try:
            total += disk_size(os.stat(store.root / name).st_size)
        except FileNotFoundError:
            continue
    return total
