"""Helper threads that take things in order, with a bounded queue."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

DEPTH = 6
"""Things that wait at the most; with chunks of 1 MiB two lanes hold under 16 MiB."""

T = TypeVar("T")


class Lane(Generic[T]):
    """Calls `work` for each thing, in order, in a thread of its own, which starts with the second one.

    hashlib, isal and zstandard release the GIL while they work, so lanes run beside the reader.
    """

    def __init__(self, work: Callable[[T], object], depth: int = DEPTH) -> None:
        self._work = work
        self._queue: queue.Queue[T | None] = queue.Queue(depth)
        self._thread: threading.Thread | None = None
        self._first: T | None = None
        self._error: BaseException | None = None
        self._begun = False

    def put(self, thing: T) -> None:
        """Queues a thing; waits while the queue is full. Raises what `work` raised for an earlier one."""
        if self._error is not None:
            raise self._error
        if not self._begun:
            self._begun = True
            self._first = thing
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="layerwright-lane", daemon=True)
            self._thread.start()
            if self._first is not None:
                self._queue.put(self._first)
                self._first = None
        self._queue.put(thing)

    def close(self) -> None:
        """Waits until all is done, and raises what `work` raised."""
        if self._first is not None:
            first, self._first = self._first, None
            self._work(first)
        self.stop()
        if self._error is not None:
            raise self._error

    def stop(self) -> None:
        """Ends the thread once its queue is empty; raises nothing."""
        self._first = None
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join()
            self._thread = None

    def _run(self) -> None:
        while (thing := self._queue.get()) is not None:
            if self._error is None:
                try:
                    self._work(thing)
                except BaseException as error:  # raised again by put() or close() in the caller's thread
                    self._error = error
            del thing  # not to be held while the next is waited for
