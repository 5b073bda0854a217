"""Removes directories that are of no more use while the build goes on.

Measured on 30 trivial steps with other programs writing to the disk: removing a step's three empty directories took
0.4 ms of processor time and 13 ms of waiting for the journal of ext4, all of it before the next step could start.
"""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from builder.store.removal import remove_tree

if TYPE_CHECKING:
    from queue import SimpleQueue


class Discarder:
    """One thread, started with the first directory; what it leaves behind goes with the store's lease."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[Path | None] | None = None
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def discard(self, path: Path) -> None:
        """Nobody looks into the directory any more; never raises."""
        with self._lock:
            if self._queue is None:
                from queue import SimpleQueue

                self._queue = SimpleQueue()
                self._thread = threading.Thread(target=_work, args=(self._queue,), name="discard", daemon=True)
                self._thread.start()
            self._queue.put(path)

    def close(self) -> None:
        """Waits for what was discarded; idempotent."""
        with self._lock:
            queue, thread = self._queue, self._thread
            self._queue = self._thread = None
        if queue is not None and thread is not None:
            queue.put(None)
            thread.join()


def _work(queue: SimpleQueue[Path | None]) -> None:
    while (path := queue.get()) is not None:
        with contextlib.suppress(OSError):
            remove_tree(path)
