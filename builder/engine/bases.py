"""Base images by name: the local store first, then what was resolved before, then the registry."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import msgspec

from builder.errors import CorruptionError, NotFoundError
from builder.graph.plan import BaseImage
from builder.oci.manifest import Descriptor
from builder.oci.platform import Platform, matches
from builder.oci.reference import Reference, parse_reference
from builder.registry.resolved import Resolved, resolve_image
from builder.store.store import Store

if TYPE_CHECKING:
    from builder.registry.client import Registry

EMBEDDED = str(parse_reference("layerwright/base"))  # made on the spot by `layerwright base`; no registry has it
MAX_DOCUMENT = 8 << 20


class BaseImages:
    """A BaseResolver; one reference and platform give one answer as long as it lives."""

    def __init__(
        self, store: Store, registry: Callable[[], Registry], *, pull: bool, layouts: Mapping[str, Descriptor] | None = None
    ) -> None:
        self._store = store
        self._registry = registry
        self._pull = pull
        self._layouts = layouts or {}
        self._known: dict[tuple[str, Platform], BaseImage] = {}

    def resolve(self, reference: str, platform: Platform) -> BaseImage:
        """The image's config and layers; no layer is fetched. Raises NotFoundError or the registry's error."""
        key = (reference, platform)
        if key not in self._known:
            name = parse_reference(reference)
            self._known[key] = _base(reference, self._find(name, platform))
        return self._known[key]

    def _find(self, name: Reference, platform: Platform) -> tuple[Resolved, str]:
        for root, origin in self._local(name, platform):
            found = self._offline(name, root, platform)
            if found is not None:
                return found, origin
        if str(name) == EMBEDDED:
            raise NotFoundError("base-not-made", "layerwright/base is not in the store yet", help="make it with `layerwright base`")
        resolved = self._registry().resolve(name, platform)
        self._store.index.put_setting(_pin_key(name, platform), msgspec.msgpack.encode(resolved.root))
        return resolved, resolved.origin

    def _local(self, name: Reference, platform: Platform) -> list[tuple[Descriptor, str]]:
        """Descriptors that may answer without a network, with the origin of their layers (none: the store itself)."""
        layout = self._layouts.get(str(name))
        if layout is not None:
            return [(layout, "")]
        if self._pull and str(name) != EMBEDDED:
            return []
        found: list[tuple[Descriptor, str]] = []
        stored = self._store.images.get(str(name))
        if stored is not None:
            found.append((stored, ""))
        pinned = self._store.index.get_setting(_pin_key(name, platform))
        if pinned is not None:
            found.append((msgspec.msgpack.decode(pinned, type=Descriptor), name.name))
        return found

    def _offline(self, name: Reference, root: Descriptor, platform: Platform) -> Resolved | None:
        """The image, if all its documents are in the store and it is for the platform."""

        def read(descriptor: Descriptor) -> bytes:
            return self._store.blobs.read(descriptor.digest, MAX_DOCUMENT)

        try:
            resolved = resolve_image(name, root, platform, read)
        except (NotFoundError, CorruptionError):
            return None
        return resolved if matches(platform, resolved.config.platform) else None


def _pin_key(name: Reference, platform: Platform) -> str:
    return f"resolved/{name}/{platform}"


def _base(reference: str, found: tuple[Resolved, str]) -> BaseImage:
    resolved, origin = found
    config = resolved.config
    if len(config.rootfs.diff_ids) != len(resolved.manifest.layers):
        raise CorruptionError(
            "image-layers",
            f"the manifest of {reference} names {len(resolved.manifest.layers)} layers and its config {len(config.rootfs.diff_ids)}",
            help="push the image again",
        )
    return BaseImage(reference, resolved.root.digest, config, resolved.manifest.layers, config.rootfs.diff_ids, origin)
