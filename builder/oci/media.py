"""Media types, and what each says of the bytes it names (OCI image-spec media-types.md, Docker schema 2)."""

from __future__ import annotations

from typing import Literal, assert_never

Compression = Literal["none", "gzip", "zstd"]

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_EMPTY = "application/vnd.oci.empty.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
OCI_LAYER_GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"
OCI_LAYER_ZSTD = "application/vnd.oci.image.layer.v1.tar+zstd"

DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar"
DOCKER_LAYER_GZIP = "application/vnd.docker.image.rootfs.diff.tar.gzip"
DOCKER_LAYER_ZSTD = "application/vnd.docker.image.rootfs.diff.tar.zstd"

INDEXES = frozenset({OCI_INDEX, DOCKER_LIST})
MANIFESTS = frozenset({OCI_MANIFEST, DOCKER_MANIFEST})
CONFIGS = frozenset({OCI_CONFIG, DOCKER_CONFIG})


def layer_media_type(compression: Compression, *, docker: bool = False) -> str:
    """The media type of a layer blob compressed so."""
    match compression:
        case "none":
            return DOCKER_LAYER if docker else OCI_LAYER
        case "gzip":
            return DOCKER_LAYER_GZIP if docker else OCI_LAYER_GZIP
        case "zstd":
            return DOCKER_LAYER_ZSTD if docker else OCI_LAYER_ZSTD
        case _ as never:
            assert_never(never)


def layer_compression(media_type: str) -> Compression | None:
    """How a layer of this media type is compressed; None when the type names no layer we read."""
    plain = media_type.replace(".nondistributable", "").replace(".foreign", "")
    if plain in (OCI_LAYER_GZIP, DOCKER_LAYER_GZIP):
        return "gzip"
    if plain in (OCI_LAYER_ZSTD, DOCKER_LAYER_ZSTD):
        return "zstd"
    if plain in (OCI_LAYER, DOCKER_LAYER):
        return "none"
    return None
