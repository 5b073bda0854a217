"""What the store holds, as items that garbage collection and `du` reckon with."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from builder.errors import LayerwrightError
from builder.oci.digest import Digest
from builder.oci.manifest import MAX_MANIFEST, Descriptor, Index, decode
from builder.oci.media import CONFIGS, INDEXES, MANIFESTS
from builder.oci.reference import parse_reference
from builder.store import leases
from builder.store.blobs import BlobStore, DirectoryBlobs
from builder.store.images import ImageName
from builder.store.items import Group, Item
from builder.store.layertable import EMPTY, LayerRecord
from builder.store.space import disk_size
from builder.store.store import Store

_SLACK_NS = 2 * 10**9
"""File systems may keep mtimes in whole seconds, or two; so much earlier a touch by another process may look."""

NEEDED = "an image name needs it"


class Inventory(msgspec.Struct, frozen=True):
    """The items, and the closure of the image names."""

    items: tuple[Item, ...]
    named: frozenset[Digest]

    @property
    def size(self) -> int:
        return sum(item.size for item in self.items)


def take_inventory(store: Store, *, measure: bool = False) -> Inventory:
    """Everything; with `measure`, cache mounts used since they were last measured are walked."""
    needing = _image_closure(store)
    named = frozenset(needing)
    sizes = _blob_sizes(store)
    layers = store.index.layers.all()
    parents = store.index.layers.parents()
    shared = {record.id for record in layers if any(blob.digest in named for blob in record.blobs)}
    owners = {digest: layer for digest, layer in _owners(layers).items() if digest not in named and layer not in shared}
    packed: dict[str, int] = {}
    for digest, layer in owners.items():
        packed[layer] = packed.get(layer, 0) + (disk_size(sizes[digest][0]) if digest in sizes else 0)
    items = [
        _layer_item(_noted(record, needing), parents.get(record.id, ()), packed.get(record.id, 0), record.id in shared) for record in layers
    ]
    items += [
        _blob_item(digest, disk_size(size), used, needing.get(digest)) for digest, (size, used) in sizes.items() if digest not in owners
    ]
    if measure:
        measure_mounts(store)
    items += [
        Item("cache-mount", mount.name, mount.size, mount.used_ns, note=mount.id, group="cache-mount") for mount in store.index.mounts()
    ]
    items += [
        Item("history", build, _logs_size(store, build), began, note=f"logs of build {build}", group="history")
        for build, began in sorted(store.index.build_times().items())
    ]
    return Inventory(tuple(items), named)


def horizon(store: Store) -> int:
    """What was used at this time or later, a living process may be using, this one included."""
    others = leases.oldest_living(store.root / "work", store.lease)
    own = store.lease.started_ns
    return own if others is None else min(own, others - _SLACK_NS)


def _image_closure(store: Store) -> dict[Digest, str]:
    """Every blob that an image name needs, here or not, and the first such name."""
    found: dict[Digest, str] = {}
    for name in store.images.list():
        for digest in closure(store.blobs, name.descriptor):
            found.setdefault(digest, parse_reference(name.reference).familiar)
    return found


def closure(blobs: BlobStore, descriptor: Descriptor) -> frozenset[Digest]:
    """The blob and all that it names, as far as they can be read."""
    found: set[Digest] = set()
    pending = [descriptor]
    while pending:
        blob = pending.pop()
        if blob.digest in found:
            continue
        found.add(blob.digest)
        if blob.media_type in INDEXES | MANIFESTS:
            pending.extend(_named_by(blobs, blob))
    return frozenset(found)


def image_used(blobs: DirectoryBlobs, name: ImageName) -> int:
    """When a name was last set, or what it means used.

    Told by its configs: every use reads one, while collections read the manifests and other images share the layers.
    """
    used = name.updated_ns
    pending = [name.descriptor]
    while pending:
        for blob in _named_by(blobs, pending.pop()):
            if blob.media_type in INDEXES | MANIFESTS:
                pending.append(blob)
            elif blob.media_type in CONFIGS:
                with contextlib.suppress(FileNotFoundError):
                    used = max(used, os.stat(blobs.path(blob.digest)).st_mtime_ns)
    return used


def _named_by(blobs: BlobStore, descriptor: Descriptor) -> Iterable[Descriptor]:
    try:
        document = decode(blobs.read(descriptor.digest, MAX_MANIFEST), descriptor.media_type)
    except LayerwrightError:
        return ()  # absent or broken: fsck says so, collection keeps what it can see
    return document.manifests if isinstance(document, Index) else (document.config, *document.layers)


def _blob_sizes(store: Store) -> dict[Digest, tuple[int, int]]:
    """Size and last use of every blob, without touching it."""
    sizes: dict[Digest, tuple[int, int]] = {}
    for digest in store.blobs.digests():
        try:
            info = os.stat(store.blobs.path(digest))
        except FileNotFoundError:
            continue
        sizes[digest] = (info.st_size, info.st_mtime_ns)
    return sizes


def _owners(layers: Iterable[LayerRecord]) -> dict[Digest, str]:
    """For each blob the layer that was used last of those that have it: it goes with that one."""
    owners: dict[Digest, tuple[int, str]] = {}
    for record in layers:
        for blob in record.blobs:
            owners[blob.digest] = max(owners.get(blob.digest, (-1, "")), (record.used_ns, record.id))
    return {digest: layer for digest, (_, layer) in owners.items()}


def _blob_item(digest: Digest, size: int, used_ns: int, image: str | None) -> Item:
    if image is None:
        return Item("blob", digest, size, used_ns)
    return Item("blob", digest, size, used_ns, kept=NEEDED, note=image, group="image")


def _noted(record: LayerRecord, needing: Mapping[Digest, str]) -> LayerRecord:
    """A base image's layer has no step to be known by, but an image."""
    names = [needing[blob.digest] for blob in record.blobs if blob.digest in needing]
    return msgspec.structs.replace(record, note=names[0]) if names and not record.note else record


