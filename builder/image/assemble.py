"""Layers, config and history to a manifest, and manifests to an index.

OCI image-spec config.md and manifest.md; history as BuildKit's exporter writes it (reference 1.3 "history entry"):
a step without a layer has the time of the nearest earlier one, or of the first new layer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from builder.graph.plan import BaseImage, BuildPlan, HistoryItem
from builder.graph.vertex import VertexID
from builder.image.model import BuildResult, Image
from builder.image.options import AnnotationKind, ImageOptions
from builder.oci.config import History, ImageConfig, RootFS, encode_config
from builder.oci.manifest import Descriptor, Index, Manifest, describe, encode
from builder.oci.media import (
    DOCKER_CONFIG,
    DOCKER_LIST,
    DOCKER_MANIFEST,
    OCI_CONFIG,
    OCI_INDEX,
    OCI_MANIFEST,
    layer_compression,
    layer_media_type,
)
from builder.oci.platform import Platform
from builder.snapshot.layers import LayerId, Layers
from builder.solver.results import RootResult
from builder.solver.solve import Solution, format_time
from builder.store.blobs import BlobStore

if TYPE_CHECKING:
    from builder.image.findings import Look

COMMENT = "buildkit.dockerfile.v0"
"""Kept as BuildKit writes it: tools tell by it how to read created_by."""


def assemble(
    plan: BuildPlan, solution: Solution, layers: Layers, blobs: BlobStore, options: ImageOptions, look: Look | None = None
) -> Image:
    """The image of one platform; its config and manifest are in `blobs`, its layers packed or known by origin.

    `look` finds this machine's cache records, for an inline cache.
    """
    ids = _clamped(plan, solution.target, layers, options)
    descriptors = tuple(_descriptor(layers, layer, options) for layer in ids)
    diff_ids = tuple(diff_id for layer in ids if (diff_id := layers.diff_id(layer)) is not None)
    history = complete_history(base_history(plan.base), plan.history, solution.roots, len(ids), options.epoch)
    config = msgspec.structs.replace(
        plan.config,
        created=history[-1].created if history else (None if options.epoch is None else format_time(options.epoch * 10**9)),
        rootfs=RootFS(diff_ids=diff_ids),
        history=history,
    )
    extra: dict[str, bytes] = {}
    if options.inline_cache and look is not None:
        from builder.cache.artifact import INLINE_KEY
        from builder.image.findings import inline_cache

        extra[INLINE_KEY] = inline_cache(plan, solution, ids, descriptors, look, layers)
    return write_image(config, descriptors, plan.platform, ids, blobs, options, extra)


def write_image(
    config: ImageConfig,
    descriptors: Sequence[Descriptor],
    platform: Platform,
    ids: tuple[LayerId, ...],
    blobs: BlobStore,
    options: ImageOptions,
    extra: Mapping[str, bytes] | None = None,
) -> Image:
    """Encode config (with `extra` keys) and manifest and put both into `blobs`."""
    config_raw = encode_config(config, extra)
    config_descriptor = describe(config_raw, OCI_CONFIG if options.oci_media_types else DOCKER_CONFIG)
    manifest = Manifest(
        config_descriptor,
        tuple(descriptors),
        media_type=OCI_MANIFEST if options.oci_media_types else DOCKER_MANIFEST,
        annotations=_annotations(options, "manifest", platform),
    )
    manifest_raw = encode(manifest)
    put_blob(blobs, config_raw)
    put_blob(blobs, manifest_raw)
    return Image(platform, manifest, manifest_raw, config, config_raw, ids)


def combine_images(images: tuple[Image, ...], blobs: BlobStore, options: ImageOptions, *, index: bool) -> BuildResult:
    """One image as it is, or an index over several (or over one, where `index` asks for it)."""
    if len(images) == 1 and not index:
        return BuildResult(images, None, msgspec.structs.replace(images[0].descriptor, platform=None))
    manifests = tuple(
        msgspec.structs.replace(image.descriptor, annotations=_annotations(options, "manifest-descriptor", image.platform))
        for image in images
    )
    media_type = OCI_INDEX if options.oci_media_types else DOCKER_LIST
    raw = encode(Index(manifests, media_type=media_type, annotations=_annotations(options, "index", None)))
    put_blob(blobs, raw)
    return BuildResult(images, raw, describe(raw, media_type))


def put_blob(blobs: BlobStore, data: bytes) -> None:
    """Store bytes under their digest; nothing is written where they are already."""
    from builder.oci.digest import digest_of

    digest = digest_of(data)
    if blobs.has(digest):
        return
    with blobs.writer() as writer:
        writer.write(data)
        writer.commit(digest)


def _annotations(options: ImageOptions, kind: AnnotationKind, platform: Platform | None) -> dict[str, str]:
    """The annotations of one document; one without a platform goes on all."""
    return {note.key: note.value for note in options.annotations if note.kind == kind and note.platform in (None, platform)}


def _clamped(plan: BuildPlan, root: RootResult, layers: Layers, options: ImageOptions) -> tuple[LayerId, ...]:
    """The layers, those of ours with file times clamped to the epoch where rewrite-timestamp asks for it."""
    if not options.rewrite_timestamp or options.epoch is None:
        return root.layers
    base = len(plan.base.diff_ids) if plan.base is not None else 0
    stack = root.layers[:base]
    for layer in root.layers[base:]:
        stack = (*stack, layers.clamped(layer, stack, options.epoch, options.compression, options.level))
    return stack


def _descriptor(layers: Layers, layer: LayerId, options: ImageOptions) -> Descriptor:
    packed = layers.blob(layer, options.compression, options.level, force=options.force)
    compression = layer_compression(packed.media_type) or "none"
    return Descriptor(layer_media_type(compression, docker=not options.oci_media_types), packed.digest, packed.size)


# -- history ----------------------------------------------------------------------------------------------


def base_history(base: BaseImage | None) -> tuple[History, ...]:
    """The base's lines, with one made up for each layer its history does not tell of."""
    if base is None:
        return ()
    lines = base.config.history or ()
    told = sum(not line.empty_layer for line in lines)
    return (*lines, *(History(comment="layerwright.base") for _ in range(len(base.diff_ids) - told)))


