"""Reads `--cache-from` and `--cache-to`: CSV of key=value as buildx writes it, or a bare reference.

type=registry,ref=…    type=local,src=… (dest=… for --cache-to)    type=inline (--cache-to only)
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Literal

import msgspec

from builder.errors import UsageError
from builder.oci.media import Compression
from builder.oci.reference import Reference, parse_reference
from grammar.diagnostics import suggest

CacheType = Literal["registry", "local", "inline"]
Mode = Literal["min", "max"]

_TYPES: tuple[CacheType, ...] = ("registry", "local", "inline")
_FOREIGN = frozenset({"gha", "s3", "azblob"})
_COMPRESSIONS: dict[str, Compression] = {"uncompressed": "none", "gzip": "gzip", "zstd": "zstd"}
_MAX_LEVEL = {"none": 0, "gzip": 9, "zstd": 22}
_IGNORED = frozenset({"image-manifest", "oci-mediatypes", "oci-artifact", "reset", "digest"})
"""Options of BuildKit that change nothing of ours: the artifact is always an OCI image manifest."""


class ImportSpec(msgspec.Struct, frozen=True):
    """One --cache-from: an artifact or an image at `reference`, or an OCI layout at `path` under `tag`."""

    type: CacheType
    reference: Reference | None = None
    path: str = ""
    tag: str = "latest"
    insecure: bool = False

    @property
    def name(self) -> str:
        """What people know it by."""
        return self.reference.familiar if self.reference is not None else self.path


class ExportSpec(msgspec.Struct, frozen=True):
    """One --cache-to. `level` None: the compression's default; `mounts`: cache mounts too."""

    type: CacheType
    reference: Reference | None = None
    path: str = ""
    tag: str = "latest"
    mode: Mode = "min"
    compression: Compression = "gzip"
    level: int | None = None
    force: bool = False
    ignore_error: bool = False
    insecure: bool = False
    mounts: bool = False

    @property
    def name(self) -> str:
        """What people know it by."""
        return self.reference.familiar if self.reference is not None else self.path or self.type


def parse_cache_from(text: str) -> ImportSpec:
    """One import; raises UsageError with the nearest right name."""
    option = "--cache-from"
    kind, changes = _parse(option, text, {**_COMMON, "src": ("path", _path)})
    if kind == "inline":
        raise UsageError(
            "bad-cache",
            "--cache-from type=inline does not exist",
            help="an image's inline cache is read with --cache-from type=registry,ref=IMAGE",
        )
    spec = ImportSpec(kind, **changes)
    _complete(option, kind, spec.reference, spec.path, "src")
    return spec


def parse_cache_to(text: str) -> ExportSpec:
    """One export; raises UsageError."""
    option = "--cache-to"
    kind, changes = _parse(option, text, {**_COMMON, **_EXPORT})
    spec = ExportSpec(kind, **changes)
    _complete(option, kind, spec.reference, spec.path, "dest")
    if spec.level is not None and spec.level > _MAX_LEVEL[spec.compression]:
        raise UsageError(
            "bad-cache",
            f"{option}: compression-level={spec.level} is over the highest of {spec.compression}",
            help=f"it goes up to {_MAX_LEVEL[spec.compression]}",
        )
    if kind == "inline" and spec.mode == "max":
        raise UsageError("bad-cache", "--cache-to type=inline has only mode=min", help="use type=registry for mode=max")
    if spec.reference is not None and spec.reference.digest is not None:
        raise UsageError("bad-cache", f"{option}: {spec.name} has a digest", help="name a tag")
    return spec


