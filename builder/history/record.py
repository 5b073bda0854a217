"""What is remembered of a build: who asked for what, and of each step what went into it and what became of it.

A StoredBuild's data is msgpack of `BuildRecord`; its `steps` are msgpack of `StepRecord`s again, so that a list of
builds decodes none of them, and zlib of that where it is long (the first byte tells: 0x78 begins no array).
Records carry `version`: one of another version is passed over, never guessed at.
Passwords in URLs are not kept, secrets are in no operation; values of ARG and ENV are (as in an image's history).
"""

from __future__ import annotations

from functools import cache
from typing import Literal

import msgspec

from builder.graph.operations import Operation
from builder.store.index import StoredBuild
from grammar.source import Span
from runtime.spec import Usage

VERSION = 1
_COMPRESSED_FROM = 1 << 15

StepKind = Literal["base", "step", "source", "part", "hidden"]
"""`part`: the piece of a context that a mount shows; `hidden`: a context, scratch, or the laying on of a --link."""

Outcome = Literal["cached", "ran", "failed", "cancelled", "waiting", "not-needed"]
"""`waiting`: needed, and not reached (or, in a dry run, what would run)."""

BuildState = Literal["done", "failed", "cancelled"]


class InputRecord(msgspec.Struct, frozen=True):
    """One input of a step: `digest` of what it reads as known before anything ran (for a context what it takes of it,
    else the input's key), `content` of what it read once the input was there ("" where it was not asked)."""

    vertex: str
    digest: str
    content: str = ""


class BaseRecord(msgspec.Struct, frozen=True):
    """An image as it was resolved: by which name, to which manifest, and its layers in the store, lowest first."""

    reference: str
    digest: str
    layers: tuple[str, ...] = ()


class StepRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One vertex. `number` as the views count (0: never began), `name` the instruction's text, `position` its (number, count)
    in the stage; `key` the static key; `layer` what it added (of a failed step: what it left); `arguments` the names of
    its environment that are ARGs, `variables` what its text was expanded with."""

    vertex: str
    kind: StepKind
    name: str
    stage: str = ""
    position: tuple[int, int] | None = None
    span: Span | None = None
    number: int = 0
    key: str = ""
    operation: Operation
    inputs: tuple[InputRecord, ...] = ()
    arguments: tuple[str, ...] = ()
    variables: tuple[tuple[str, str], ...] = ()
    ignored: bool = False
    outcome: Outcome = "waiting"
    by_content: bool = False
    started_ns: int = 0
    duration_ns: int = 0
    usage: Usage | None = None
    error: str | None = None
    logged: bool = False
    layer: str | None = None
    base: BaseRecord | None = None
    imported: str = ""
    """What imported caches had to say of a miss."""


class Request(msgspec.Struct, frozen=True):
    """What was asked for: the context's absolute path or URL, the Dockerfile's, the target, platforms, tags."""

    context: str
    dockerfile: str
    target: str = ""
    platforms: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    no_cache: bool = False


class WarningRecord(msgspec.Struct, frozen=True):
    """A warning of the build: `text` is its whole rendering, `line` of the Dockerfile, 0 where it has no place."""

    code: str
    message: str
    text: str
    line: int = 0


class ExportRecord(msgspec.Struct, frozen=True):
    """One output: what was written, when, and the lines that were shown of it."""

    name: str
    started_ns: int
    duration_ns: int = 0
    details: tuple[str, ...] = ()
    error: str | None = None


class BuildRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One build; `steps` packed, see `unpack_steps`."""

    version: int = VERSION
    id: str
    request: Request
    started_ns: int
    duration_ns: int = 0
    state: BuildState = "done"
    error: str = ""
    digest: str = ""
    images: tuple[str, ...] = ()
    ran: int = 0
    cached: int = 0
    steps: bytes = b""
    warnings: tuple[WarningRecord, ...] = ()
    exports: tuple[ExportRecord, ...] = ()


def pack_steps(steps: tuple[StepRecord, ...]) -> bytes:
    """The steps as a record keeps them."""
    raw = msgspec.msgpack.encode(steps)
    if len(raw) < _COMPRESSED_FROM:
        return raw
    from isal import isal_zlib  # four times as fast as zlib; loaded only by builds of many steps

    return isal_zlib.compress(raw, 1)


def unpack_steps(record: BuildRecord) -> tuple[StepRecord, ...]:
    """The steps of a build; none where they are of another version."""
    import zlib

    try:
        raw = zlib.decompress(record.steps) if record.steps[:1] == b"\x78" else record.steps
        return _steps_decoder().decode(raw)
    except (msgspec.MsgspecError, zlib.error):
        return ()


def encode_build(record: BuildRecord) -> StoredBuild:
    """The row of a build."""
    return StoredBuild(record.id, record.started_ns, msgspec.msgpack.encode(record))


def decode_build(row: StoredBuild) -> BuildRecord | None:
    """The record of a row; None for one of another version."""
    try:
        record = _decoder().decode(row.data)
    except msgspec.MsgspecError:
        return None
    return record if record.version == VERSION else None


@cache
def _decoder() -> msgspec.msgpack.Decoder[BuildRecord]:
    return msgspec.msgpack.Decoder(BuildRecord)


@cache
def _steps_decoder() -> msgspec.msgpack.Decoder[tuple[StepRecord, ...]]:
    return msgspec.msgpack.Decoder(tuple[StepRecord, ...])
