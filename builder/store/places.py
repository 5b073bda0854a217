"""Where blobs were pushed to, in the index: rows `at/<digest>` of its small values, the latest place first, one a line."""

from __future__ import annotations

from collections.abc import Iterable

from builder.oci.digest import Digest
from builder.store.index import Index

KEPT = 4
"""Places remembered for a blob."""


class StoredPlaces:
    """See builder.registry.places.Places. Two processes that note at once: the later one's list stays, for it is only a hint."""

    def __init__(self, index: Index) -> None:
        self._index = index

    def known(self, digest: Digest) -> tuple[str, ...]:
        return tuple((self._index.get_setting(f"at/{digest}") or b"").decode().split("\n")[:-1])

    def note(self, digests: Iterable[Digest], place: str) -> None:
        with self._index.database.transaction():
            for digest in digests:
                known = self.known(digest)
                if known[:1] != (place,):
                    kept = (place, *(other for other in known if other != place))[:KEPT]
                    self._index.put_setting(f"at/{digest}", "".join(f"{name}\n" for name in kept).encode())
