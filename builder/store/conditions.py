"""What `prune --filter` and `du --filter` look at: conditions on items, written as `docker buildx prune` takes them.

    id=9f2          a part of the name, as a regular expression
    description=…   the note as a whole (`RUN make`, a cache mount's id, an image's name)
    type=cache-mount   image, base, step, merged, blob, cache-mount, history; or BuildKit's name for it
    parents=…       the name of something it stands on
    inuse, shared, private, mutable, immutable      bare, or with =true or =false

`key!=value` is the opposite and `key~=value` a regular expression (containerd's filter syntax).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal, get_args

import msgspec

from builder.errors import UsageError
from builder.store.items import Group, Item
from grammar.diagnostics import suggest

Operator = Literal["=", "!=", "~="]

_WRITTEN = re.compile(r"([a-z-]+)(?:(!=|~=|==?)(.*))?\Z", re.DOTALL)
_FLAGS = ("inuse", "shared", "private", "mutable", "immutable")
_TEXTS = ("id", "type", "description", "parents")

_BUILDKIT_TYPES: dict[str, frozenset[Group]] = {
    "regular": frozenset({"image", "base", "step", "merged", "blob"}),
    "exec.cachemount": frozenset({"cache-mount"}),
    "internal": frozenset({"history"}),
    "frontend": frozenset(),
    "source.local": frozenset(),
    "source.git.checkout": frozenset(),
}
"""client.UsageRecordType; what we do not keep is known and never there."""


class Condition(msgspec.Struct, frozen=True):
    """One condition."""

    key: str
    operator: Operator
    value: str


class Seen(msgspec.Struct, frozen=True):
    """What an item does not know of itself."""

    in_use: bool
    """A living process may be using it, or an image name needs it."""
    shared: bool
    """Something else stands on it, or an image name needs it."""


def parse_condition(option: str, text: str) -> Condition:
    """One condition as written; raises UsageError."""
    match = _WRITTEN.match(text)
    key = match[1] if match is not None else text.partition("=")[0]
    if match is None or key not in (*_FLAGS, *_TEXTS):
        known = ("until", *_TEXTS, *_FLAGS)
        near = suggest(key, known)
        hint = f"did you mean {near}? " if near else ""
        raise UsageError("bad-filter", f"{option} {text!r}: {key!r} is nothing to filter by", help=f"{hint}there are {', '.join(known)}")
    operator, value = match[2], match[3] or ""
    if operator is None:
        if key in _TEXTS:
            raise UsageError("bad-filter", f"{option} {text!r} says no {key}", help=f"write {option} {key}=VALUE")
        operator, value = "=", "true"
    if key in _FLAGS and value.lower() not in ("true", "false", "1", "0"):
        raise UsageError("bad-filter", f"{option} {text!r}: {value!r} is neither true nor false")
    if key == "type" and operator != "~=":
        _known_type(option, text, value)
    if operator == "~=" or key == "id":
        _compiles(option, text, value)
    return Condition(key, {"!=": "!=", "~=": "~="}.get(operator, "="), value)  # type: ignore[arg-type]


def _known_type(option: str, text: str, value: str) -> None:
    known = (*get_args(Group), *_BUILDKIT_TYPES)
    if value not in known:
        near = suggest(value, known)
        hint = f"did you mean {near}? " if near else ""
        raise UsageError("bad-filter", f"{option} {text!r}: there is no type {value!r}", help=f"{hint}there are {', '.join(known)}")


def _compiles(option: str, text: str, value: str) -> None:
    try:
        re.compile(value)
    except re.error as error:
        raise UsageError("bad-filter", f"{option} {text!r} is no regular expression: {error}") from None


def meets(item: Item, condition: Condition, seen: Seen) -> bool:
    """Whether the item meets it."""
    if condition.key in _FLAGS:
        wanted = condition.value.lower() in ("true", "1")
        return (_flag(item, condition.key, seen) == wanted) != (condition.operator == "!=")
    if condition.operator == "~=":
        return any(re.search(condition.value, value) for value in _values(item, condition.key))
    return _equals(item, condition) != (condition.operator == "!=")


def _equals(item: Item, condition: Condition) -> bool:
    if condition.key == "type":
        return condition.value == item.group or item.group in _BUILDKIT_TYPES.get(condition.value, ())
    if condition.key == "id":
        # buildx makes of id=… what it writes as id~=…
        return re.search(condition.value, item.name) is not None
    return condition.value in _values(item, condition.key)


def _values(item: Item, key: str) -> Iterable[str]:
    match key:
        case "id":
            return (item.name,)
        case "type":
            return (item.group, *(name for name, groups in _BUILDKIT_TYPES.items() if item.group in groups))
        case "description":
            return (item.note,)
        case _:
            return item.parents


def _flag(item: Item, key: str, seen: Seen) -> bool:
    shared = seen.shared or bool(item.kept)
    match key:
        case "inuse":
            return seen.in_use or bool(item.kept)
        case "shared":
            return shared
        case "private":
            return not shared
        case "mutable":
            return item.kind == "cache-mount"
        case _:
            return item.kind != "cache-mount"