def complete_history(
    base: tuple[History, ...], items: Sequence[HistoryItem], roots: Mapping[VertexID, RootResult], layer_count: int, epoch: int | None
) -> tuple[History, ...]:
    """All lines with their times; the lines that say they have a layer are exactly `layer_count`."""
    fixed = None if epoch is None else format_time(epoch * 10**9)
    lines = list(base)
    for item in items:
        root = roots.get(item.vertex) if item.vertex is not None else None
        made = root is not None and root.own is not None
        created = fixed or (root.created if root is not None and made else None)
        lines.append(History(created=created, created_by=item.created_by, comment=COMMENT, empty_layer=not made))
    lines = _without_surplus(lines, layer_count)
    assert sum(not line.empty_layer for line in lines) == layer_count, "history and layers disagree"
    return tuple(_with_times(lines))


def _without_surplus(lines: list[History], layer_count: int) -> list[History]:
    """A base's history may tell of more layers than there are; as in BuildKit's exporter, lines then have none from where they run out."""
    filled = 0
    kept: list[History] = []
    for line in lines:
        filled += not line.empty_layer
        kept.append(line if filled <= layer_count else msgspec.structs.replace(line, empty_layer=True))
    return kept


def _with_times(lines: list[History]) -> list[History]:
    """Fill in missing times: the time before, or the first new layer's, or else the last one known."""
    fill: str | None = None
    missing = False
    for line in lines:
        if line.created is not None:
            fill = line.created
            if missing:
                break
        else:
            missing = True
    missing = False
    filled: list[History] = []
    for line in lines:
        if line.created is not None:
            if missing:
                fill = line.created
            filled.append(line)
        else:
            missing = True
            filled.append(msgspec.structs.replace(line, created=fill))
    return filled
