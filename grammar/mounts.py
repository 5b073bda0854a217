"""The value of RUN --mount (reference 1.4): comma-separated options, in any order, checked against the type."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable
from typing import Literal, get_args

import msgspec

from grammar.diagnostics import shorten, suggest

MountType = Literal["bind", "cache", "tmpfs", "secret", "ssh"]
Sharing = Literal["shared", "private", "locked"]

TYPES: tuple[MountType, ...] = get_args(MountType)
SHARINGS: tuple[Sharing, ...] = get_args(Sharing)

_ALIASES = {
    "src": "source",
    "dst": "target",
    "destination": "target",
    "ro": "readonly",
    "rw": "readwrite",
}
_KEYS = ("type", "from", "source", "target", "readonly", "readwrite", "id", "sharing", "required", "size", "mode", "uid", "gid", "env")
_BARE = ("readonly", "readwrite", "required")
_TRUE = frozenset(("1", "t", "T", "TRUE", "true", "True"))
_FALSE = frozenset(("0", "f", "F", "FALSE", "false", "False"))
_VARIABLE = r"(?s)\$."
_SIZE = r"(?ia)(\d+(?:\.\d*)?|\.\d+) ?(?:([kmgtp])i?)?b?"
_SCALES = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40, "p": 1 << 50}

_ALLOWED: dict[str, tuple[MountType, ...]] = {
    "required": ("secret", "ssh"),
    "size": ("tmpfs",),
    "sharing": ("cache",),
    "mode": ("secret", "ssh", "cache"),
    "uid": ("secret", "ssh", "cache"),
    "gid": ("secret", "ssh", "cache"),
    "env": ("secret",),
    "from": ("bind", "cache", "tmpfs", "ssh"),
    "source": ("bind", "cache", "tmpfs", "secret"),
}
"""Options that only some types take; BuildKit takes `from` and `source` of the others and does nothing with them."""


class MountSpec(msgspec.Struct, frozen=True):
    """A mount as written; what was not given is None, so that each type's own default applies.

    `read_only` is settled: cache and tmpfs are writable, the rest is not, unless ro or rw says otherwise.
    """

    type: MountType = "bind"
    target: str | None = None
    source: str | None = None
    from_: str | None = None
    read_only: bool = True
    id: str | None = None
    sharing: Sharing | None = None
    required: bool = False
    size: int | None = None
    mode: int | None = None
    uid: int | None = None
    gid: int | None = None
    env: str | None = None


class FlagError(Exception):
    """A flag's value means nothing; the caller knows where it stands."""

    def __init__(self, message: str, help: str | None = None, code: str = "bad-mount") -> None:
        super().__init__(message)
        self.message = message
        self.help = help
        self.code = code


def parse_mount(value: str, expand: Callable[[str], str] | None = None) -> MountSpec:
    """The mount that `value` describes; raises FlagError.

    `expand` is applied to each option's value once the list is split, so a variable can add no option.
    """
    options = _options(value, expand)
    kind = _type(options.get("type", "bind"))
    for key in options:
        if key in _ALLOWED and kind not in _ALLOWED[key]:
            raise FlagError(f"a {kind} mount takes no {key}", f"{key} is for mounts of type {' or '.join(_ALLOWED[key])}")
    spec = MountSpec(
        type=kind,
        target=options.get("target"),
        source=options.get("source"),
        from_=options.get("from"),
        read_only=_read_only(options, kind),
        id=options.get("id"),
        sharing=_sharing(options.get("sharing")),
        required=_boolean("required", options.get("required", "false")),
        size=_size(options.get("size")),
        mode=_integer("mode", options.get("mode"), 8),
        uid=_integer("uid", options.get("uid"), 10),
        gid=_integer("gid", options.get("gid"), 10),
        env=options.get("env"),
    )
    _check(spec)
    return spec


def _options(value: str, expand: Callable[[str], str] | None) -> dict[str, str]:
    """Keys without aliases; of `readonly` and `readwrite` only the one that stands last."""
    options: dict[str, str] = {}
    for field in split_csv(value):
        key, equals, text = field.partition("=")
        name = _ALIASES.get(key.lower(), key.lower())
        if name not in _KEYS:
            near = suggest(key, (*_KEYS, *_ALIASES))
            raise FlagError(f"a mount has no option {shorten(key)!r}", f"did you mean {near}?" if near else f"there are {', '.join(_KEYS)}")
        if not equals and name not in _BARE:
            raise FlagError(f"the mount option {name} needs a value", f"write {name}=…")
        if name == "from" and re.search(_VARIABLE, text):
            help = "define a stage with FROM, which can use ARGs, and name that stage"
            raise FlagError("a mount's from cannot hold variables", help, "mount-from-variable")
        if name in ("readonly", "readwrite"):
            options.pop("readonly", None)
            options.pop("readwrite", None)
        options[name] = "true" if not equals else text if expand is None else expand(text)
    return options


