"""What can be done with the images of the store: pull, push, name, remove, save, load."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import msgspec

from builder.engine.catalogue import list_images
from builder.engine.workshop import Workshop
from builder.errors import LayerwrightError, NotFoundError, UsageError
from builder.export.archive import write_archive
from builder.export.docker import docker_tables
from builder.export.oci import index_entries, layout_files
from builder.export.sink import open_sink
from builder.image.archives import Loaded, load_archive, load_layout
from builder.oci.digest import Digest
from builder.oci.manifest import MAX_MANIFEST, Descriptor, Index, Manifest, decode
from builder.oci.platform import Platform, host_platform
from builder.oci.reference import Reference, parse_reference
from builder.registry.resolved import resolve_stored
from builder.snapshot.layers import LAYOUT_ORIGIN
from builder.store.layout import Layout, closure, write_layout
from builder.store.store import Store
from grammar.diagnostics import suggest


class Removed(msgspec.Struct, frozen=True):
    """A name that is gone, and whether it was the last one of what it named."""

    name: str
    digest: str
    last: bool


def pull(shop: Workshop, text: str, platform: Platform | None) -> tuple[Reference, Descriptor]:
    """Fetch an image for a platform (None: all), whole, and name it in the store."""
    name = parse_reference(text)
    descriptor = shop.registry().pull(name, platform)
    shop.store.images.set(str(name), descriptor)
    return name, descriptor


def push(shop: Workshop, text: str, target: str | None, platform: Platform | None) -> tuple[Reference, Descriptor]:
    """Push an image of the store under its own name or another; with a platform, only that image of an index."""
    name, root = find(shop.store, text)
    goal = parse_reference(target) if target is not None else name
    if goal.digest is not None:
        raise UsageError("name-with-digest", f"{goal.familiar} is no name to push to, for it has a digest", help="name a tag")
    descriptor = root if platform is None else resolve_stored(shop.store.blobs, name, root, platform).descriptor
    shop.registry().push(goal, msgspec.structs.replace(descriptor, platform=None), origins=_registries(origins(shop.store)))
    return goal, descriptor


def tag(store: Store, text: str, new: str) -> Reference:
    """One more name for an image."""
    _, descriptor = find(store, text)
    name = parse_reference(new)
    if name.digest is not None:
        raise UsageError("name-with-digest", f"{new} is no new name, for it has a digest", help="write NAME[:TAG]")
    store.images.set(str(name), descriptor)
    return name


def remove(store: Store, text: str) -> tuple[Removed, ...]:
    """Forget a name, or all names of an image id; the bytes go with the next prune."""
    removed: list[Removed] = []
    for name in _names(store, text):
        descriptor = store.images.get(str(name))
        if descriptor is not None and store.images.delete(str(name)):
            last = all(row.descriptor.digest != descriptor.digest for row in store.images.list())
            removed.append(Removed(name.familiar, descriptor.digest, last))
    return tuple(removed)


def save(shop: Workshop, texts: Sequence[str], dest: str, kind: str, platform: Platform | None, stdout: BinaryIO | None) -> None:
    """Write images as one archive: `oci` with all platforms that are here (or one), `docker` with one; or as a layout `dir`."""
    entries: list[Descriptor] = []
    images: list[tuple[Manifest, tuple[Reference, ...]]] = []
    for name, root in (find(shop.store, text) for text in texts):
        descriptor = _whole(shop, name, root, platform, one=kind == "docker")
        names = () if name.digest is not None else (name,)
        entries += index_entries(msgspec.structs.replace(descriptor, platform=None), names, None)
        document = decode(shop.store.blobs.read(descriptor.digest, MAX_MANIFEST), descriptor.media_type)
        if isinstance(document, Manifest):
            images.append((document, names))
    if kind == "dir":
        write_layout(Path(dest), entries, shop.store.blobs)
        return
    blobs = [part for entry in entries for part in closure(shop.store.blobs, entry)]
    files = layout_files(tuple(entries))
    if kind == "docker":
        files.update(docker_tables(images))
    with open_sink(dest, stdout) as write:
        write_archive(write, files, shop.store.blobs, blobs)


def load(store: Store, stream: BinaryIO | None, directory: Path | None, name: str | None) -> tuple[Loaded, ...]:
    """Bring the images of an archive or a layout directory into the store, under their names or (for one) another."""
    loaded = load_layout(Layout.at(directory), store.blobs) if directory is not None else ()
    if stream is not None:
        loaded = load_archive(stream, store.blobs)
    if name is not None:
        if len(loaded) != 1:
            raise UsageError("load-name", f"--name is for an archive of one image, and this one has {len(loaded)}", help="leave --name out")
        loaded = (msgspec.structs.replace(loaded[0], names=(parse_reference(name),)),)
    for image in loaded:
        for reference in image.names:
            store.images.set(str(reference), image.descriptor)
    return loaded


def find(store: Store, text: str) -> tuple[Reference, Descriptor]:
    """What a name or the beginning of an image id means in this store; raises NotFoundError with the nearest name."""
    name = _names(store, text)[0]
    descriptor = store.images.get(str(name))
    if descriptor is None:
        raise _unknown(store, name)
    return name, descriptor


def origins(store: Store) -> dict[Digest, str]:
    """Where blobs of layers can be had: registry/repository, or a layout."""
    return {blob.digest: record.origin for record in store.index.layers.all() if record.origin for blob in record.blobs}


def _registries(where: dict[Digest, str]) -> dict[Digest, str]:
    return {digest: origin for digest, origin in where.items() if not origin.startswith(LAYOUT_ORIGIN)}


def _names(store: Store, text: str) -> tuple[Reference, ...]:
    """A name that is there, else every name of the image whose id begins so."""
    identity = text.removeprefix("sha256:")
    hexadecimal = 6 <= len(identity) <= 64 and all(ch in "0123456789abcdef" for ch in identity)
    name = None if text.startswith("sha256:") else parse_reference(text)
    if name is not None and store.images.get(str(name)) is not None:
        return (name,)
    if hexadecimal:
        rows = [row for row in list_images(store) if row.image_id.removeprefix("sha256:").startswith(identity)]
        if len({row.image_id for row in rows}) > 1:
            raise UsageError("image-ambiguous", f"several images have an id that begins with {identity}", help="write more of it")
        if rows:
            return tuple(parse_reference(row.name) for row in rows)
    if name is None:
        raise NotFoundError("image-not-found", f"there is no image {text} in the store", help="`layerwright images` lists what there is")
    raise _unknown(store, name)


def _unknown(store: Store, name: Reference) -> NotFoundError:
    near = suggest(name.familiar, sorted(parse_reference(row.reference).familiar for row in store.images.list()))
    help = f"did you mean `{near}`?" if near else "`layerwright images` lists what there is"
    return NotFoundError("image-not-found", f"there is no image {name.familiar} in the store", help=help)


def _whole(shop: Workshop, name: Reference, root: Descriptor, platform: Platform | None, *, one: bool) -> Descriptor:
    """What to save of an image: the index when all of it is here, else the image of a platform; its blobs are in the store then."""
    blobs = shop.store.blobs
    document = decode(blobs.read(root.digest, MAX_MANIFEST), root.media_type)
    if isinstance(document, Index) and (one or platform is not None or not all(blobs.has(child.digest) for child in document.manifests)):
        root = resolve_stored(blobs, name, root, platform or host_platform()).descriptor
    where = origins(shop.store)
    for part in closure(blobs, root):
        if not blobs.has(part.digest):
            if part.digest not in where:
                raise LayerwrightError(
                    "blob-missing",
                    f"{name.familiar} is not whole: {part.digest} is missing",
                    help=f"pull it: layerwright pull {name.familiar}",
                )
            shop.fetch(part, where[part.digest])
    return root
