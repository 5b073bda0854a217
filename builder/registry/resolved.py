"""From what a name stands for to one image of one platform, wherever the bytes come from."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from builder.errors import CorruptionError, LayerwrightError
from builder.oci.config import MAX_CONFIG, ImageConfig, decode_config
from builder.oci.manifest import MAX_MANIFEST, Descriptor, Index, Manifest, decode
from builder.oci.media import DOCKER_CONFIG, OCI_CONFIG
from builder.oci.platform import Platform
from builder.oci.reference import Reference
from builder.registry.select import acceptable, choose, image_descriptors, no_platform

if TYPE_CHECKING:
    from builder.store.blobs import BlobStore

MAX_PROBED = 16
"""Images of an index without platforms whose configs are looked at."""

MAX_NESTED = 3

Read = Callable[[Descriptor], bytes]
"""The verified bytes of a manifest or a config."""


class Resolved(msgspec.Struct, frozen=True):
    """A name made certain: the image for one platform, and the index it was chosen from.

    `root` is what the name itself stands for (the index where there is one): pin it to build the same again.
    """

    reference: Reference
    root: Descriptor
    descriptor: Descriptor
    manifest: Manifest
    manifest_raw: bytes
    config: ImageConfig
    config_raw: bytes
    index: Index | None = None
    index_raw: bytes | None = None

    @property
    def origin(self) -> str:
        """Where its blobs can be had: what `Registry.fetch` takes."""
        return self.reference.name


def resolve_image(reference: Reference, root: Descriptor, platform: Platform, read: Read) -> Resolved:
    """The image of a platform; raises NotFoundError `no-platform` when an index has none for it."""
    raw = read(root)
    document = decode(raw, root.media_type)
    if isinstance(document, Manifest):
        return _image(reference, root, root, document, raw, read)
    found = _from_index(reference, root, document, platform, read, 0)
    return msgspec.structs.replace(found, index=document, index_raw=raw)


def resolve_stored(blobs: BlobStore, reference: Reference, root: Descriptor, platform: Platform) -> Resolved:
    """An image whose manifests and config are all in the store."""
    return resolve_image(reference, root, platform, lambda descriptor: blobs.read(descriptor.digest, max(MAX_MANIFEST, MAX_CONFIG)))


def _from_index(reference: Reference, root: Descriptor, index: Index, platform: Platform, read: Read, depth: int) -> Resolved:
    if depth > MAX_NESTED:
        raise CorruptionError("manifest-nesting", f"{reference.familiar} nests its indexes too deeply")
    chosen = choose(index, platform)
    if chosen is not None:
        return _child(reference, root, chosen, platform, read, depth)
    candidates = image_descriptors(index)
    offered = [descriptor.platform for descriptor in candidates if descriptor.platform is not None]
    for descriptor in [descriptor for descriptor in candidates if descriptor.platform is None][:MAX_PROBED]:
        found = _child(reference, root, descriptor, platform, read, depth)
        if len(candidates) == 1 or found.config.platform in acceptable(platform):
            return found
        offered.append(found.config.platform)
    raise no_platform(reference.familiar, platform, offered)


def _child(reference: Reference, root: Descriptor, descriptor: Descriptor, platform: Platform, read: Read, depth: int) -> Resolved:
    raw = read(descriptor)
    if len(raw) != descriptor.size:
        raise CorruptionError("manifest-size", f"an index of {reference.familiar} gives a manifest of {len(raw)} bytes {descriptor.size}")
    document = decode(raw, descriptor.media_type)
    if isinstance(document, Index):
        return _from_index(reference, root, document, platform, read, depth + 1)
    return _image(reference, root, descriptor, document, raw, read)


def _image(reference: Reference, root: Descriptor, descriptor: Descriptor, manifest: Manifest, raw: bytes, read: Read) -> Resolved:
    if manifest.config.media_type not in (OCI_CONFIG, DOCKER_CONFIG):
        kind = manifest.artifact_type or manifest.config.media_type
        raise LayerwrightError("not-an-image", f"{reference.familiar} is no image but an artifact ({kind[:100]})", help="name an image")
    if manifest.config.size > MAX_CONFIG:
        raise CorruptionError("config-too-large", f"the config of {reference.familiar} is over the limit of {MAX_CONFIG} bytes")
    config_raw = read(manifest.config)
    config = decode_config(config_raw)
    layers, diff_ids = len(manifest.layers), len(config.rootfs.diff_ids)
    if layers != diff_ids:
        raise CorruptionError("layers-mismatch", f"{reference.familiar} has {layers} layers, but its config names {diff_ids}")
    return Resolved(reference, root, descriptor, manifest, raw, config, config_raw)
