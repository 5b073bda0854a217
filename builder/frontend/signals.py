"""Signal names that STOPSIGNAL takes: with or without SIG, or a number (moby/sys/signal)."""

from __future__ import annotations

import re
import signal

_NAMES = frozenset(item.name.removeprefix("SIG") for item in signal.Signals) | frozenset(
    {"RTMIN", "RTMAX", "IOT", "CLD", "STKFLT", "POLL", "UNUSED"}
    | {f"RTMIN+{n}" for n in range(1, 16)}
    | {f"RTMAX-{n}" for n in range(1, 15)}
)


def is_signal(text: str) -> bool:
    """Whether the text names a signal of Linux."""
    if re.fullmatch(r"[+-]?[0-9]{1,18}", text):
        return int(text) != 0  # BuildKit's ParseSignal leaves the range to the engine
    return text.upper().removeprefix("SIG") in _NAMES
