"""The store of one user: blobs, image names, the index, and a private place for what is not finished.

On disk, mode 0700:

    <root>/
        index.db            names, layers, cache records, history (`schema`, `database`)
        blobs/sha256/<hex>  packed layers, configs, manifests (`blobs`)
        layers/<name>/      unpacked layers in overlay format (`builder.snapshot`)
        caches/             cache mounts (`cachemounts`)
        builds/<id>/        whole logs of a build's steps (`buildfiles`)
        manifests/          what selections of files held, for explanations (`buildfiles`)
        locks/              lock files of what must happen once (`locks`)
        work/<lease>/       what living processes work on (`leases`)
        reserve             1 MiB, given up first when the disk is full, so that prune can write (`sweep`)

A process may be killed at any point: what is named in the index or under its final name is whole; the rest
lies in work/ and goes at the next open.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from builder.errors import LayerwrightError
from builder.store.blobs import DirectoryBlobs
from builder.store.leases import Lease, sweep
from builder.store.locks import FileLock
from builder.store.removal import remove_tree
from builder.store.space import guard_space

if TYPE_CHECKING:
    from builder.store.images import ImageNames
    from builder.store.index import Index

RESERVE_BYTES = 1 << 20


class Store:
    """An open store; a context manager. Threads may share one, processes each open their own."""

    def __init__(self, root: Path, index: Index, lease: Lease, clock: Callable[[], int]) -> None:
        from builder.store.durability import boot_id
        from builder.store.images import ImageNames

        self.root = root
        self.index: Index = index
        self.lease = lease
        self.boot = boot_id()
        self._clock = clock
        ingest = lease.directory / "ingest"
        self.blobs = DirectoryBlobs(root / "blobs", ingest=ingest, clock=self.now)
        self.images: ImageNames = ImageNames(index.database, self.now)
        self._closed = False

    @classmethod
    def open(cls, root: Path, clock: Callable[[], int] = time.time_ns) -> Store:
        """Opens, making what is missing; removes what dead processes left."""
        from builder.store.durability import boot_id, distrust
        from builder.store.index import Index

        root = Path(os.path.abspath(root))
        with _usable(root), guard_space(root):
            for name in ("", "layers", "caches", "locks", "work"):
                (root / name).mkdir(0o700, parents=True, exist_ok=True)
            index = Index(root / "index.db", clock)
            try:
                sweep(root / "work", lambda name: _drop_unplaced(root, index, name))
                lease = Lease.start(root / "work", clock())
                for name in distrust(index, boot_id()):
                    remove_tree(root / "layers" / name)
                make_reserve(root)
                return cls(root, index, lease, clock)
            except BaseException:
                index.close()
                raise

    def now(self) -> int:
        """The time to mark uses with: never before this process's lease, whatever the clock does."""
        return max(self._clock(), self.lease.started_ns)

    @contextmanager
    def temporary(self, prefix: str = "") -> Iterator[Path]:
        """An empty private directory on the store's file system, removed afterwards."""
        path = self.scratch_directory(prefix)
        try:
            yield path
        finally:
            remove_tree(path)

    def scratch_directory(self, prefix: str = "") -> Path:
        """As `temporary`, but removed by the caller, or with the lease."""
        path = self.lease.directory / f"{prefix}{os.urandom(6).hex()}"
        with guard_space(self.root):
            path.mkdir(0o700)
        return path

    def lock(self, name: str) -> FileLock:
        """The lock of this name between all processes and threads; `name` must be safe in a path."""
        return FileLock(self.root / "locks" / name, transient=True)

    def settle(self) -> int:
        """Flushes what was written to disk, so that it is believed after a power loss."""
        from builder.store.durability import settle

        return settle(self.index, self.root, self.boot)

    def close(self) -> None:
        """Writes what is pending, ends the lease; idempotent."""
        if self._closed:
            return
        self._closed = True
        from builder.store.durability import settle_if_cheap

        try:
            settle_if_cheap(self.index, self.root, self.boot)
            self.index.close()
        finally:
            self.index.database.close()
            self.lease.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def _drop_unplaced(root: Path, index: Index, name: str) -> None:
    """A directory whose row was not committed when its owner died."""
    if not index.layers.has_directory(name):
        remove_tree(root / "layers" / name)


def make_reserve(root: Path) -> None:
    """Puts 1 MiB by for prune; best effort, a full disk just has none."""
    path = root / "reserve"
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError:
        return
    try:
        os.posix_fallocate(fd, 0, RESERVE_BYTES)
    except OSError:
        path.unlink(missing_ok=True)
    finally:
        os.close(fd)


def spend_reserve(root: Path) -> None:
    """Gives the reserve up; idempotent."""
    (root / "reserve").unlink(missing_ok=True)


@contextmanager
def _usable(root: Path) -> Iterator[None]:
    try:
        yield
    except (PermissionError, NotADirectoryError, FileExistsError) as error:
        raise LayerwrightError(
            "store-denied",
            f"the store {root} cannot be used: {error.strerror} ({error.filename})",
            help="use a directory of your own with --root",
        ) from error
