"""Which repositories have which blobs, as far as is known: a push has a blob taken over from there instead of sending it.

It is a hint: what is no longer there is sent after all.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Protocol

from builder.oci.digest import Digest


class Places(Protocol):
    """Remembers `registry/repository` by blob; thread-safe."""

    def known(self, digest: Digest) -> tuple[str, ...]:
        """Where it was seen, the latest first; empty when nowhere."""
        ...

    def note(self, digests: Iterable[Digest], place: str) -> None:
        """They are at this place now; idempotent."""
        ...


class PlacesOfToday:
    """What this process has seen."""

    def __init__(self) -> None:
        self._known: dict[Digest, tuple[str, ...]] = {}
        self._lock = threading.Lock()

    def known(self, digest: Digest) -> tuple[str, ...]:
        with self._lock:
            return self._known.get(digest, ())

    def note(self, digests: Iterable[Digest], place: str) -> None:
        with self._lock:
            for digest in digests:
                self._known[digest] = (place, *(other for other in self._known.get(digest, ()) if other != place))
