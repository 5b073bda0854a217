"""Blobs from layers: packed from the directory, or repacked from another blob; in the background if asked to.

The libraries of compression are loaded by the first packing: a build that finds everything cached has none.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING

from msgspec import structs

from builder.errors import BuildCancelled, CorruptionError
from builder.fs.entries import Entry
from builder.oci.digest import DiffID
from builder.oci.manifest import Descriptor
from builder.oci.media import Compression, layer_compression, layer_media_type
from builder.snapshot.unpacking import BlobFetcher, fetched
from builder.store.layertable import EMPTY, LayerId, LayerRecord
from builder.store.store import Store

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

    from builder.fs.pack import Opener

THREADS = 2
"""Layers packed at once; each mostly waits in hashing and compression, outside the interpreter's lock."""


class Packer:
    """Makes packed forms; thread-safe."""

    def __init__(
        self, store: Store, fetch: BlobFetcher, opaque_xattr: str, record: Callable[[LayerId], LayerRecord], cancel: threading.Event
    ) -> None:
        self._store = store
        self._fetch = fetch
        self._opaque_xattr = opaque_xattr
        self._record = record
        self._cancel = cancel
        self._pool: ThreadPoolExecutor | None = None
        self._started: dict[tuple[LayerId, Compression], Future[Descriptor]] = {}
        self._lock = threading.Lock()

    def start(self, layer: LayerId, compression: Compression, level: int | None) -> None:
        """Begins to pack in the background unless that has begun already."""
        with self._lock:
            if (layer, compression) in self._started:
                return
            if self._pool is None:
                from concurrent.futures import ThreadPoolExecutor

                self._pool = ThreadPoolExecutor(THREADS, "pack")
            self._started[layer, compression] = self._pool.submit(self._locked, layer, compression, level, False)

    def blob(self, layer: LayerId, compression: Compression, level: int | None, force: bool) -> Descriptor:
        """See `Layers.blob`."""
        with self._lock:
            started = self._started.pop((layer, compression), None)
        if started is not None and not started.cancel():
            with suppress(BuildCancelled):  # a build that begins once more, without a cache that was lost, makes it anew
                started.result()
        return self._find(self._record(layer), compression, force) or self._locked(layer, compression, level, force)

    def clamp(self, record: LayerRecord, epoch_ns: int, compression: Compression, level: int | None) -> tuple[Descriptor, DiffID]:
        """Another layer's blob: this one's files, with no mtime after `epoch_ns` (BuildKit's rewrite-timestamp)."""
        return self._pack(record, compression, level, lambda entry: structs.replace(entry, mtime_ns=min(entry.mtime_ns, epoch_ns)))

    def pack_new(
        self, entries: Iterable[tuple[Entry, Opener | None]], compression: Compression, level: int | None
    ) -> tuple[Descriptor, DiffID]:
        """The blob of a layer that has no row yet."""
        from builder.fs.pack import pack
        from builder.snapshot.cancelling import CancellableSink

        with self._store.blobs.writer() as writer:
            packed = pack(entries, compression, level, CancellableSink(writer, self._cancel))
            digest, size = writer.commit(packed.digest)
        return Descriptor(layer_media_type(compression), digest, size), packed.diff_id

    def sound(self, record: LayerRecord) -> bool:
        """Whether the directory of a step's layer still packs to the DiffID it had; True when that cannot be told."""
        if not _packed_here(record) or record.dir is None or record.diff_id is None:
            return True
        from builder.fs.pack import pack
        from builder.fs.scan import layer_entries

        entries = layer_entries(str(self._store.root / "layers" / record.dir), self._opaque_xattr)
        return pack(entries, "none", None, lambda data: None).diff_id == record.diff_id

    def close(self) -> None:
        """Waits for what runs."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def _locked(self, layer: LayerId, compression: Compression, level: int | None, force: bool) -> Descriptor:
        with self._store.lock(f"pack-{layer}").acquire(self._cancel):
            record = self._record(layer)
            found = self._find(record, compression, force)
            if found is not None:
                return found
            descriptor, diff_id = self._make(record, compression, level)
            if record.diff_id is not None and diff_id != record.diff_id:
                raise CorruptionError(
                    "layer-diff-id", f"layer {layer} packs to {diff_id}, but was {record.diff_id}", help="run `layerwright fsck --repair`"
                )
            with self._store.index.database.transaction():
                self._store.index.layers.set_diff_id(layer, diff_id)
                self._store.index.layers.add_blob(layer, descriptor)
            return descriptor

    def _find(self, record: LayerRecord, compression: Compression, force: bool) -> Descriptor | None:
        """A form that is here or at the origin; the one asked for first, then, unless forced, any."""
        usable = [blob for blob in record.blobs if record.origin is not None or self._store.blobs.has(blob.digest)]
        fitting = [blob for blob in usable if layer_compression(blob.media_type) == compression]
        return next(iter(fitting if force else fitting + usable), None)

    def _make(self, record: LayerRecord, compression: Compression, level: int | None) -> tuple[Descriptor, DiffID]:
        # The directory of a layer from elsewhere has lost how its tar was written (order, long names): only its blob will do.
        if record.id == EMPTY or (record.dir is not None and _packed_here(record)):
            return self._pack(record, compression, level)
        return self._repack(record, compression, level)

    def _pack(
        self, record: LayerRecord, compression: Compression, level: int | None, change: Callable[[Entry], Entry] | None = None
    ) -> tuple[Descriptor, DiffID]:
        from builder.fs.scan import layer_entries

        entries = layer_entries(str(self._store.root / "layers" / record.dir), self._opaque_xattr) if record.dir else ()
        return self.pack_new(((change(entry), opener) for entry, opener in entries) if change else entries, compression, level)

    def _repack(self, record: LayerRecord, compression: Compression, level: int | None) -> tuple[Descriptor, DiffID]:
        from builder.fs.compress import decompress
        from builder.fs.pack import repack
        from builder.snapshot.cancelling import CancellableSink

        source = fetched(self._store, self._fetch, record)
        with self._store.blobs.open(source.digest) as reader, self._store.blobs.writer() as writer:
            packed = repack(decompress(reader), compression, level, CancellableSink(writer, self._cancel))
            reader.drain()
            digest, size = writer.commit(packed.digest)
        return Descriptor(layer_media_type(compression), digest, size), packed.diff_id


def _packed_here(record: LayerRecord) -> bool:
    """Whether the layer's tar is ours: not a base image's, nor one that another machine's cache gave."""
    return record.kind == "built" and record.origin is None
