"""Cache mounts that travel: the directory of a `RUN --mount=type=cache` as a tar in the cache, and back.

Only mounts without a source of their own (`from=`): what seeds those is named by ids of one store. A mount that a
running step has is not exported, for its files may change while they are read. What is imported fills a mount that
is new on this machine, and only when a step that runs asks for it.
"""

from __future__ import annotations

import os

from builder.cache.portable import Layer
from builder.errors import CorruptionError
from builder.oci.manifest import Descriptor
from builder.oci.media import Compression, layer_media_type
from builder.store.blobs import BlobStore
from builder.store.cachemounts import CacheMounts, directory_name
from builder.store.removal import remove_tree
from builder.store.store import Store


def pack_mount(store: Store, mount_id: str, compression: Compression, level: int | None) -> Layer | None:
    """The mount of this id as a blob of the store; None when it is not there, is empty, or is in use."""
    name = f"{directory_name(mount_id)}.0"
    path = store.root / "caches" / name
    lock = CacheMounts(store).lock(name)
    if not path.is_dir() or not lock.try_acquire():
        return None
    from builder.fs.pack import pack
    from builder.fs.scan import layer_entries

    try:
        if not any(path.iterdir()):
            return None
        with store.blobs.writer() as writer:
            packed = pack(layer_entries(str(path)), compression, level, writer.write)
            digest, size = writer.commit(packed.digest)
    finally:
        lock.release()
    return Layer.of(packed.diff_id, Descriptor(layer_media_type(compression), digest, size))


def unpack_mount(blobs: BlobStore, layer: Layer, directory: str) -> None:
    """Fill a new mount's empty directory from a blob of the store; an error leaves it empty."""
    from builder.fs.compress import decompress
    from builder.fs.tree import EmptyTree
    from builder.fs.unpack import unpack

    try:
        with blobs.open(layer.descriptor.digest) as reader:
            unpacked = unpack(decompress(reader), directory, EmptyTree())
            reader.drain()
        if unpacked.diff_id != layer.diff_id:
            raise CorruptionError("layer-diff-id", f"the cache mount in {layer.digest} is not what its cache says")
    except BaseException as error:
        for name in os.listdir(directory):
            remove_tree(os.path.join(directory, name))
        if isinstance(error, OSError):
            raise CorruptionError("mount-unusable", f"the cache mount in {layer.digest} cannot be unpacked: {error.strerror}") from error
        raise
