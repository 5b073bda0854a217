"""What the store takes of the disk, thing by thing and in all (`layerwright du`)."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import msgspec

from builder.store.conditions import Condition, Seen, meets
from builder.store.inventory import Inventory, directory_size, horizon, take_inventory
from builder.store.items import Group, Item
from builder.store.store import Store

Kind = Group | Literal["temporary", "index", "other"]


_AGES = "it goes when it is old, or with prune --all"


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


def usage(store: Store, conditions: tuple[Condition, ...] = ()) -> Usage:
    """Everything below the store's root, cache mounts measured anew; with conditions, only the items that meet them."""
    since = horizon(store)
    inventory = take_inventory(store, measure=True)
    under = {parent for item in inventory.items for parent in item.parents}
    lines = [
        _line(item, since)
        for item in inventory.items
        if (item.size or item.kind not in ("layer", "directory", "history"))
        and all(meets(item, condition, Seen(item.used_ns >= since, item.name in under)) for condition in conditions)
    ]
    lines.sort(key=lambda line: (line.kind, -line.size, line.name))
    return Usage((*lines, *(() if conditions else rest(store, inventory))))


def rest(store: Store, inventory: Inventory) -> tuple[UsageLine, ...]:
    """What no item stands for, so that all sizes add up to what `du -s` says."""
    now, root = store.now(), store.root
    own = frozenset({"index.db", "index.db-wal", "index.db-shm", "index.lock", "reserve"})
    known = frozenset({"blobs", "layers", "caches", "builds", "manifests", "work", "locks"})
    builds = sum(item.size for item in inventory.items if item.kind == "history")
    history = max(0, _sizes(root, ("builds",)) - builds) + _sizes(root, ("manifests",))
    temporary = _sizes(root, ("work", "locks"))
    other = _sizes(root, sorted(set(os.listdir(root)) - known - own))
    frame = _frame(root)
    lines = (
        UsageLine("history", "manifests", history, now, "goes with the records of builds", "what steps took of their contexts"),
        UsageLine("temporary", "work", temporary, now, "goes by itself"),
        UsageLine("other", "other", other, now, "it is not of the store's making, or the sandbox's"),
        UsageLine("index", "index.db", frame + _sizes(root, sorted(own)), now, "it is part of every store"),
    )
    return tuple(line for line in lines if line.size)


def total_size(store: Store, inventory: Inventory) -> int:
    """What the store takes of the disk."""
    return inventory.size + sum(line.size for line in rest(store, inventory))


def _line(item: Item, since: int) -> UsageLine:
    kept = item.kept or ("a running process uses it" if item.used_ns >= since else _AGES if item.kind == "history" else "")
    return UsageLine(item.group, item.name, item.size, item.used_ns, kept, item.note)


def _sizes(root: Path, names: Iterable[str]) -> int:
    total = 0
    for name in names:
        try:
            info = os.lstat(root / name)
        except FileNotFoundError:
            continue
        total += directory_size(root / name) if stat.S_ISDIR(info.st_mode) else info.st_blocks * 512
    return total


def _frame(root: Path) -> int:
    """The directories that hold the items, and the lock files of cache mounts."""
    total = 0
    for name in ("", "blobs", "blobs/sha256", "layers", "caches"):
        try:
            total += os.lstat(root / name).st_blocks * 512
        except FileNotFoundError:
            continue
    return total
