"""Ends long work on bytes once a build was cancelled: a source and a sink that look at every piece.

A layer may be one file of many gigabytes, so that looking once a file would have Ctrl-C wait for all of it.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from builder.errors import BuildCancelled

if TYPE_CHECKING:
    from builder.fs.compress import Readable
    from builder.fs.pack import Sink
    from builder.oci.digest import Digest


class CancellableSource:
    """A stream that raises BuildCancelled once `cancel` is set."""

    def __init__(self, inner: Readable, cancel: threading.Event) -> None:
        self._inner = inner
        self._cancel = cancel

    def read(self, size: int = -1, /) -> bytes:
        """See Readable."""
        if self._cancel.is_set():
            raise BuildCancelled()
        return self._inner.read(size)


class CancellableSink:
    """A sink that raises BuildCancelled once `cancel` is set."""

    def __init__(self, inner: Sink, cancel: threading.Event) -> None:
        self._inner = inner
        self._cancel = cancel

    def write(self, data: bytes, /) -> int:
        """See Sink."""
        if self._cancel.is_set():
            raise BuildCancelled()
        return self._inner.write(data)

    def digest(self) -> Digest:
        """See Sink."""
        return self._inner.digest()
