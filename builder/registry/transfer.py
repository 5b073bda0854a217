"""What is told while blobs travel: who listens, and how a transfer is called off."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Literal

import msgspec

from builder.errors import BuildCancelled
from builder.oci.digest import Digest


class Transfer(msgspec.Struct, frozen=True):
    """How far one blob is: `done` of `total` bytes; `state` `exists` and `mounted` moved no bytes."""

    direction: Literal["pull", "push"]
    digest: Digest
    done: int
    total: int
    state: Literal["running", "done", "exists", "mounted"] = "running"


Watch = Callable[[Transfer], object]


class Control(msgspec.Struct, frozen=True):
    """Handed to every transfer: `watch` hears of progress, `cancel` set ends it within one chunk."""

    watch: Watch = lambda _: None
    cancel: threading.Event = msgspec.field(default_factory=threading.Event)

    def check(self) -> None:
        """Raise BuildCancelled once cancelled."""
        if self.cancel.is_set():
            raise BuildCancelled()
