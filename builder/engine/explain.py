"""A build of the store explained."""

from __future__ import annotations

from builder.history.archive import History
from builder.history.cause import Explanation
from builder.history.explain import explain
from builder.history.record import unpack_steps
from builder.store.store import Store


def explain_build(store: Store, name: str | None) -> Explanation:
    """The build that `name` means (see History.find), against the nearest earlier ones; raises NotFoundError."""
    history = History(store)
    record = history.find(name)
    return explain(record, unpack_steps(record), history.earlier(record), history.manifests)
