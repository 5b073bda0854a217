"""Text as Go sees it: which characters are blank, and how `%q` and `%+v` print (history entries need both)."""

from __future__ import annotations

from collections.abc import Iterable

from grammar.durations import format_duration

SPACES = "\t\n\v\f\r \x85\xa0\u1680" + "".join(map(chr, range(0x2000, 0x200B))) + "\u2028\u2029\u202f\u205f\u3000"
"""unicode.IsSpace; Python's str.isspace also takes U+001C to U+001F, which BuildKit reads as text."""

_SPACE_SET = frozenset(SPACES)

_ESCAPES = {"\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v", "\\": "\\\\", '"': '\\"'}


def is_space(char: str) -> bool:
    """unicode.IsSpace of one character."""
    return char in _SPACE_SET


def trim(text: str) -> str:
    """strings.TrimSpace."""
    return text.strip(SPACES)


def trim_left(text: str) -> str:
    """strings.TrimLeftFunc(text, unicode.IsSpace)."""
    return text.lstrip(SPACES)


def quote(text: str) -> str:
    """strconv.Quote, which is what `%q` prints; a byte that is no UTF-8 (surrogateescape) comes out as \\xNN."""
    return '"' + "".join(map(_quote_char, text)) + '"'


def _quote_char(char: str) -> str:
    if char in _ESCAPES:
        return _ESCAPES[char]
    if char.isprintable():
        return char
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    if code < 0x20 or code == 0x7F:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def quote_list(texts: Iterable[str]) -> str:
    """`%q` of a []string: `["a" "b"]`."""
    return "[" + " ".join(map(quote, texts)) + "]"


def plain_list(texts: Iterable[str]) -> str:
    """`%v` of a []string: `[a b]`."""
    return "[" + " ".join(texts) + "]"


def health(
    test: Iterable[str], interval: int = 0, timeout: int = 0, start_period: int = 0, start_interval: int = 0, retries: int = 0
) -> str:
    """`%+v` of Docker's HealthConfig, as it stands in a HEALTHCHECK's history entry; durations in nanoseconds."""
    return (
        f"{{Test:{plain_list(test)} Interval:{format_duration(interval)} Timeout:{format_duration(timeout)}"
        f" StartPeriod:{format_duration(start_period)} StartInterval:{format_duration(start_interval)} Retries:{retries}}}"
    )
