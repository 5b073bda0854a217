"""Which flags an instruction takes, and the checking of those it was given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from grammar.diagnostics import shorten, suggest
from grammar.forms import FormError, Piece
from grammar.mounts import FlagError, MountSpec, parse_mount

__all__ = ["FLAGS", "FlagError", "Given", "Kind", "MountSpec", "check", "parse_mount"]

Kind = Literal["string", "boolean", "list"]

_TRANSFER: dict[str, Kind] = {"chown": "string", "chmod": "string", "link": "boolean", "exclude": "list"}

FLAGS: dict[str, dict[str, Kind]] = {
    "FROM": {"platform": "string"},
    "RUN": {"mount": "list", "network": "string", "security": "string", "device": "list"},
    "COPY": {**_TRANSFER, "from": "string", "parents": "boolean"},
    "ADD": {**_TRANSFER, "checksum": "string", "keep-git-dir": "boolean", "unpack": "boolean"},
    "HEALTHCHECK": {
        "interval": "string",
        "timeout": "string",
        "start-period": "string",
        "start-interval": "string",
        "retries": "string",
    },
}
"""The flags of each instruction; those not listed take none."""


class Given(msgspec.Struct, frozen=True):
    """A flag that was given and is known; `text` is the value, "true" or "false" for a boolean."""

    name: str
    text: str
    start: int
    end: int


def check(keyword: str, flags: Sequence[Piece]) -> tuple[Given, ...]:
    """The flags of one instruction, each known, complete and, unless it is a list, alone. Raises FormError."""
    known = FLAGS.get(keyword, {})
    given: list[Given] = []
    seen: set[str] = set()
    for flag in flags:
        name, equals, value = flag.text[2:].partition("=")
        kind = known.get(name)
        if kind is None:
            raise _unknown(keyword, name, flag)
        if name in seen and kind != "list":
            raise FormError("duplicate-flag", f"{keyword} has the flag --{name} twice", flag.start, flag.end)
        seen.add(name)
        text = _value(keyword, name, kind, value if equals else None, flag)
        # The place is the value's, so that a caret stands under what is wrong.
        start = min(flag.start + len(name) + 3, flag.end) if equals and value else flag.start
        given.append(Given(name, text, start, flag.end))
    return tuple(given)


def _value(keyword: str, name: str, kind: Kind, value: str | None, flag: Piece) -> str:
    if kind != "boolean":
        if value is None:
            message = f"the flag --{name} of {keyword} needs a value"
            raise FormError("missing-flag-value", message, flag.start, flag.end, f"write --{name}=…")
        return value
    if value is None:
        return "true"
    if value == "":
        raise FormError("missing-flag-value", f"the flag --{name}= has no value", flag.start, flag.end, f"write --{name} alone")
    if value.lower() not in ("true", "false"):
        raise FormError("bad-flag-value", f"the flag --{name} is true or false, not {shorten(value)!r}", flag.start, flag.end)
    return value.lower()


def _unknown(keyword: str, name: str, flag: Piece) -> FormError:
    known = FLAGS.get(keyword, {})
    near = suggest(name, known)
    elsewhere = [other for other, names in FLAGS.items() if name in names]
    if near is not None:
        help = f"did you mean --{near}?"
    elif elsewhere:
        help = f"--{name} is a flag of {' and '.join(elsewhere)}"
    else:
        help = f"{keyword} takes {', '.join('--' + one for one in known)}" if known else f"{keyword} takes no flags"
    return FormError("unknown-flag", f"{keyword} has no flag --{shorten(name)}", flag.start, flag.end, help)