def split_csv(value: str) -> list[str]:
    """One record of encoding/csv: a field in double quotes may hold commas, and quotes written twice."""
    if not value:
        raise FlagError("the mount has no options", "write --mount=type=bind,target=…")
    fields: list[str] = []
    position = 0
    while True:
        if value.startswith('"', position):
            field, position = _quoted_field(value, position + 1)
        else:
            end = value.find(",", position)
            field = value[position : end if end >= 0 else len(value)]
            if '"' in field:
                raise FlagError('a mount option has a " inside', 'put the quotes around the whole option: "target=/a,b"')
            position += len(field)
        fields.append(field)
        if position == len(value):
            return fields
        position += 1


def _quoted_field(value: str, start: int) -> tuple[str, int]:
    parts: list[str] = []
    position = start
    while True:
        end = value.find('"', position)
        if end < 0:
            raise FlagError('a " of the mount is never closed')
        parts.append(value[position:end])
        if value.startswith('""', end):
            parts.append('"')
            position = end + 2
            continue
        if end + 1 < len(value) and value[end + 1] != ",":
            raise FlagError('a mount option goes on behind its closing "', 'put the quotes around the whole option: "target=/a,b"')
        return "".join(parts), end + 1


def _type(value: str) -> MountType:
    for kind in TYPES:
        if kind == value.lower():
            return kind
    near = suggest(value, TYPES)
    raise FlagError(f"there is no mount type {shorten(value)!r}", f"did you mean {near}?" if near else f"there are {', '.join(TYPES)}")


def _sharing(value: str | None) -> Sharing | None:
    if value is None:
        return None
    for sharing in SHARINGS:
        if sharing == value.lower():
            return sharing
    near = suggest(value, SHARINGS)
    raise FlagError(f"there is no sharing {shorten(value)!r}", f"did you mean {near}?" if near else f"there are {', '.join(SHARINGS)}")


def _read_only(options: dict[str, str], kind: MountType) -> bool:
    if "readonly" in options:
        return _boolean("readonly", options["readonly"])
    if "readwrite" in options:
        return not _boolean("readwrite", options["readwrite"])
    return kind not in ("cache", "tmpfs")


def _boolean(key: str, value: str) -> bool:
    if value in _TRUE:
        return True
    if value in _FALSE:
        return False
    raise FlagError(f"the mount option {key} is true or false, not {shorten(value)!r}")


def _integer(key: str, value: str | None, base: int) -> int | None:
    if value is None:
        return None
    digits = "01234567" if base == 8 else "0123456789"
    if not value or value.strip(digits) or len(value.lstrip("0")) > 11 or int(value, base) >= 1 << 32:
        help = "write an octal mode such as 0755" if base == 8 else "write a number"
        raise FlagError(f"the mount option {key} cannot be {shorten(value)!r}", help)
    return int(value, base)


def _size(value: str | None) -> int | None:
    """RAMInBytes: 64m, 1.5GiB, plain bytes."""
    if value is None:
        return None
    match = re.fullmatch(_SIZE, value)
    size = float(match[1]) * _SCALES[(match[2] or "").lower()] if match else float("inf")
    if size >= 1 << 63:
        raise FlagError(f"the mount option size cannot be {shorten(value)!r}", "write a size such as 64m or 1g")
    return int(size)


def _check(spec: MountSpec) -> None:
    if spec.type == "secret":
        if not (spec.source or spec.target or spec.id):
            raise FlagError("a secret mount needs an id or a target", "write --mount=type=secret,id=NAME")
        if spec.source and spec.id:
            raise FlagError("a secret mount takes id or source, not both")
    elif spec.type != "ssh" and not spec.target:
        raise FlagError(f"a {spec.type} mount needs a target", f"write --mount=type={spec.type},target=/path")
    if spec.target and spec.target.startswith("/") and posixpath.normpath(spec.target).strip("/") == "":
        raise FlagError("a mount's target cannot be /")
