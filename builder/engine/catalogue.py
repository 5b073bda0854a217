"""What the store's images are: the list, and one image whole; nothing is fetched."""

from __future__ import annotations

import contextlib

import msgspec

from builder.errors import CorruptionError, NotFoundError
from builder.oci.platform import Platform, host_platform, matches
from builder.oci.reference import parse_reference
from builder.registry.resolved import Resolved, resolve_stored
from builder.store.store import Store
from grammar.diagnostics import suggest


class ImageRow(msgspec.Struct, frozen=True):
    """A line of the list; `size` is of the layers as they are packed, 0 where an image is of other platforms only."""

    name: str
    digest: str
    image_id: str
    updated_ns: int
    size: int


def stored_image(store: Store, reference: str, platform: Platform | None = None) -> Resolved:
    """The image that a name means in this store; raises NotFoundError with the nearest name."""
    name = parse_reference(reference)
    root = store.images.get(str(name))
    if root is None:
        known = {parse_reference(row.reference).familiar for row in store.images.list()}
        near = suggest(name.familiar, sorted(known))
        help = f"did you mean `{near}`?" if near else "`layerwright images` lists what there is"
        raise NotFoundError("image-not-found", f"there is no image {name.familiar} in the store", help=help)
    return resolve_stored(store.blobs, name, root, platform or host_platform())


def runnable_platform(store: Store, reference: str) -> Platform:
    """The platform to run a name for: this machine's, unless the store has the image, and only for another one."""
    host = host_platform()
    with contextlib.suppress(NotFoundError, CorruptionError):
        found = stored_image(store, reference, host).config.platform
        return host if matches(host, found) else found
    return host


def list_images(store: Store) -> tuple[ImageRow, ...]:
    """All names, sorted."""
    rows: list[ImageRow] = []
    for row in store.images.list():
        name = parse_reference(row.reference)
        image: Resolved | None = None
        with contextlib.suppress(NotFoundError, CorruptionError):
            image = resolve_stored(store.blobs, name, row.descriptor, host_platform())
        size = sum(layer.size for layer in image.manifest.layers) if image is not None else 0
        image_id = image.manifest.config.digest if image is not None else ""
        rows.append(ImageRow(name.familiar, row.descriptor.digest, image_id, row.updated_ns, size))
    return tuple(rows)
