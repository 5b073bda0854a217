"""Cache keys: what decides a result, as length-framed records.

Two keys a vertex. The *static* key is known before anything runs: the operation, and the static keys or pins of
its inputs. The *content* key is known once the inputs exist: the operation, the result ids of the roots it
stands on, and content digests of what it reads from the others; so a rebuilt stage that made the same files
is still a hit downstream. In neither: times, names of stages, labels, spans, secrets, limits (reference 1.15).
"""

from __future__ import annotations

from typing import NewType

import msgspec

from builder.graph.operations import CopyAction, Operation, RunAction
from builder.oci.sha256 import small

CacheKey = NewType("CacheKey", str)
"""64 hex digits."""

SCHEMA = 1
"""Raised when the meaning of a record changes; keys of another schema never match."""


def combine(kind: str, *parts: object) -> CacheKey:
    """The key of a record: msgpack frames every part by type and length, so `a=b-c` and `a-b=c` stay apart."""
    return CacheKey(small(msgspec.msgpack.encode((SCHEMA, kind, *parts))).hexdigest())


def static_key(operation: Operation, inputs: tuple[str, ...]) -> CacheKey:
    """The key before anything runs; `inputs` are static keys and pins in the order of the inputs."""
    return combine("static", operation, inputs)


def content_key(operation: Operation, roots: tuple[str, ...], read: tuple[str, ...]) -> CacheKey:
    """The key once the inputs are there: `roots` by result id, `read` by content digest.

    The paths a COPY takes are in the digests by their base names only, so a source directory may move.
    """
    return combine("content", _by_content(operation), roots, read)


def _by_content(operation: Operation) -> Operation:
    if isinstance(operation, CopyAction):
        sources = tuple(msgspec.structs.replace(source, paths=()) for source in operation.sources)
        return msgspec.structs.replace(operation, sources=sources)
    if isinstance(operation, RunAction):
        mounts = tuple(
            msgspec.structs.replace(mount, source="/") if mount.__struct_config__.tag == "bind" else mount for mount in operation.mounts
        )
        return msgspec.structs.replace(operation, mounts=mounts)
    return operation
