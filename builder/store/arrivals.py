"""Blobs that are still being written, readable from their start meanwhile: an unpacking follows its download.

What is read here is not verified yet. Who follows an arrival keeps what is made of it to itself until the writer
has committed the blob, which checks the digest.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable

from builder.errors import LayerwrightError
from builder.oci.digest import Digest


class ArrivalBroken(LayerwrightError):
    """The writer gave up: the bytes so far are worth nothing, and another writer may begin anew."""

    def __init__(self, digest: Digest) -> None:
        super().__init__("blob-interrupted", f"the transfer of blob {digest} broke off")


class Arrival:
    """One blob being written. `grew` and `end` are its writer's; readers have a descriptor of their own."""

    def __init__(self, digest: Digest, fd: int, changed: threading.Condition) -> None:
        self.digest = digest
        self.fd = fd
        self._changed = changed
        self.size = 0
        self.whole: bool | None = None
        """None while it comes; False when the writer gave up."""

    def grew(self, count: int) -> None:
        """That many bytes more can be read."""
        with self._changed:
            self.size += count
            self._changed.notify_all()


class ArrivingReader:
    """Reads an arrival from the start to its end, waiting for what is not there yet; a context manager."""

    def __init__(self, arrival: Arrival, fd: int, changed: threading.Condition) -> None:
        self._arrival = arrival
        self._fd = fd
        self._changed = changed
        self._at = 0

    @property
    def whole(self) -> bool:
        """Whether the blob was committed, so that what was read is what its digest says."""
        return self._arrival.whole is True

    def read(self, size: int = -1, /) -> bytes:
        """At most `size` bytes; empty at the end. Raises ArrivalBroken."""
        arrival = self._arrival
        with self._changed:
            while self._at == arrival.size and arrival.whole is None:
                self._changed.wait()
            if arrival.whole is False:
                raise ArrivalBroken(arrival.digest)
            left = arrival.size - self._at
        data = os.pread(self._fd, left if size < 0 else min(size, left), self._at)
        self._at += len(data)
        return data

    def drain(self) -> None:
        """Waits until the blob is whole."""
        while self.read(1 << 20):
            pass

    def __enter__(self) -> ArrivingReader:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)


class Arrivals:
    """What one process is writing, by digest; thread-safe."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._coming: dict[Digest, Arrival] = {}

    def begin(self, digest: Digest, fd: int) -> Arrival:
        """A writer has begun; `fd`, readable, stays open until `end`."""
        arrival = Arrival(digest, fd, self._changed)
        with self._changed:
            self._coming[digest] = arrival
            self._changed.notify_all()
        return arrival

    def end(self, arrival: Arrival, *, whole: bool) -> None:
        """The writer is done; idempotent, the first word counts."""
        with self._changed:
            if arrival.whole is None:
                arrival.whole = whole
            if self._coming.get(arrival.digest) is arrival:
                del self._coming[arrival.digest]
            self._changed.notify_all()

    def wake(self) -> None:
        """Has all who wait in `follow` ask their `given_up` again."""
        with self._changed:
            self._changed.notify_all()

    def follow(self, digests: Iterable[Digest], given_up: Callable[[], bool]) -> ArrivingReader | None:
        """Waits for a writer of one of these; None once `given_up` says that there will be none (see `wake`)."""
        wanted = tuple(digests)
        with self._changed:
            while True:
                for digest in wanted:
                    arrival = self._coming.get(digest)
                    if arrival is not None:
                        return ArrivingReader(arrival, os.dup(arrival.fd), self._changed)
                if given_up():
                    return None
                self._changed.wait()
