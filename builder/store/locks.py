"""Locks between processes and threads: flock on a file, which the kernel drops when its holder dies, kill -9 included.

Rules: a lock file may be unlinked only by whoever holds it exclusively; whoever gets a lock then checks
that the path still names the file locked, and tries again if not. Each acquire opens the file anew, so two
threads of one process exclude each other as two processes do. flock works across pid namespaces, where a
recorded pid would not.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
from types import TracebackType

from builder.errors import BuildCancelled

_POLL_SECONDS = 0.02


class FileLock:
    """One hold on a lock file; not reentrant, not shared between threads."""

    def __init__(self, path: str | os.PathLike[str], *, shared: bool = False, transient: bool = False) -> None:
        """With `transient` the file is removed on release (exclusive holds only)."""
        self._path = os.fspath(path)
        self._shared = shared
        self._transient = transient and not shared
        self._fd = -1

    def try_acquire(self) -> bool:
        """True when the lock was free and is now held."""
        return self._acquire(fcntl.LOCK_NB)

    def acquire(self, cancel: threading.Event | None = None) -> FileLock:
        """Waits for the lock, and is then held; with `cancel`, raises BuildCancelled once it is set."""
        if cancel is None:
            self._acquire(0)
            return self
        while not self.try_acquire():
            if cancel.wait(_POLL_SECONDS):
                raise BuildCancelled()
        return self

    def _acquire(self, flags: int) -> bool:
        kind = fcntl.LOCK_SH if self._shared else fcntl.LOCK_EX
        while True:
            fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                fcntl.flock(fd, kind | flags)
                # Whoever held it before may have unlinked it while this open waited.
                if self._still_named(fd):
                    self._fd, fd = fd, -1
                    return True
            except BlockingIOError:
                return False
            finally:
                if fd >= 0:
                    os.close(fd)

    def _still_named(self, fd: int) -> bool:
        try:
            named = os.stat(self._path, follow_symlinks=False)
        except FileNotFoundError:
            return False
        held = os.fstat(fd)
        return (named.st_dev, named.st_ino) == (held.st_dev, held.st_ino)

    def release(self) -> None:
        """Idempotent."""
        fd, self._fd = self._fd, -1
        if fd < 0:
            return
        if self._transient:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._path)
        os.close(fd)

    def __enter__(self) -> FileLock:
        if self._fd < 0:
            self.acquire()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.release()
