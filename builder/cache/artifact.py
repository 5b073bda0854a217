"""The cache as an OCI artifact: one image manifest whose config is the records and whose layers are the layers.

    manifest   artifactType and config.mediaType `application/vnd.layerwright.cache.v1+json`
      config   the document of `builder.cache.portable`
      layers   the packed form of every layer that a record names, so that a registry's garbage collection keeps them

In an image's own config the document stands under the key `layerwright.cache.v1` (type=inline), its layers being
the image's. BuildKit's caches are not read: their keys are digests of LLB definitions, which cannot be computed
without BuildKit, and a cache whose keys are guessed would give wrong results.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from builder.cache.portable import MAX_DOCUMENT, Document, decode_document, encode_document
from builder.errors import CorruptionError, LayerwrightError
from builder.oci.manifest import MAX_MANIFEST, Descriptor, Index, Manifest, decode, describe, encode
from builder.oci.media import DOCKER_CONFIG, OCI_CONFIG
from builder.store.blobs import BlobStore

MEDIA_TYPE = "application/vnd.layerwright.cache.v1+json"
INLINE_KEY = "layerwright.cache.v1"
BUILDKIT = "application/vnd.buildkit.cacheconfig.v0"
_BUILDKIT_INLINE = "moby.buildkit.cache.v0"
MAX_IMAGES = 16
"""Images of an index whose inline caches are looked at."""

Read = Callable[[Descriptor], bytes]
"""The verified bytes of a manifest or a config."""


class ForeignCache(LayerwrightError):
    """What was named is there, but holds no cache that can be read here."""


class _Inline(msgspec.Struct, rename={"ours": INLINE_KEY, "theirs": _BUILDKIT_INLINE}):
    ours: msgspec.Raw = msgspec.Raw()
    theirs: msgspec.Raw = msgspec.Raw()


def put_artifact(document: Document, blobs: BlobStore, note: str = "") -> Descriptor:
    """Write manifest and config into `blobs`; the layers are the caller's. `note` makes two of one content differ."""
    raw = encode_document(document)
    if len(raw) > MAX_DOCUMENT:
        raise LayerwrightError("cache-too-large", f"the cache's records have {len(raw)} bytes, over the limit of {MAX_DOCUMENT}")
    blobs.put(raw)
    manifest = Manifest(
        describe(raw, MEDIA_TYPE),
        _descriptors(document),
        artifact_type=MEDIA_TYPE,
        annotations={"layerwright.export": note} if note else {},
    )
    encoded = encode(manifest)
    blobs.put(encoded)
    return describe(encoded, manifest.media_type)


def read_cache(root: Descriptor, read: Read, name: str) -> Document:
    """The cache behind a manifest or an index: an artifact of ours, or the inline caches of images.

    Raises ForeignCache where there is neither, CorruptionError for what is not as it should be.
    """
    document = decode(_bounded(read(root), MAX_MANIFEST), root.media_type)
    if isinstance(document, Manifest):
        return _of_manifest(document, read, name)
    if any(BUILDKIT in (child.media_type, child.artifact_type) for child in document.manifests):
        raise _buildkit(name)
    return _of_index(document, read, name)


def _of_index(index: Index, read: Read, name: str) -> Document:
    images = [child for child in index.manifests if child.platform is None or child.platform.os != "unknown"]
    found: list[Document] = []
    refused: ForeignCache | None = None
    for child in images[:MAX_IMAGES]:
        document = decode(_bounded(read(child), MAX_MANIFEST), child.media_type)
        if isinstance(document, Manifest):
            try:
                found.append(_of_manifest(document, read, name))
            except ForeignCache as error:
                refused = error
    if not found:
        raise refused or _no_cache(name)
    return Document(tuple(entry for document in found for entry in document.entries))


def _of_manifest(manifest: Manifest, read: Read, name: str) -> Document:
    kind = manifest.config.media_type
    if kind == MEDIA_TYPE:
        document = decode_document(_bounded(_sized(manifest.config, read), MAX_DOCUMENT))
        _check_layers(document, manifest.layers)
        return document
    if BUILDKIT in (kind, manifest.artifact_type) or any(layer.media_type == BUILDKIT for layer in manifest.layers):
        raise _buildkit(name)
    if kind not in (OCI_CONFIG, DOCKER_CONFIG):
        raise _no_cache(name)
    try:
        config = msgspec.json.decode(_bounded(_sized(manifest.config, read), MAX_DOCUMENT), type=_Inline)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise CorruptionError("config-invalid", f"the config of {name} cannot be decoded: {error}") from None
    if not bytes(config.ours):
        raise _buildkit(name) if bytes(config.theirs) else _no_cache(name)
    document = decode_document(bytes(config.ours))
    _check_layers(document, manifest.layers)
    return document


def _sized(descriptor: Descriptor, read: Read) -> bytes:
    if descriptor.size > MAX_DOCUMENT:
        raise CorruptionError("cache-too-large", f"a cache's records of {descriptor.size} bytes are over the limit of {MAX_DOCUMENT}")
    return read(descriptor)


def _bounded(raw: bytes, limit: int) -> bytes:
    if len(raw) > limit:
        raise CorruptionError("cache-too-large", f"a document of {len(raw)} bytes is over the limit of {limit}")
    return raw


def _check_layers(document: Document, layers: Iterable[Descriptor]) -> None:
    """Records may only name what the manifest names with the same size."""
    known = {layer.digest: layer.size for layer in layers}
    for layer in document.layers:
        if known.get(layer.descriptor.digest) != layer.size:
            raise CorruptionError("cache-invalid", f"a cache's records name {layer.digest}, which its manifest does not")


def _descriptors(document: Document) -> tuple[Descriptor, ...]:
    return tuple({layer.digest: layer.descriptor for layer in document.layers}.values())


def _buildkit(name: str) -> ForeignCache:
    return ForeignCache(
        "foreign-cache",
        f"{name} holds a cache of BuildKit, whose keys only BuildKit can compute",
        help="export one with --cache-to here, under another name",
    )


def _no_cache(name: str) -> ForeignCache:
    return ForeignCache("no-cache", f"{name} holds no cache", help="export one with --cache-to type=registry or type=inline")
