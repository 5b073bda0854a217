"""Shows blobs that travel: one line each as it is done, on standard error."""

from __future__ import annotations

import sys
import threading

from builder.registry.transfer import Control, Transfer

_DONE = {"pull": "pulled", "push": "pushed"}
_STATES = {"exists": "is there already", "mounted": "taken over from another repository"}


def transfer_control(quiet: bool) -> Control:
    """What to hand to the registry: it prints, or is silent."""
    if quiet:
        return Control()
    lock = threading.Lock()

    def watch(transfer: Transfer) -> None:
        if transfer.state == "running":
            return
        from builder.progress.plain import size_text

        what = _STATES.get(transfer.state) or f"{_DONE[transfer.direction]}, {size_text(transfer.total)}"
        with lock:
            print(f"{transfer.digest[:19]} {what}", file=sys.stderr, flush=True)

    return Control(watch)