def _parse(option: str, text: str, known: dict[str, tuple[str, Callable[[str, str, str], object]]]) -> tuple[CacheType, dict[str, Any]]:
    fields = _fields(option, text)
    if len(fields) == 1 and "=" not in fields[0]:
        return "registry", {"reference": parse_reference(fields[0].strip())}
    pairs: dict[str, str] = {}
    for field in fields:
        key, equals, value = field.partition("=")
        if not equals:
            raise UsageError("bad-cache", f"{option} {text!r}: {field!r} is not KEY=VALUE", help="write as type=registry,ref=host/name:tag")
        pairs[key.strip().lower()] = value.strip()
    kind = _type(option, text, pairs.pop("type", None))
    changes: dict[str, Any] = {}
    for key, value in pairs.items():
        if key in _IGNORED:
            continue
        if key not in known:
            near = suggest(key, known)
            help = f"did you mean {near}?" if near else f"it has {', '.join(sorted(known))}"
            raise UsageError("bad-cache", f"{option} has no option {key!r}", help=help)
        name, read = known[key]
        changes[name] = read(option, key, value)
    return kind, changes


def _fields(option: str, text: str) -> list[str]:
    import csv

    try:
        rows = list(csv.reader([text], strict=True))
    except csv.Error as error:
        raise UsageError("bad-cache", f"{option} {text!r} is not CSV: {error}") from None
    if not rows or not any(rows[0]):
        raise UsageError("bad-cache", f"{option} is empty", help="write as type=registry,ref=host/name:tag")
    return rows[0]


def _type(option: str, text: str, value: str | None) -> CacheType:
    if value is None:
        raise UsageError("bad-cache", f"{option} {text!r} has no type", help=f"add type=, one of {', '.join(_TYPES)}")
    for kind in _TYPES:
        if value == kind:
            return kind
    if value in _FOREIGN:
        raise UsageError(
            "bad-cache",
            f"{option} type={value} is not supported",
            help="use type=registry, or type=local with the CI's own cache of directories",
        )
    near = suggest(value, _TYPES)
    raise UsageError(
        "bad-cache", f"{value!r} is not a type of {option}", help=f"did you mean {near}?" if near else f"it is one of {', '.join(_TYPES)}"
    )


def _complete(option: str, kind: CacheType, reference: Reference | None, path: str, where: str) -> None:
    if kind == "registry" and reference is None:
        raise UsageError("bad-cache", f"{option} type=registry has no ref", help="add ref=host/name:tag")
    if kind == "local" and not path:
        raise UsageError("bad-cache", f"{option} type=local has no {where}", help=f"add {where}=DIRECTORY")


def _reference(option: str, key: str, value: str) -> Reference:
    return parse_reference(value)


def _path(option: str, key: str, value: str) -> str:
    return os.path.abspath(value) if value else ""


def _text(option: str, key: str, value: str) -> str:
    return value


def _mode(option: str, key: str, value: str) -> str:
    if value not in ("min", "max"):
        raise UsageError("bad-cache", f"{option}: mode={value!r} is neither min nor max")
    return value


def _flag(option: str, key: str, value: str) -> bool:
    """Go's strconv.ParseBool."""
    if value in ("1", "t", "T", "true", "TRUE", "True"):
        return True
    if value in ("0", "f", "F", "false", "FALSE", "False"):
        return False
    raise UsageError("bad-cache", f"{option}: {key}={value!r} is neither true nor false", help=f"write {key}=true or {key}=false")


def _number(option: str, key: str, value: str) -> int:
    if not (value.isascii() and value.isdigit()) or len(value) > 4:
        raise UsageError("bad-cache", f"{option}: {key}={value!r} is not a number")
    return int(value)


def _compression(option: str, key: str, value: str) -> Compression:
    if value not in _COMPRESSIONS:
        raise UsageError("bad-cache", f"{option}: {value!r} is not a compression", help=f"it is one of {', '.join(_COMPRESSIONS)}")
    return _COMPRESSIONS[value]


_Readers = dict[str, tuple[str, Callable[[str, str, str], object]]]
_COMMON: _Readers = {
    "ref": ("reference", _reference),
    "tag": ("tag", _text),
    "registry.insecure": ("insecure", _flag),
}
_EXPORT: _Readers = {
    "dest": ("path", _path),
    "mode": ("mode", _mode),
    "compression": ("compression", _compression),
    "compression-level": ("level", _number),
    "force-compression": ("force", _flag),
    "ignore-error": ("ignore_error", _flag),
    "cache-mounts": ("mounts", _flag),
}
