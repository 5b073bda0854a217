"""Cache mounts: directories that outlive builds, found again by id, shared as RUN --mount=type=cache says.

On disk:

    <root>/caches/<32 hex>.<n>        the directory that is mounted
    <root>/caches/<32 hex>.<n>.lock   held shared or exclusively while it is mounted

The hex digits are of the id and of what seeded it, so no id, however written, is ever a path (CVE-2024-9675).
`shared`: any number of users in one directory; `locked`: one after another in directory 0; `private`: each its
own, the first that is free. A new directory is filled aside and renamed, so it is whole or not there. Garbage
collection takes a directory only while it holds its lock exclusively.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Literal

from builder.store.database import shown
from builder.store.locks import FileLock
from builder.store.removal import remove_tree
from builder.store.space import guard_space
from builder.store.store import Store

Sharing = Literal["shared", "private", "locked"]
Fill = Callable[[str], None]
"""Puts the first content into a new directory."""

_SHOWN = 200
"""Characters of an id that listings show."""


class CacheLease:
    """A cache mount in use; a context manager. `fresh`: it was made just now."""

    def __init__(self, path: Path, fresh: bool, lock: FileLock, used: Callable[[], None]) -> None:
        self.path = path
        self.fresh = fresh
        self._lock = lock
        self._used = used

    def close(self) -> None:
        """Ends the use; idempotent."""
        try:
            self._used()
        finally:
            self._lock.release()

    def __enter__(self) -> CacheLease:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


class CacheMounts:
    """The cache mounts of a store; thread-safe."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def open(
        self,
        mount_id: str,
        sharing: Sharing,
        *,
        seed: str = "",
        mode: int = 0o755,
        uid: int = 0,
        gid: int = 0,
        fill: Fill | None = None,
        cancel: threading.Event | None = None,
    ) -> CacheLease:
        """A directory for this id; `seed` names what a new one is filled from, and is part of its identity.

        `locked` waits for its turn; BuildCancelled when `cancel` is set meanwhile. Mode and owner are of a new directory.
        """
        lock, name = self._take(directory_name(mount_id, seed), sharing, cancel)

        def used() -> None:
            self._store.index.put_mount(name, shown(mount_id[:_SHOWN]), shown(seed[:_SHOWN]), self._store.now())

        try:
            used()
            path = self._store.root / "caches" / name
            return CacheLease(path, self._ensure(path, (mode, uid, gid), fill), lock, used)
        except BaseException:
            lock.release()
            raise

    def _take(self, base: str, sharing: Sharing, cancel: threading.Event | None) -> tuple[FileLock, str]:
        for number in itertools.count():
            name = f"{base}.{number}"
            lock = self.lock(name, shared=sharing == "shared")
            if sharing == "locked":
                lock.acquire(cancel)
                return lock, name
            if lock.try_acquire():
                return lock, name
        raise AssertionError("unreachable")

    def lock(self, name: str, *, shared: bool = False) -> FileLock:
        """The lock of one directory."""
        return FileLock(self._store.root / "caches" / f"{name}.lock", shared=shared)

    def _ensure(self, path: Path, owner: tuple[int, int, int], fill: Fill | None) -> bool:
        if path.is_dir():
            return False
        # Several may hold the directory's lock shared: only one of them makes it.
        with self._store.lock(f"cache-{path.name}"):
            if path.is_dir():
                return False
            with self._store.temporary("cache-") as temporary, guard_space(self._store.root):
                made = temporary / "data"
                made.mkdir(0o700)
                if fill is not None:
                    fill(str(made))
                mode, uid, gid = owner
                os.chown(made, uid, gid)
                os.chmod(made, mode)
                os.rename(made, path)
        return True

    def remove(self, name: str, used_ns: int) -> bool:
        """Removes a directory that is not mounted and was not used since `used_ns`; False when it is or was."""
        lock = self.lock(name)
        if not lock.try_acquire():
            return False
        try:
            if not self._store.index.delete_mount(name, used_ns):
                return False
            with self._store.temporary("cache-") as temporary:
                path = self._store.root / "caches" / name
                if path.is_dir():
                    # Renamed first: a kill in the midst of removing leaves no half-empty cache.
                    os.rename(path, temporary / "data")
            remove_tree(self._store.root / "caches" / f"{name}.lock")
            return True
        finally:
            lock.release()


def directory_name(mount_id: str, seed: str = "") -> str:
    """The name that an id and a seed have below caches/, without the instance number."""
    encoded = [part.encode("utf-8", "surrogateescape") for part in (mount_id, seed)]
    framed = b"".join(b"%d:%s" % (len(part), part) for part in encoded)
    return hashlib.sha256(framed).hexdigest()[:32]
