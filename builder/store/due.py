"""Whether garbage collection is due: asked by every build, so without what collecting needs."""

from __future__ import annotations

from builder.store.store import Store

INTERVAL_NS = 3600 * 10**9

LAST = "collected-ns"
"""The setting that says when it was last done."""


def is_due(store: Store, interval_ns: int = INTERVAL_NS) -> bool:
    """Whether the last collection is longer ago than the interval; also where the clock went back."""
    last = store.index.get_setting(LAST)
    return last is None or not 0 <= store.now() - int(last) < interval_ns