def _logs_size(store: Store, build: str) -> int:
    path = store.root / "builds" / build
    return directory_size(path) if path.exists() else 0


_GROUPS: dict[str, Group] = {"base": "base", "built": "step", "merged": "merged"}


def _layer_item(record: LayerRecord, parents: tuple[str, ...], packed: int, shared: bool) -> Item:
    """`packed`: bytes of the blobs that go with it; `shared`: an image name needs its blob, so only the directory can go."""
    group = _GROUPS[record.kind]
    if record.id == EMPTY:
        return Item("layer", record.id, packed, record.used_ns, parents, "it is part of every store", group=group)
    if shared:
        kept = "" if record.directory else NEEDED
        return Item("directory", record.id, record.size, record.used_ns, parents, kept, record.note, group)
    return Item("layer", record.id, record.size + packed, record.used_ns, parents, "", record.note, group)


def measure_mounts(store: Store) -> None:
    """Walks the cache mounts used since they were last measured, and records their sizes."""
    for mount in store.index.mounts():
        if mount.measured_ns <= mount.used_ns:
            now = store.now()
            store.index.measure_mount(mount.name, directory_size(store.root / "caches" / mount.name), now)


def directory_size(path: Path) -> int:
    """Bytes on disk of a tree, each inode once; what goes away meanwhile is not counted."""
    total = 0
    seen: set[tuple[int, int]] = set()
    pending = [os.fspath(path)]
    while pending:
        directory = pending.pop()
        total += disk_size(1)
        try:
            with os.scandir(directory) as entries:
                for entry in entries:
                    info = entry.stat(follow_symlinks=False)
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(entry.path)
                    elif info.st_nlink == 1 or (info.st_dev, info.st_ino) not in seen:
                        seen.add((info.st_dev, info.st_ino))
                        total += info.st_blocks * 512
        except (FileNotFoundError, NotADirectoryError):
            continue
    return total
