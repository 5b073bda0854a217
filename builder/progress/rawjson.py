"""The rawjson view: one event a line as JSON, for programs (docs/reference/progress.md says what each holds)."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from builder.progress.events import Event


class RawJsonView:
    """Writes each event as an object with its `type`; bytes are base64, times unix nanoseconds."""

    def __init__(self, write: Callable[[str], object]) -> None:
        self._write = write
        self._encoder = msgspec.json.Encoder()

    def on_event(self, event: Event) -> None:
        """One line."""
        self._write(self._encoder.encode(event).decode() + "\n")

    def close(self) -> None:
        """Nothing waits."""
