"""Two images compared whole: what differs, section by section, as a stream."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import msgspec

from builder.compare.differences import SECTIONS, Difference, Section
from builder.compare.document import compare_configs, compare_histories, compare_layers, compare_manifests
from builder.compare.files import compare_files
from builder.compare.listing import Listing, list_layer
from builder.compare.stack import merged
from builder.errors import CorruptionError
from builder.oci.digest import Digest
from builder.oci.manifest import Descriptor
from builder.registry.resolved import Resolved
from builder.store.blobs import VerifiedReader

MAX_LAYERS = 1_000
"""Of an image whose files are compared: each is an open file."""

OpenBlob = Callable[[Descriptor], AbstractContextManager[VerifiedReader]]


class Side(msgspec.Struct, frozen=True):
    """One of the two: an image, what it is called, and how its blobs are had."""

    title: str
    image: Resolved
    open: OpenBlob


class CompareOptions(msgspec.Struct, frozen=True):
    """`ignore_time`: times of files, of the config and of the history; then layers' digests, which follow from
    them, are not compared either."""

    sections: Collection[Section] = SECTIONS
    ignore_time: bool = False


class Listings:
    """Layers read so far, each blob once; the files live in a directory of the caller's."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._known: dict[Digest, Listing] = {}
        self._count = 0

    def of(self, side: Side, count: int | None = None) -> tuple[Listing, ...]:
        """The lowest `count` layers of an image, or all; raises CorruptionError where a layer is not what its config says."""
        layers = side.image.manifest.layers[:count]
        if len(layers) > MAX_LAYERS:
            raise CorruptionError("too-many-layers", f"{side.title} has {len(layers)} layers; more than {MAX_LAYERS} are not compared")
        return tuple(self.layer(side, number) for number in range(len(layers)))

    def layer(self, side: Side, number: int) -> Listing:
        """One layer, counted from 0; those below it are read only for hard links into them."""
        layer, diff_id = side.image.manifest.layers[number], side.image.config.rootfs.diff_ids[number]
        if layer.digest not in self._known:
            self._known[layer.digest] = self._read(side, layer, number)
        listing = self._known[layer.digest]
        if listing.diff_id != diff_id:
            raise CorruptionError(
                "layer-diff-id", f"the layer {layer.digest} of {side.title} unpacks to {listing.diff_id}, but its image says {diff_id}"
            )
        return listing

    def _read(self, side: Side, layer: Descriptor, number: int) -> Listing:
        self._count += 1
        with side.open(layer) as reader:
            file = self._directory / f"layer-{self._count}"
            listing = list_layer(reader, file, lambda: (node for node, _ in merged(self.of(side, number))))
            reader.drain()
        return listing


def compare_images(one: Side, other: Side, listings: Listings, options: CompareOptions) -> Iterator[Difference]:
    """All that differs, in the order of SECTIONS; nothing for two images of one manifest."""
    if one.image.manifest_raw == other.image.manifest_raw:
        return
    wanted = options.sections
    if "manifest" in wanted:
        yield from compare_manifests(one.image, other.image)
    if "config" in wanted:
        yield from compare_configs(one.image, other.image, ignore_time=options.ignore_time)
    if "history" in wanted:
        yield from compare_histories(one.image, other.image, ignore_time=options.ignore_time)
    if "layers" in wanted and not options.ignore_time:
        yield from compare_layers(one.image, other.image)
    if "files" in wanted and _digests(one) != _digests(other):
        yield from compare_files(merged(listings.of(one)), merged(listings.of(other)), ignore_time=options.ignore_time)


def _digests(side: Side) -> tuple[tuple[Digest, str], ...]:
    return tuple(
        (layer.digest, diff_id) for layer, diff_id in zip(side.image.manifest.layers, side.image.config.rootfs.diff_ids, strict=True)
    )
