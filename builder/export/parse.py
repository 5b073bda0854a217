"""Reads `-o`: `type=…,key=value` as CSV, a bare path (local), or `-` (a tar to standard output)."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, get_args

import msgspec

from builder.errors import UsageError
from builder.export.spec import Annotation, AnnotationKind, OutputSpec, OutputType
from builder.oci.platform import parse_platform
from builder.oci.reference import Reference, parse_reference
from grammar.diagnostics import suggest

TYPES: tuple[OutputType, ...] = get_args(OutputType)

_ANNOTATION = r"(?s)annotation(?:-(manifest|manifest-descriptor|index|index-descriptor))?(?:\[([^\]]*)\])?\.(.+)\Z"
_PLAIN_ANNOTATION = r"(?s)(?:((?:(?:manifest|index)(?:-descriptor)?,?)+)(?:\[([^\]]*)\])?:)?([^=]+)=(.*)\Z"
_COMPRESSIONS = {"uncompressed": "none", "gzip": "gzip", "zstd": "zstd"}
_MAX_LEVEL = {"none": 0, "gzip": 9, "zstd": 22}
_IGNORED = frozenset({
    "unpack", "name-canonical", "dangling-name-prefix", "danging-name-empty-only", "attestation-inline", "attestation-prefix",
    "oci-artifact", "prefer-nondist-layers", "compatibility-version",
})  # fmt: skip
"""Options of BuildKit that change nothing of ours: what they steer is not there, or is always so."""


def parse_output(text: str) -> OutputSpec:
    """One output; raises UsageError with the nearest right name."""
    if text == "-":
        return OutputSpec("tar", dest="-")
    fields = _fields(text)
    if len(fields) == 1 and "=" not in fields[0]:
        return OutputSpec("local", dest=fields[0])
    pairs: list[tuple[str, str]] = []
    for field in fields:
        key, equals, value = field.partition("=")
        key = key.strip()
        if not equals or not key:
            raise UsageError("invalid-output", f"--output {text!r}: {field!r} is not KEY=VALUE", help="write as type=oci,dest=image.tar")
        pairs.append((key if key.startswith("annotation") else key.lower(), value))
    return _spec(text, pairs)


def parse_annotation(text: str) -> tuple[Annotation, ...]:
    """One `--annotation [type[,type][[platform]]:]key=value`; the default type is manifest."""
    match = re.match(_PLAIN_ANNOTATION, text)
    if match is None:
        raise UsageError(
            "invalid-annotation", f"--annotation {text!r} is not KEY=VALUE", help="write as index:org.opencontainers.image.title=app"
        )
    kinds: list[AnnotationKind] = [_kind(kind) for kind in (match.group(1) or "manifest").split(",") if kind]
    platform = parse_platform(match.group(2)) if match.group(2) else None
    return tuple(Annotation(kind, match.group(3).strip(), match.group(4), platform) for kind in kinds)


def _fields(text: str) -> list[str]:
    if text.strip(",") and not any(char in text for char in '"\r\n'):
        return text.split(",")
    import csv

    try:
        rows = list(csv.reader([text], strict=True))
    except csv.Error as error:
        raise UsageError(
            "invalid-output", f"--output {text!r} is not CSV: {error}", help='quote a field with a comma, as "name=a,b"'
        ) from None
    if not rows or not any(rows[0]):
        raise UsageError("invalid-output", "--output is empty", help="write a directory, or type=…")
    return rows[0]


def _spec(text: str, pairs: list[tuple[str, str]]) -> OutputSpec:
    kinds = [value for key, value in pairs if key == "type"]
    if not kinds:
        raise UsageError("invalid-output", f"--output {text!r} has no type", help=f"add type=, one of {', '.join(TYPES)}")
    changes: dict[str, Any] = {}
    annotations: list[Annotation] = []
    for key, value in pairs:
        match = re.match(_ANNOTATION, key)
        if match is not None:
            platform = parse_platform(match.group(2)) if match.group(2) else None
            annotations.append(Annotation(_kind(match.group(1) or "manifest"), match.group(3), value, platform))
        elif key in _OPTIONS:
            field, read = _OPTIONS[key]
            changes[field] = read(key, value)
        elif key not in _IGNORED:
            near = suggest(key, (*_OPTIONS, *_IGNORED))
            raise UsageError(
                "invalid-output",
                f"--output has no option {key!r}",
                help=f"did you mean {near}?" if near else f"it has {', '.join(sorted(_OPTIONS))}",
            )
    return _checked(text, msgspec.structs.replace(OutputSpec("cacheonly"), **changes, annotations=tuple(annotations)))


def _checked(text: str, spec: OutputSpec) -> OutputSpec:
    """Fill in what a type implies, and refuse what does not go together."""
    if spec.level is not None and not 0 <= spec.level <= _MAX_LEVEL[spec.compression]:
        raise UsageError(
            "invalid-output",
            f"compression-level={spec.level} is not a level of {spec.compression}",
            help=f"0 to {_MAX_LEVEL[spec.compression]}",
        )
    if spec.type == "registry":
        spec = msgspec.structs.replace(spec, push=True)
    if spec.push and spec.type not in ("image", "registry"):
        raise UsageError("invalid-output", f"--output type={spec.type} cannot push", help="use type=registry, or a second --output")
    if spec.type in ("image", "registry", "cacheonly") and spec.dest is not None:
        raise UsageError("invalid-output", f"--output type={spec.type} has no dest", help="leave dest out, or use type=oci")
    if spec.type == "local" and spec.dest in (None, "", "-"):
        raise UsageError("invalid-output", f"--output {text!r} needs a directory", help="write type=local,dest=DIRECTORY")
    if spec.type == "oci" and not spec.tar and spec.dest in (None, "-"):
        raise UsageError("invalid-output", f"--output {text!r} needs a directory", help="write type=oci,tar=false,dest=DIRECTORY")
    if spec.type in ("oci", "tar") and spec.dest is None:
        spec = msgspec.structs.replace(spec, dest="-")
    return spec


def _type(key: str, value: str) -> OutputType:
    for known in TYPES:
        if value == known:
            return known
    near = suggest(value, TYPES)
    raise UsageError(
        "invalid-output",
        f"{value!r} is not a type of --output",
        help=f"did you mean {near}?" if near else f"it is one of {', '.join(TYPES)}",
    )


def _kind(text: str) -> AnnotationKind:
    for known in get_args(AnnotationKind):
        if text == known:
            kind: AnnotationKind = known
            return kind
    raise UsageError(
        "invalid-annotation", f"{text!r} is not a type of annotation", help=f"it is one of {', '.join(get_args(AnnotationKind))}"
    )


def _flag(key: str, value: str) -> bool:
    """Go's strconv.ParseBool."""
    if value in ("1", "t", "T", "true", "TRUE", "True"):
        return True
    if value in ("0", "f", "F", "false", "FALSE", "False"):
        return False
    raise UsageError("invalid-output", f"--output: {key}={value!r} is neither true nor false", help=f"write {key}=true or {key}=false")


