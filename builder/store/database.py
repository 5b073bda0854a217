"""One connection to the index file: opening, migrating, transactions, and errors in our words.

    <root>/index.db, index.db-wal, index.db-shm      sqlite in WAL mode

Rules. Several processes read and write at once; sqlite's own locks keep them apart, and a writer waits up to
BUSY_SECONDS for another. Threads share the connection under one lock. Every change is one `BEGIN IMMEDIATE`
transaction, so a killed process leaves all of it or nothing. With synchronous=NORMAL a commit costs no fsync:
a crash of the process loses nothing, a power loss loses the last commits but never the file's consistency
(sqlite.org/wal.html, "Performance Considerations"); builder.store.durability handles what the rows speak of.
Setting up and migrating happen under a flock, since two first openers could both see an empty file.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from builder.errors import CorruptionError, LayerwrightError
from builder.store.locks import FileLock
from builder.store.schema import MIGRATIONS, VERSION
from builder.store.space import disk_full, free_bytes

BUSY_SECONDS = 60.0

Value = str | bytes | int | float | None
Row = tuple[Any, ...]


class Database:
    """The connection; safe to use from several threads."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.RLock()
        self._inside = False
        self.closed = False
        """Whether `close` was called: what outlives a store asks before it reads."""
        with self._translated():
            self._connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
            try:
                self._prepare()
            except BaseException:
                self._connection.close()
                raise

    def _prepare(self) -> None:
        run = self._connection.execute
        run("PRAGMA synchronous = NORMAL")
        run("PRAGMA foreign_keys = ON")
        version = run("PRAGMA user_version").fetchone()[0]
        if version != VERSION:
            with FileLock(self._path.with_name("index.lock")):
                run("PRAGMA journal_mode = WAL")
                self._migrate()

    def _migrate(self) -> None:
        run = self._connection.execute
        run("BEGIN IMMEDIATE")
        try:
            version = run("PRAGMA user_version").fetchone()[0]
            if version > VERSION:
                raise LayerwrightError(
                    "store-newer",
                    f"the store's index {self._path} has format {version}, newer than the {VERSION} this version can read",
                    help="use the newer layerwright, or another directory with --root",
                )
            for script in MIGRATIONS[version:]:
                for statement in script.split(";\n"):
                    run(statement)
            run(f"PRAGMA user_version = {VERSION}")
        except BaseException:
            self._connection.rollback()
            raise
        run("COMMIT")

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All statements inside, or none; nests into the outer one."""
        with self._lock, self._translated():
            if self._inside:
                yield
                return
            self._connection.execute("BEGIN IMMEDIATE")
            self._inside = True
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.rollback()
                raise
            finally:
                self._inside = False

    def execute(self, statement: str, values: Sequence[Value] = ()) -> int:
        """One statement, its own transaction outside of one; how many rows it changed."""
        with self._lock, self._translated():
            return self._connection.execute(statement, values).rowcount

    def executemany(self, statement: str, rows: Sequence[Sequence[Value]]) -> None:
        """One statement for each row, in one transaction."""
        with self.transaction():
            self._connection.executemany(statement, rows)

    def rows(self, query: str, values: Sequence[Value] = ()) -> list[Row]:
        """All rows of a query."""
        with self._lock, self._translated():
            return self._connection.execute(query, values).fetchall()

    def row(self, query: str, values: Sequence[Value] = ()) -> Row | None:
        """The first row of a query."""
        with self._lock, self._translated():
            found = self._connection.execute(query, values).fetchone()
        return None if found is None else tuple(found)

    def problems(self) -> list[str]:
        """What sqlite's own check finds wrong; empty when sound."""
        return [str(row[0]) for row in self.rows("PRAGMA quick_check(20)") if row[0] != "ok"]

    def compact(self) -> None:
        """Gives the file's free pages back to the disk; needs the file's size of free space, and nobody else who writes."""
        with self._lock, self._translated():
            self._connection.execute("VACUUM")
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def close(self) -> None:
        """Idempotent."""
        with self._lock:
            self.closed = True
            self._connection.close()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.IntegrityError:
            raise
        except sqlite3.DatabaseError as error:
            raise self._error(error) from error

    def _error(self, error: sqlite3.DatabaseError) -> Exception:
        # The primary result code is the low byte (sqlite.org/rescode.html).
        primary = getattr(error, "sqlite_errorcode", 0) & 0xFF
        match primary:
            case sqlite3.SQLITE_FULL:
                return disk_full(self._path.parent)
            case sqlite3.SQLITE_IOERR | sqlite3.SQLITE_CANTOPEN if self._exhausted():
                return disk_full(self._path.parent)
            case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
                return CorruptionError(
                    "index-corrupt", f"the store's index {self._path} is damaged: {error}", help="run `layerwright fsck --repair`"
                )
            case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
                return LayerwrightError(
                    "store-busy",
                    f"another process kept the store's index {self._path} locked for {BUSY_SECONDS:.0f} s",
                    help="try again when it is done",
                )
            case sqlite3.SQLITE_IOERR | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_READONLY:
                return LayerwrightError(
                    "store-io",
                    f"the store's index {self._path} cannot be read or written: {error}",
                    help="check the disk and its permissions",
                )
        return error

    def _exhausted(self) -> bool:
        # WAL's shared memory and temporary files report a full disk as an I/O error.
        try:
            return free_bytes(self._path.parent)[0] < 1 << 20
        except OSError:
            return False


def signed(number: int) -> int:
    """A 64-bit device or inode number as sqlite can hold it."""
    number &= (1 << 64) - 1
    return number - (1 << 64) if number >> 63 else number


def shown(text: str) -> str:
    """Text for people as sqlite can hold it: bytes that are no UTF-8 become escapes."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def set_aside(path: Path) -> Path:
    """Moves a damaged index out of the way, for a new one to be made; where to."""
    target = path.with_name(path.name + ".damaged")
    os.replace(path, target)
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    return target
