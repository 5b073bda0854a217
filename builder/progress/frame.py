"""The lines at the bottom of a terminal that are drawn again and again, and what scrolls away above them.

Rules. A frame is written in one piece, its cursor left at the end of its last line. Before the next one, or before
a line for good, it is taken back: up as many rows as it has now, and cleared to the end of the screen. A terminal
that became narrower has wrapped its lines since (xterm alone cuts them), so rows are counted for the width it has now.
The cursor is hidden as long as a frame stands.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TextIO

_HIDE, _SHOW = "\x1b[?25l", "\x1b[?25h"
_CLEAR_BELOW = "\x1b[0J"


class Frame:
    """The frame on one terminal; used by one thread at a time."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._widths: list[int] = []

    def draw(self, lines: Sequence[tuple[str, int]], width: int, above: str = "") -> None:
        """Replaces the frame; each line comes with the cells it takes. `above` scrolls away for good, and ends with a newline."""
        text = self._back(width) + above
        if lines:
            text += _HIDE + "\n".join(line for line, _ in lines)
        elif self._widths:
            text += _SHOW
        self._widths = [cells for _, cells in lines]
        if text:
            self._out.write(text)
            self._out.flush()

    def _back(self, width: int) -> str:
        if not self._widths:
            return ""
        rows = sum(max(1, -(-cells // max(1, width))) for cells in self._widths)
        up = f"\x1b[{rows - 1}A" if rows > 1 else ""
        return f"\r{up}{_CLEAR_BELOW}"
