"""Fits a message with a piece of a Dockerfile to the width of a terminal: its source lines are cut, sentences are not."""

from __future__ import annotations

import re

_SOURCE = re.compile(r" *\d* \| ")


def fitted(text: str, width: int) -> str:
    """The message with lines like `12 | RUN …` and the marks below them cut where the terminal would wrap them."""
    return "\n".join(_cut(line, width) if len(line) > width and _SOURCE.match(line) else line for line in text.split("\n"))


def _cut(line: str, width: int) -> str:
    return line[:width] if line.endswith("^") else line[: max(1, width - 1)] + "…"
