"""Digests: the sha256 names of blobs, plain tars and layer stacks, each its own type.

OCI image-spec v1.1 descriptor.md "Digests" and config.md "Layer DiffID", "Layer ChainID".
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NewType

from builder.errors import CorruptionError
from builder.oci.sha256 import large, small

Digest = NewType("Digest", str)
"""The digest of a blob's exact bytes."""

DiffID = NewType("DiffID", str)
"""The digest of a layer's uncompressed tar."""

ChainID = NewType("ChainID", str)
"""The digest of a stack of layers, lowest first."""

_SMALL = 1 << 14
_SHA256 = re.compile(r"sha256:[0-9a-f]{64}\Z")

EMPTY_LAYER = DiffID("sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef")
"""The tar of no entries: 1,024 zero bytes."""


def parse_digest(text: object) -> Digest:
    """A digest that is safe to use in a path or a URL; anything but sha256 and 64 hex digits is refused."""
    if not isinstance(text, str) or _SHA256.match(text) is None:
        raise CorruptionError("invalid-digest", f"{str(text)[:100]!r} is not a sha256 digest")
    return Digest(text)


def digest_of(data: bytes) -> Digest:
    """The digest of these bytes."""
    return Digest("sha256:" + (small(data) if len(data) < _SMALL else large(data)).hexdigest())


def hex_of(digest: str) -> str:
    """The 64 hex digits of a digest of any of the three kinds."""
    return digest.removeprefix("sha256:")


def chain_ids(diff_ids: Iterable[DiffID]) -> tuple[ChainID, ...]:
    """The ChainID of each prefix of a stack, lowest first."""
    chains: list[ChainID] = []
    for diff_id in diff_ids:
        if not chains:
            chains.append(ChainID(diff_id))
        else:
            chains.append(ChainID(digest_of(f"{chains[-1]} {diff_id}".encode())))
    return tuple(chains)
