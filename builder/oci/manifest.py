"""Descriptors, manifests and indexes; their raw bytes are kept, a foreign one is never re-encoded.

OCI image-spec v1.1 descriptor.md, manifest.md, image-index.md; Docker schema 2.
"""

from typing import Annotated

import msgspec

from builder.errors import CorruptionError
from builder.oci.digest import Digest, digest_of, parse_digest
from builder.oci.golang import decode_go
from builder.oci.media import INDEXES, MANIFESTS, OCI_INDEX, OCI_MANIFEST
from builder.oci.platform import Platform

MAX_MANIFEST = 4 << 20
"""Bytes; the distribution-spec asks registries for at least this."""


class Descriptor(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """What a blob is and how many bytes it has."""

    media_type: str
    digest: Digest
    size: Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]
    urls: tuple[str, ...] = ()
    annotations: dict[str, str] = {}
    platform: Platform | None = None
    artifact_type: str = ""


class Manifest(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """One image; `layers` is `[]` when there are none."""

    config: Descriptor
    layers: tuple[Descriptor, ...]
    schema_version: int = 2
    media_type: str = OCI_MANIFEST
    artifact_type: str = ""
    subject: Descriptor | None = None
    annotations: dict[str, str] = {}


class Index(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """Several images, by platform."""

    manifests: tuple[Descriptor, ...]
    schema_version: int = 2
    media_type: str = OCI_INDEX
    artifact_type: str = ""
    subject: Descriptor | None = None
    annotations: dict[str, str] = {}


def encode(document: Manifest | Index) -> bytes:
    """The canonical bytes we write: schemaVersion and mediaType first, no white space."""
    fields = msgspec.to_builtins(document)
    body = {"schemaVersion": document.schema_version, "mediaType": document.media_type}
    body.update((key, value) for key, value in fields.items() if key not in body)
    return msgspec.json.encode(body)


def decode(raw: bytes, media_type: str | None = None) -> Manifest | Index:
    """A manifest or an index, as its media type says; one that could be read as both is refused (CVE-2021-41190).

    `media_type` is what the registry's header or the descriptor said; raises CorruptionError.
    """
    if len(raw) > MAX_MANIFEST:
        raise CorruptionError("manifest-too-large", f"a manifest of {len(raw)} bytes is over the limit of {MAX_MANIFEST}")
    try:
        fields = decode_go(raw)
        kind = _kind(fields, media_type) if isinstance(fields, dict) else Manifest
        document = msgspec.convert(fields, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise CorruptionError("manifest-invalid", f"a manifest cannot be decoded: {error}") from None
    descriptors = document.manifests if isinstance(document, Index) else (document.config, *document.layers)
    for descriptor in (*descriptors, document.subject):
        if descriptor is not None:
            parse_digest(descriptor.digest)
    return document


def _kind(fields: dict[str, object], media_type: str | None) -> type[Manifest] | type[Index]:
    """What a document is; raises CorruptionError unless its fields, what it says and what was said of it agree."""
    known = INDEXES | MANIFESTS
    own = fields.get("mediaType")
    if media_type in known and own in known and own != media_type:
        raise CorruptionError("manifest-confusion", f"a manifest says it is {own} but was served as {media_type}")
    if "manifests" in fields and ("layers" in fields or "config" in fields):
        raise CorruptionError("manifest-confusion", "a manifest has the fields of an image and of an index")
    if fields.get("schemaVersion") != 2:
        raise CorruptionError("manifest-schema", f"schema version {str(fields.get('schemaVersion'))[:20]} is not supported, only 2")
    said = media_type if media_type in known else own
    if said in known:
        return Index if said in INDEXES else Manifest
    return Index if "manifests" in fields else Manifest


def describe(raw: bytes, media_type: str, platform: Platform | None = None) -> Descriptor:
    """The descriptor of these bytes."""
    return Descriptor(media_type, digest_of(raw), len(raw), platform=platform)
