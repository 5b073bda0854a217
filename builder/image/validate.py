"""Checks an image bit by bit: every digest, size, media type and DiffID, down from one descriptor.

Nothing is taken on trust and nothing is raised for a bad image: what is wrong is listed, one sentence each.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from builder.errors import LayerwrightError
from builder.fs.compress import decompress
from builder.fs.limits import DEFAULT
from builder.oci.config import MAX_CONFIG, decode_config
from builder.oci.digest import Digest
from builder.oci.manifest import MAX_MANIFEST, Descriptor, Index, Manifest, decode
from builder.oci.media import DOCKER_CONFIG, INDEXES, MANIFESTS, OCI_CONFIG, OCI_MANIFEST, layer_compression
from builder.oci.platform import normalize
from builder.registry.select import REFERENCE_TYPE
from builder.store.blobs import CHUNK
from builder.store.layout import MAX_NESTED, BlobSource, Layout, read_blob

_MAGIC = {"gzip": b"\x1f\x8b", "zstd": b"\x28\xb5\x2f\xfd"}


def validate(blobs: BlobSource, descriptor: Descriptor) -> list[str]:
    """All that is wrong with the image or index; empty when it is whole and says what it is."""
    return list(_document(blobs, descriptor, 0))


def validate_layout(path: Path) -> list[str]:
    """The same for every image of an OCI layout."""
    try:
        layout = Layout.at(path)
    except LayerwrightError as error:
        return [error.message]
    return [problem for descriptor in layout.index.manifests for problem in validate(layout, descriptor)]


def _document(blobs: BlobSource, descriptor: Descriptor, depth: int) -> Iterator[str]:
    if depth > MAX_NESTED:
        yield f"index {descriptor.digest} nests others too deeply"
        return
    if descriptor.media_type not in INDEXES | MANIFESTS:
        yield from _plain(blobs, descriptor, f"blob of type {descriptor.media_type}")
        return
    try:
        raw = read_blob(blobs, descriptor.digest, MAX_MANIFEST)
        document = decode(raw, descriptor.media_type)
    except LayerwrightError as error:
        yield f"manifest {descriptor.digest}: {error.message}"
        return
    if len(raw) != descriptor.size:
        yield f"manifest {descriptor.digest} has {len(raw)} bytes, its descriptor says {descriptor.size}"
    if document.media_type != descriptor.media_type and not (document.media_type == OCI_MANIFEST and b'"mediaType"' not in raw[:200]):
        yield f"manifest {descriptor.digest} says it is {document.media_type}, its descriptor {descriptor.media_type}"
    if isinstance(document, Index):
        yield from _index(blobs, document, depth)
    else:
        yield from _manifest(blobs, descriptor, document, raw)


def _index(blobs: BlobSource, index: Index, depth: int) -> Iterator[str]:
    seen: set[tuple[Digest, str]] = set()
    for child in index.manifests:
        key = (child.digest, str(child.platform))
        if key in seen:
            yield f"the index lists {child.digest} for {child.platform} twice"
        seen.add(key)
        yield from _document(blobs, child, depth + 1)


def _manifest(blobs: BlobSource, descriptor: Descriptor, manifest: Manifest, raw: bytes) -> Iterator[str]:
    if b'"layers":null' in raw.replace(b" ", b""):
        yield f"manifest {descriptor.digest} has null for its layers"
    if manifest.config.media_type not in (OCI_CONFIG, DOCKER_CONFIG) or REFERENCE_TYPE in descriptor.annotations:
        for part in (manifest.config, *manifest.layers):
            yield from _plain(blobs, part, "blob")
        return
    problems = list(_plain(blobs, manifest.config, "config"))
    yield from problems
    if problems:
        return
    try:
        config = decode_config(read_blob(blobs, manifest.config.digest, MAX_CONFIG))
    except LayerwrightError as error:
        yield f"config {manifest.config.digest}: {error.message}"
        return
    diff_ids = config.rootfs.diff_ids
    if len(diff_ids) != len(manifest.layers):
        yield f"the manifest has {len(manifest.layers)} layers, the config {len(diff_ids)} DiffIDs"
    if config.history is not None:
        filled = sum(not line.empty_layer for line in config.history)
        if filled not in (0, len(diff_ids)):
            yield f"the history tells of {filled} layers, the config names {len(diff_ids)}"
    if not config.os or not config.architecture:
        yield "the config names no platform"
    elif descriptor.platform is not None and _differs(descriptor, config.platform.os, config.platform.architecture):
        yield f"the descriptor is for {descriptor.platform}, the config for {config.platform}"
    for layer, diff_id in zip(manifest.layers, diff_ids, strict=False):
        yield from _layer(blobs, layer, diff_id)


def _differs(descriptor: Descriptor, os: str, architecture: str) -> bool:
    if descriptor.platform is None:
        return False
    said = normalize(descriptor.platform)
    return (said.os, said.architecture) != (os, architecture)


def _layer(blobs: BlobSource, layer: Descriptor, diff_id: str) -> Iterator[str]:
    compression = layer_compression(layer.media_type)
    if compression is None:
        yield f"layer {layer.digest} has the media type {layer.media_type}, which is no layer"
    problems = list(_plain(blobs, layer, "layer"))
    yield from problems
    if problems or compression is None:
        return
    hasher, size = hashlib.sha256(), 0
    try:
        with blobs.open(layer.digest) as reader:
            head = reader.read(4)
        if compression != "none" and not head.startswith(_MAGIC[compression]):
            yield f"layer {layer.digest} is not {compression}, as its media type says"
        with blobs.open(layer.digest) as reader:
            plain = decompress(reader) if compression != "none" else reader
            while chunk := plain.read(CHUNK):
                hasher.update(chunk)
                size += len(chunk)
                if size > DEFAULT.plain:
                    yield f"layer {layer.digest} unpacks to more than {DEFAULT.plain} bytes"
                    return
    except LayerwrightError as error:
        yield f"layer {layer.digest}: {error.message}"
        return
    found = f"sha256:{hasher.hexdigest()}"
    if found != diff_id:
        yield f"layer {layer.digest} unpacks to {found}, the config says {diff_id}"


def _plain(blobs: BlobSource, descriptor: Descriptor, what: str) -> Iterator[str]:
    """Size and digest of one blob."""
    size = blobs.size(descriptor.digest)
    if size is None:
        yield f"{what} {descriptor.digest} is missing"
        return
    if size != descriptor.size:
        yield f"{what} {descriptor.digest} has {size} bytes, its descriptor says {descriptor.size}"
        return
    try:
        with blobs.open(descriptor.digest) as reader:
            reader.drain()
    except LayerwrightError as error:
        yield f"{what} {descriptor.digest}: {error.message}"
