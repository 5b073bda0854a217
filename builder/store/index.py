"""The index: everything the store knows that is not a blob or a directory; see `schema` for the tables.

Lookups cost one query. That a record was used is remembered in memory and written with the next change or at
close: losing it with a killed process costs nothing but a worse guess of what is least recently used.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import msgspec

from builder.store.database import Database, signed
from builder.store.layertable import LayerId, LayerTable

_BATCH = 400
"""Rows asked for in one query; well under SQLITE_MAX_VARIABLE_NUMBER of old versions (999) at two variables a row."""

_REMEMBERED = ("key GLOB 'parsed/*' OR key GLOB 'checked/*' OR key GLOB 'walk/*'", "key GLOB 'at/*'")


class FileDigest(msgspec.Struct, frozen=True):
    """One row of the stat cache: what a file looked like when it had this digest."""

    device: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int
    digest: str


class StoredBuild(msgspec.Struct, frozen=True):
    """One build of the history; `data` is whatever the engine put there."""

    id: str
    started_ns: int
    data: bytes


class StoredRecord(msgspec.Struct, frozen=True):
    """One cache record, as garbage collection and listings see it."""

    key: str
    layer_id: LayerId | None
    size: int
    created_ns: int
    used_ns: int


class StoredMount(msgspec.Struct, frozen=True):
    """One instance of a cache mount: `name` below caches/, the `id` and `seed` it was asked for by."""

    name: str
    id: str
    seed: str
    size: int
    measured_ns: int
    created_ns: int
    used_ns: int


class Index:
    """The sqlite index, open; several processes and threads at once."""

    def __init__(self, path: Path, clock: Callable[[], int] = time.time_ns) -> None:
        self.database = Database(path)
        self.layers = LayerTable(self.database)
        self._clock = clock
        self._used: set[str] = set()
        self._used_lock = threading.Lock()

    def close(self) -> None:
        """Writes the remembered uses and closes; idempotent."""
        try:
            self.flush()
        finally:
            self.database.close()

    # Cache records

    def get_record(self, key: str) -> bytes | None:
        """What `put_record` stored under the key; None when absent or its layer was collected."""
        row = self.database.row("SELECT data FROM records WHERE key = ?", (key,))
        if row is None:
            return None
        with self._used_lock:
            self._used.add(key)
        data: bytes = row[0]
        return data

    def put_record(self, key: str, data: bytes, layer_id: LayerId | None = None) -> bool:
        """Stores or replaces; False and nothing stored when the layer is not there any more."""
        now = self._clock()
        try:
            self.database.execute(
                "INSERT INTO records VALUES (?, ?, ?, ?, ?) ON CONFLICT(key) DO UPDATE SET"
                " data = excluded.data, layer_id = excluded.layer_id, created_ns = excluded.created_ns, used_ns = excluded.used_ns",
                (key, data, layer_id, now, now),
            )
        except sqlite3.IntegrityError:
            return False
        return True

    def delete_record(self, key: str) -> None:
        """Idempotent."""
        self.database.execute("DELETE FROM records WHERE key = ?", (key,))

    def records(self) -> list[StoredRecord]:
        """All of them, without their data."""
        rows = self.database.rows("SELECT key, layer_id, length(data), created_ns, used_ns FROM records ORDER BY key")
        return [StoredRecord(*row) for row in rows]

    def delete_records_unused(self, before_ns: int) -> int:
        """Deletes the records without a layer that were not used since; the others go with their layers."""
        return self.database.execute("DELETE FROM records WHERE layer_id IS NULL AND used_ns < ?", (before_ns,))

    def flush(self) -> None:
        """Writes which records were used."""
        with self._used_lock:
            used, self._used = sorted(self._used), set()
        if used:
            now = self._clock()
            self.database.executemany("UPDATE records SET used_ns = ? WHERE key = ?", [(now, key) for key in used])

    # The stat cache

    def get_file_digests(self, keys: Iterable[tuple[int, int]]) -> dict[tuple[int, int], FileDigest]:
        """The rows for these (device, inode); the caller compares size and times."""
        inodes: dict[int, list[int]] = {}
        for device, inode in keys:
            inodes.setdefault(device, []).append(inode)
        found: dict[tuple[int, int], FileDigest] = {}
        # One device a query: `(device, inode) IN (VALUES …)` does not use the primary key and scans the table for each batch
        # (100,000 files under a profiler: 20.2 s that way, 2.3 s this way).
        query = "SELECT inode, size, mtime_ns, ctime_ns, digest FROM file_digests WHERE device = ? AND inode IN "
        for device, wanted in inodes.items():
            wanted.sort()
            for start in range(0, len(wanted), _BATCH):
                batch = [signed(inode) for inode in wanted[start : start + _BATCH]]
                marks = ", ".join("?" * len(batch))
                for number, *rest in self.database.rows(f"{query}({marks})", [signed(device), *batch]):
                    inode = number % (1 << 64)
                    found[device, inode] = FileDigest(device, inode, *rest)
        return found

    def put_file_digests(self, rows: Sequence[FileDigest]) -> None:
        """Stores or replaces, in one transaction."""
        now = self._clock()
        self.database.executemany(
            "INSERT OR REPLACE INTO file_digests VALUES (?, ?, ?, ?, ?, ?, ?)",
            [(signed(row.device), signed(row.inode), row.size, row.mtime_ns, row.ctime_ns, row.digest, now) for row in rows],
        )

    def delete_file_digests(self, before_ns: int) -> int:
        """Deletes what was written before; it is only a cache."""
        return self.database.execute("DELETE FROM file_digests WHERE written_ns < ?", (before_ns,))

    # History

    def put_build(self, build: StoredBuild) -> None:
        """Stores or replaces."""
        self.database.execute("INSERT OR REPLACE INTO builds VALUES (?, ?, ?)", (build.id, build.started_ns, build.data))

    def get_build(self, build_id: str) -> StoredBuild | None:
        """None when absent."""
        row = self.database.row("SELECT id, started_ns, data FROM builds WHERE id = ?", (build_id,))
        return None if row is None else StoredBuild(*row)

    def builds(self, limit: int = 50) -> list[StoredBuild]:
        """The newest, newest first."""
        return [
            StoredBuild(*row)
            for row in self.database.rows("SELECT id, started_ns, data FROM builds ORDER BY started_ns DESC, id LIMIT ?", (limit,))
        ]

    def build_times(self) -> dict[str, int]:
        """When each build began, by id."""
        return dict(self.database.rows("SELECT id, started_ns FROM builds"))

    def delete_builds(self, *, keep: int, before_ns: int) -> int:
        """Deletes those before the time that are not among the newest `keep`."""
        return self.database.execute(
            "DELETE FROM builds WHERE started_ns < ? AND id NOT IN (SELECT id FROM builds ORDER BY started_ns DESC, id LIMIT ?)",
            (before_ns, keep),
        )

    def delete_build(self, build_id: str) -> bool:
        """Whether it was there."""
        return bool(self.database.execute("DELETE FROM builds WHERE id = ?", (build_id,)))

    # Small values

    def get_setting(self, key: str) -> bytes | None:
        """None when absent."""
        row = self.database.row("SELECT value FROM settings WHERE key = ?", (key,))
        return None if row is None else bytes(row[0])

    def put_setting(self, key: str, value: bytes) -> None:
        """Stores or replaces."""
        self.database.execute("INSERT OR REPLACE INTO settings VALUES (?, ?)", (key, value))

    def settle_setting(self, key: str, value: bytes) -> bytes:
        """Stores the value unless there is one already; the one that is there now."""
        self.database.execute("INSERT INTO settings VALUES (?, ?) ON CONFLICT DO NOTHING", (key, value))
        return self.get_setting(key) or value

    def delete_remembered_beyond(self, most: int) -> None:
        """Deletes parsed and checked Dockerfiles, or where blobs were pushed to, when there are more."""
        for kind in _REMEMBERED:
            count = self.database.row(f"SELECT count(*) FROM settings WHERE {kind}")
            if count is not None and count[0] > most:
                self.database.execute(f"DELETE FROM settings WHERE {kind}")

    def delete_remembered(self) -> None:
        """Deletes what only makes things faster: parsed and checked Dockerfiles, where blobs were pushed to, and the stat cache."""
        self.delete_remembered_beyond(0)
        self.database.execute("DELETE FROM file_digests")

    # Cache mounts

    def put_mount(self, name: str, mount_id: str, seed: str, now_ns: int) -> None:
        """Adds the instance, or marks it as used."""
        self.database.execute(
            "INSERT INTO cache_mounts VALUES (?, ?, ?, 0, 0, ?, ?)"
            " ON CONFLICT(name) DO UPDATE SET used_ns = max(used_ns, excluded.used_ns)",
            (name, mount_id, seed, now_ns, now_ns),
        )

    def mounts(self) -> list[StoredMount]:
        """All instances, by name."""
        rows = self.database.rows("SELECT name, id, seed, size, measured_ns, created_ns, used_ns FROM cache_mounts ORDER BY name")
        return [StoredMount(*row) for row in rows]

    def measure_mount(self, name: str, size: int, now_ns: int) -> None:
        """Records how large it is."""
        self.database.execute("UPDATE cache_mounts SET size = ?, measured_ns = ? WHERE name = ?", (size, now_ns, name))

    def delete_mount(self, name: str, used_ns: int) -> bool:
        """Deletes the row of an instance not used since; False when it was."""
        return bool(self.database.execute("DELETE FROM cache_mounts WHERE name = ? AND used_ns <= ?", (name, used_ns)))
