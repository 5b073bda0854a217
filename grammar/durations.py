"""Go durations (`1m30s`): text to nanoseconds and back, as time.ParseDuration and Duration.String do it."""

from __future__ import annotations

import re

_UNITS = {
    "ns": 1,
    "us": 1_000,
    "\u00b5s": 1_000,  # micro sign
    "\u03bcs": 1_000,  # Greek mu
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}

_ITEM = r"([0-9]*)(?:(\.)([0-9]*))?([^0-9.]*)"

_LIMIT = 1 << 63
"""A duration is an int64 of nanoseconds."""

_MAX_FRACTION = 18
"""Digits of a fraction that count; Go too drops those that would overflow its accumulator."""


class DurationError(ValueError):
    """The text is no Go duration."""


def parse_duration(text: str) -> int:
    """Nanoseconds of a Go duration; raises DurationError."""
    sign, rest = 1, text
    if rest[:1] in ("+", "-"):
        sign, rest = (-1 if rest[0] == "-" else 1), rest[1:]
    if rest == "0":
        return 0
    if not rest:
        raise DurationError(f"{text!r} is not a duration")
    total, position = 0, 0
    while position < len(rest):
        match = re.compile(_ITEM).match(rest, position)
        if match is None or match.end() == position or not (match[1] or match[3]):
            raise DurationError(f"{text!r} is not a duration")
        total += _item(text, match)
        position = match.end()
    if total > (_LIMIT if sign < 0 else _LIMIT - 1):
        raise DurationError(f"{text!r} is too long a duration")
    return sign * total


def _item(text: str, match: re.Match[str]) -> int:
    whole, fraction, unit = match[1], match[3] or "", match[4]
    if not unit:
        raise DurationError(f"{text!r} has a number without a unit such as s, m or h")
    if unit not in _UNITS:
        raise DurationError(f"{text!r} has the unknown unit {unit!r}")
    if len(whole.lstrip("0")) > len(str(_LIMIT)):
        raise DurationError(f"{text!r} is too long a duration")
    scale = _UNITS[unit]
    digits = fraction[:_MAX_FRACTION]
    return int(whole or "0") * scale + (int(digits) * scale // 10 ** len(digits) if digits else 0)


def format_duration(nanoseconds: int) -> str:
    """Duration.String: the largest unit that fits first, no leading zero units, `0s` for nothing."""
    if nanoseconds == 0:
        return "0s"
    sign, left = ("-", -nanoseconds) if nanoseconds < 0 else ("", nanoseconds)
    if left < 1_000_000_000:
        unit, size = ("ns", 1) if left < 1_000 else ("\u00b5s", 1_000) if left < 1_000_000 else ("ms", 1_000_000)
        return f"{sign}{_decimal(left, size)}{unit}"
    minutes, left = divmod(left, 60_000_000_000)
    hours, minutes = divmod(minutes, 60)
    seconds = f"{_decimal(left, 1_000_000_000)}s"
    if hours:
        return f"{sign}{hours}h{minutes}m{seconds}"
    return f"{sign}{minutes}m{seconds}" if minutes else f"{sign}{seconds}"


def _decimal(value: int, size: int) -> str:
    whole, rest = divmod(value, size)
    if not rest:
        return str(whole)
    width = len(str(size)) - 1
    return f"{whole}.{rest:0{width}d}".rstrip("0")
