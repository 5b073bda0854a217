"""A build of the store as a page."""

from __future__ import annotations

from builder.history.archive import History
from builder.history.explain import explain
from builder.history.record import unpack_steps
from builder.report.gather import gather
from builder.report.page import render
from builder.store.store import Store


def report_build(store: Store, name: str | None) -> bytes:
    """The page of the build that `name` means (see History.find); raises NotFoundError."""
    history = History(store)
    record = history.find(name)
    told = explain(record, unpack_steps(record), history.earlier(record), history.manifests)
    return render(gather(store, record, told))
