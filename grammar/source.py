"""Where text stands: a Dockerfile's lines and the spans that point into them."""

import msgspec


class Span(msgspec.Struct, frozen=True, order=True):
    """A stretch of a source: 1-based line and column, the end column is exclusive."""

    line: int
    column: int
    end_line: int
    end_column: int


class Source(msgspec.Struct, frozen=True):
    """A text that was read: what it is called in messages, and its physical lines."""

    name: str
    lines: tuple[str, ...]
