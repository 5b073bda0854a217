"""Garbage collection done: what a plan names is removed, unless it was used since; and what nobody owns.

Rules. A row goes in one transaction that checks again that the layer was not used and that nothing stands on
it; its cache records go with it. Files go after the row: a kill in between leaves files without a row, which
`tidy` finds. `place` in builder.snapshot makes a directory's name and its row in one transaction, and `tidy`
looks inside a transaction, so it never sees the one without the other. On a full disk sqlite could not write
even a deletion, so the reserve is given up first and made anew at the end.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import assert_never

import msgspec

from builder.errors import LayerwrightError
from builder.oci.digest import Digest
from builder.store import leases
from builder.store.buildfiles import MAX_LOG_BYTES, remove_logs, sweep_build_files
from builder.store.cachemounts import CacheMounts
from builder.store.collect import DAY_NS, HOUR_NS, Plan, Rule, default_rules, plan
from builder.store.due import LAST, is_due
from builder.store.inventory import horizon, take_inventory
from builder.store.items import Item
from builder.store.layertable import LayerId
from builder.store.locks import FileLock
from builder.store.removal import remove_tree
from builder.store.space import free_bytes
from builder.store.store import Store, make_reserve, spend_reserve

KEPT_BUILDS = 50
KEPT_BUILDS_NS = 48 * HOUR_NS
"""History: the newest 50 are kept, and all of the last 48 hours (reference 1.14)."""

_CACHED_NS = 60 * DAY_NS

_REMEMBERED = 2000
"""Parsed and checked Dockerfiles, some kB each; they have no time of use, so when there are more all go."""


class Swept(msgspec.Struct, frozen=True):
    """What was removed, in order."""

    removals: tuple[Item, ...]

    @property
    def size(self) -> int:
        return sum(item.size for item in self.removals)


def collect(store: Store, rules: Iterable[Rule], *, dry_run: bool = False, logs: int = MAX_LOG_BYTES) -> Swept:
    """Removes what the rules take; with `dry_run`, only says what that would be. `logs`: bytes that logs may take together."""
    if not dry_run:
        spend_reserve(store.root)
    try:
        if not dry_run:
            store.index.flush()
            tidy(store, logs=logs)
        todo = _planned(store, rules)
        return Swept(todo.removals if dry_run else tuple(item for item in todo.removals if _remove(store, item)))
    finally:
        if not dry_run:
            make_reserve(store.root)


def collect_when_due(store: Store, size: int = 0, *, interval_ns: int = HOUR_NS) -> Swept:
    """The default rules, at most once in an interval: what a build does at its end. `size`: what the store may take (see `room`)."""
    if not is_due(store, interval_ns):
        return Swept(())
    store.index.put_setting(LAST, str(store.now()).encode())
    return collect(store, default_rules(free_bytes(store.root)[1], size))


def _planned(store: Store, rules: Iterable[Rule]) -> Plan:
    items = take_inventory(store, measure=True).items
    return plan(items, rules, now_ns=store.now(), horizon_ns=horizon(store), free=free_bytes(store.root)[0])


def _remove(store: Store, item: Item) -> bool:
    match item.kind:
        case "layer":
            return _remove_layer(store, LayerId(item.name), item.used_ns)
        case "directory":
            return _drop_directory(store, LayerId(item.name), item.used_ns)
        case "blob":
            return _remove_blob(store, Digest(item.name), item.used_ns)
        case "cache-mount":
            return CacheMounts(store).remove(item.name, item.used_ns)
        case "history":
            remove_logs(store.root, item.name)
            return store.index.delete_build(item.name)
        case _ as never:
            assert_never(never)


def _remove_layer(store: Store, layer: LayerId, used_ns: int) -> bool:
    table = store.index.layers
    with store.index.database.transaction():
        record = table.get(layer)
        if record is None or not table.delete_unused(layer, used_ns):
            return False
        left = table.blob_digests()
    if record.dir is not None:
        remove_directory(store, record.dir)
    for blob in record.blobs:
        if blob.digest not in left:
            # A blob touched after its layer was is one that somebody is about to give a row again.
            store.blobs.delete_unused(blob.digest, max(used_ns, store.lease.started_ns - 1))
    return True


def _drop_directory(store: Store, layer: LayerId, used_ns: int) -> bool:
    with store.index.database.transaction():
        record = store.index.layers.get(layer)
        if record is None or not store.index.layers.drop_directory(layer, used_ns):
            return False
    if record.dir is not None:
        remove_directory(store, record.dir)
    return True


def _remove_blob(store: Store, digest: Digest, used_ns: int) -> bool:
    if not store.blobs.delete_unused(digest, used_ns):
        return False
    store.index.layers.forget_blob(digest)
    return True


def remove_directory(store: Store, name: str) -> None:
    """Removes layers/<name>, which no row speaks of any more; renamed first, so that it is never half there."""
    with store.temporary("trash-") as temporary:
        try:
            os.rename(store.root / "layers" / name, temporary / "layer")
        except FileNotFoundError:
            return


def tidy(store: Store, *, logs: int = MAX_LOG_BYTES) -> int:
    """Removes what nobody owns: leavings of dead processes, directories without a row, old small rows; how many things."""
    count = leases.sweep(store.root / "work")
    for name in _ownerless_layers(store):
        remove_directory(store, name)
        count += 1
    count += _remove_ownerless_mounts(store) + _remove_idle_locks(store.root / "locks")
    now = store.now()
    store.index.delete_builds(keep=KEPT_BUILDS, before_ns=now - KEPT_BUILDS_NS)
    count += sweep_build_files(store.root, store.index.build_times(), now, limit=logs, since_ns=horizon(store))
    store.index.delete_file_digests(now - _CACHED_NS)
    store.index.delete_remembered_beyond(_REMEMBERED)
    store.index.delete_records_unused(now - _CACHED_NS)
    return count


def forget(store: Store) -> None:
    """What is only remembered to be faster: parsed and checked Dockerfiles, digests of files; and the index gives its free pages back."""
    store.index.delete_remembered()
    with contextlib.suppress(LayerwrightError):  # a full disk, or another process that writes for long: it stays as large as it is
        store.index.database.compact()


def _ownerless_layers(store: Store) -> list[str]:
    with store.index.database.transaction():
        return sorted(set(os.listdir(store.root / "layers")) - store.index.layers.directories())


def _remove_ownerless_mounts(store: Store) -> int:
    known = {mount.name for mount in store.index.mounts()}
    caches = CacheMounts(store)
    count = 0
    for name in sorted({name.removesuffix(".lock") for name in os.listdir(store.root / "caches")} - known):
        lock = caches.lock(name)
        if lock.try_acquire():
            # Its user makes the row before the directory, holding the lock: none now means none.
            if name not in {mount.name for mount in store.index.mounts()}:
                remove_tree(store.root / "caches" / name)
                remove_tree(store.root / "caches" / f"{name}.lock")
                count += 1
            lock.release()
    return count


def _remove_idle_locks(directory: Path) -> int:
    """Lock files whose holder was killed; the lock is taken and released, which removes the file."""
    count = 0
    for name in sorted(os.listdir(directory)):
        lock = FileLock(directory / name, transient=True)
        if lock.try_acquire():
            lock.release()
            count += 1
    return count