def _number(key: str, value: str) -> int:
    if not (value.isascii() and value.isdigit()) or len(value) > 12:
        raise UsageError("invalid-output", f"--output: {key}={value!r} is not a number")
    return int(value)


def _compression(key: str, value: str) -> str:
    if value not in _COMPRESSIONS:
        near = suggest(value, _COMPRESSIONS)
        known = ", ".join(_COMPRESSIONS)
        raise UsageError(
            "invalid-output", f"--output: {value!r} is not a compression", help=f"did you mean {near}?" if near else f"it is one of {known}"
        )
    return _COMPRESSIONS[value]


def _names(key: str, value: str) -> tuple[Reference, ...]:
    return tuple(parse_reference(name.strip()) for name in value.split(",") if name.strip())


def _mode(key: str, value: str) -> bool:
    if value not in ("copy", "delete"):
        raise UsageError("invalid-output", f"--output: mode={value!r} is neither copy nor delete")
    return value == "delete"


def _text(key: str, value: str) -> str:
    return value


_OPTIONS: dict[str, tuple[str, Callable[[str, str], object]]] = {
    "type": ("type", _type),
    "dest": ("dest", _text),
    "name": ("names", _names),
    "push": ("push", _flag),
    "push-by-digest": ("push_by_digest", _flag),
    "store": ("store", _flag),
    "registry.insecure": ("insecure", _flag),
    "tar": ("tar", _flag),
    "platform-split": ("platform_split", _flag),
    "mode": ("delete", _mode),
    "context": ("context", _text),
    "compression": ("compression", _compression),
    "compression-level": ("level", _number),
    "force-compression": ("force_compression", _flag),
    "oci-mediatypes": ("oci_media_types", _flag),
    "rewrite-timestamp": ("rewrite_timestamp", _flag),
    "source-date-epoch": ("epoch", _number),
}  # fmt: skip
