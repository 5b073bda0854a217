"""The layers of the store as root filesystems: base layers unpacked on demand, drafts committed, layers packed into blobs.

Rules. A layer's directory, once it has a row, never changes; it equals the layer's own tar, so each can be made
from the other: a directory that was collected is unpacked from its blob, a blob is packed from its directory,
and the DiffID must come out the same. What a stack of layers needs is touched before it is used (see
`builder.store.leases`), so another process's garbage collection cannot take it. Everything here is thread-safe.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING

from builder.errors import NotFoundError
from builder.fs.limits import DEFAULT, Limits
from builder.fs.tree import SharedLayers, StackTree
from builder.oci.digest import EMPTY_LAYER, ChainID, DiffID, chain_ids, hex_of
from builder.oci.manifest import Descriptor
from builder.oci.media import Compression
from builder.snapshot.discard import Discarder
from builder.snapshot.draft import Draft
from builder.snapshot.flatten import Flattener
from builder.snapshot.mountpoints import MountPoints
from builder.snapshot.packing import Packer
from builder.snapshot.unpacking import LAYOUT_ORIGIN, BlobFetcher, LayerLost, NoFetcher, Unpacker
from builder.store.layertable import EMPTY, LayerId, LayerRecord, stack_digest
from builder.store.removal import remove_tree
from builder.store.space import disk_size, guard_space
from builder.store.store import Store
from runtime.spec import Directory, Overlay, Root

if TYPE_CHECKING:
    from builder.fs.diff import Changes
    from builder.fs.entries import Entry
    from builder.fs.pack import Opener
    from builder.snapshot.copies import Copies

__all__ = ["EMPTY", "LAYOUT_ORIGIN", "BlobFetcher", "Draft", "LayerId", "LayerLost", "LayerRecord", "Layers"]

_LARGE = 1 << 16
"""From here on a file's blocks are counted, not reckoned."""


class Layers:
    """All layers of a store; a context manager that ends its background work."""

    def __init__(
        self,
        store: Store,
        fetch: BlobFetcher | None = None,
        *,
        overlay: bool = True,
        xattr_prefix: str = "trusted.overlay.",
        limits: Limits = DEFAULT,
        cancel: threading.Event | None = None,
    ) -> None:
        """Once `cancel` is set, packing and unpacking raise BuildCancelled."""
        self._store = store
        self._cancel = cancel or threading.Event()
        self._table = store.index.layers
        self._opaque_xattr = _settled_prefix(store, xattr_prefix) + "opaque"
        self._copies = None if overlay else _copies(store, self._opaque_xattr)
        self._unpacker = Unpacker(store, fetch or NoFetcher(), self._opaque_xattr, limits, self.place, self._cancel)
        self._flattener = Flattener(store, self._opaque_xattr, self.place)
        self._packer = Packer(store, fetch or NoFetcher(), self._opaque_xattr, self.record, self._cancel)
        self._shared = SharedLayers(self._opaque_xattr)
        self._discarder = Discarder()
        self._mount_points = MountPoints(store.scratch_directory)
        self._held: set[LayerId] = set()
        self._lost: set[LayerId] = set()
        self._refused: set[str] = set()
        self._diff_ids: dict[LayerId, DiffID] = {}
        self._stacks: dict[LayerId, tuple[LayerId, ...]] = {}
        self._lock = threading.Lock()

    @property
    def opaque_xattr(self) -> str:
        """The attribute by which a layer's directory says that it hides what lower ones have there."""
        return self._opaque_xattr

    def hear_skipped(self, told: Callable[[tuple[str, ...]], object]) -> None:
        """Who is told the devices of a layer that this user could not make."""
        self._unpacker.skipped = told

    # What there is

    def add_base(self, chain_id: ChainID, diff_id: DiffID, descriptor: Descriptor, origin: str | None) -> LayerId:
        """Makes a base image's layer known; nothing is fetched. Idempotent; a further descriptor is a further form of it."""
        layer = LayerId("base-" + hex_of(chain_id))
        now = self._store.now()
        with self._store.index.database.transaction():
            record = LayerRecord(layer, "base", diff_id, (descriptor,), origin, None, 0, now, now, "", "")
            if not self._table.add(record):
                self._table.add_blob(layer, descriptor)
                if origin is not None:
                    self._table.set_origin(layer, origin)
        self.hold((layer,))
        return layer

    def add_imported(self, below: Sequence[LayerId], diff_id: DiffID, descriptor: Descriptor, origin: str, note: str) -> LayerId | None:
        """Makes a step's layer from another machine known, on top of these; nothing is fetched. Idempotent.

        None when the layers below are not all packed (so nobody can tell whether they are the same), when some
        are gone, or when the origin was refused.
        """
        if diff_id == EMPTY_LAYER:
            return EMPTY
        with self._lock:
            if origin in self._refused:
                return None
        chain = self.chain((*below, diff_id))
        if chain is None:
            return None
        layer = LayerId("import-" + hex_of(chain))
        stack = tuple(name for name in below if name != EMPTY)
        now = self._store.now()
        record = LayerRecord(layer, "built", diff_id, (descriptor,), origin, None, 0, now, now, note, stack_digest(stack))
        if not self.hold(stack):
            return None
        with self._store.index.database.transaction():
            if not self._table.add(record, parents=self._parents(stack)):
                self._table.add_blob(layer, descriptor)
                self._table.set_origin(layer, origin)
        return layer if self.hold((layer,)) else None

    def chain(self, ids: Sequence[LayerId | DiffID]) -> ChainID | None:
        """The ChainID of a stack of layers (or DiffIDs), lowest first; "" for none; None when one was never packed."""
        diff_ids: list[DiffID] = []
        for name in ids:
            diff_id = DiffID(name) if name.startswith("sha256:") else self.diff_id(LayerId(name))
            if diff_id is None:
                return None
            diff_ids.append(diff_id)
        return chain_ids(diff_ids)[-1] if diff_ids else ChainID("")

    def refuse_origin(self, layer: LayerId) -> str | None:
        """This imported layer cannot be had: in this process its origin gives no more layers, and `hold` says of those
        that are only there that they are gone. Returns the origin; None when that was said of the layer before.
        """
        origin = self.record(layer).origin or ""
        away = [
            record.id
            for record in self._table.all()
            if record.kind == "built" and record.origin == origin and not any(self._store.blobs.has(blob.digest) for blob in record.blobs)
        ]
        with self._lock:
            if layer in self._lost:
                return None
            self._refused.add(origin)
            self._lost.update(away, (layer,))
            self._held.difference_update(self._lost)
        return origin

    def record(self, layer: LayerId) -> LayerRecord:
        """NotFoundError when it was collected or never there."""
        found = self._table.get(layer)
        if found is None:
            raise NotFoundError("layer-missing", f"layer {layer} is not in the store", help="build again; what is missing is made anew")
        return found

    def hold(self, ids: Sequence[LayerId]) -> bool:
        """Keeps these from garbage collection as long as this process lives; False when some are gone already.

        A cache record speaks of layers that may have been collected since it was read: hold first, then believe.
        """
        with self._lock:
            if self._lost and any(layer in self._lost for layer in ids):
                return False
            wanted = [layer for layer in ids if layer not in self._held and layer != EMPTY]
        if not wanted:
            return True
        there = self._table.touch(wanted, self._store.now())
        if there:
            with self._lock:
                self._held.update(wanted)
        return there

    # Root filesystems

    def directories(self, ids: Sequence[LayerId]) -> tuple[str, ...]:
        """Absolute overlay-format directories, topmost first; fetches and unpacks what is missing, merges deep stacks.

        A layer that stands in the stack twice, as two like COPY --link make it, is there once: overlayfs refuses one
        directory twice (ELOOP), and whatever the lower one could show the upper one shows over it.
        """
        stack = tuple(layer for layer in ids if layer != EMPTY)
        if not self.hold(stack):
            missing = next(layer for layer in stack if self._table.get(layer) is None)
            self.record(missing)
        with guard_space(self._store.root):
            paths = self._unpacker.directories(stack)
            return tuple(dict.fromkeys(reversed(self._flattener.flatten(stack, paths))))

    def tree(self, ids: Sequence[LayerId]) -> StackTree:
        """The merged view, without a mount."""
        return StackTree.of(self.directories(ids), self._shared)

    def draft(self, ids: Sequence[LayerId]) -> Draft:
        """A draft on top of these layers, lowest first."""
        stack = tuple(layer for layer in ids if layer != EMPTY)
        lowers = self.directories(stack)

        def commit(directory: str, changed: Changes, note: str) -> LayerId:
            return self._add_built(stack, directory, changed, note)

        directory = self._store.scratch_directory("draft-")
        return Draft(directory, lowers, self._opaque_xattr, commit, self._copies, stack, self._shared, self._discarder.discard)

    def step_root(self, draft: Draft) -> Root:
        """The draft's root, for a step to run in."""
        return self._mount_points.below(draft.root())

    @contextmanager
    def scratch_root(self, ids: Sequence[LayerId]) -> Iterator[Root]:
        """A root to write into; the writes are thrown away."""
        with self.draft(ids) as draft:
            yield draft.root()

    @contextmanager
    def mount_root(self, ids: Sequence[LayerId]) -> Iterator[Root]:
        """A root to read only; in copy mode a full copy."""
        if self._copies is None:
            yield Overlay(self.directories(ids))
            return
        stack = tuple(layer for layer in ids if layer != EMPTY)
        with guard_space(self._store.root):
            path = self._copies.readable(stack, self.tree(stack))
        yield Directory(path, read_only=True)

    # Blobs

    def blob(self, layer: LayerId, compression: Compression, level: int | None = None, force: bool = False) -> Descriptor:
        """The layer's packed form, made if there is none; once, also between threads and processes.

        A form in another compression is taken as it is unless `force`. A base layer's form may still be only at
        its origin. Afterwards `record(layer).diff_id` is known.
        """
        self.hold((layer,))
        with guard_space(self._store.root):
            return self._packer.blob(layer, compression, level, force)

    def pack_in_background(self, layer: LayerId, compression: Compression, level: int | None = None) -> None:
        """Starts what `blob` would do; a later `blob` waits for it. Failures are reported there."""
        self.hold((layer,))
        self._packer.start(layer, compression, level)

    def add_packed(
        self, ids: Sequence[LayerId], entries: Iterable[tuple[Entry, Opener | None]], compression: Compression, level: int | None, note: str
    ) -> LayerId:
        """A step's layer of these entries, on top of `ids`, as a blob only; who needs its directory has it unpacked."""
        stack = tuple(layer for layer in ids if layer != EMPTY)
        with guard_space(self._store.root):
            descriptor, diff_id = self._packer.pack_new(entries, compression, level)
        layer, now = LayerId("built-" + os.urandom(8).hex()), self._store.now()
        record = LayerRecord(layer, "built", diff_id, (descriptor,), None, None, 0, now, now, note, stack_digest(stack))
        with self._store.index.database.transaction():
            self._table.add(record, parents=self._parents(stack))
        with self._lock:
            self._held.add(layer)
            self._stacks[layer] = stack
        return layer

    def clamped(self, layer: LayerId, stack: Sequence[LayerId], epoch: int, compression: Compression, level: int | None) -> LayerId:
        """The layer with no file time after `epoch` (seconds): a layer of its own that stands on `stack`; made once."""
        if layer == EMPTY:
            return layer
        name = LayerId(f"{layer}-at-{epoch}")
        if self._table.get(name) is not None and self.hold((name,)):
            return name
        self.directories((*stack, layer))  # the directory is what gets packed: unpacked again if it was collected
        with guard_space(self._store.root):
            descriptor, diff_id = self._packer.clamp(self.record(layer), epoch * 10**9, compression, level)
        now = self._store.now()
        record = LayerRecord(
            name, "built", diff_id, (descriptor,), None, None, 0, now, now, f"{self.record(layer).note} at {epoch}", stack_digest(stack)
        )
        with self._store.index.database.transaction():
            self._table.add(record, parents=self._parents(tuple(stack)))
        self.hold((name,))
        return name

    def verify(self, *, repair: bool = False) -> tuple[LayerId, ...]:
        """The layers whose directories are no longer what they were packed as; reads all of them.

        With `repair` such a directory is unpacked again from its blob when needed, or, without a blob, forgotten.
        """
        wrong = [record for record in self._table.all() if not self._packer.sound(record)]
        for record in wrong if repair else ():
            if not self._table.drop_directory(record.id, record.used_ns):
                self._table.delete_with_descendants(record.id)
        return tuple(record.id for record in wrong)

    def close(self) -> None:
        """Waits for the packing that runs, forgets the packing that waits."""
        self._packer.close()
        self._discarder.close()

    def __enter__(self) -> Layers:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    # Rows

    def diff_id(self, layer: LayerId) -> DiffID | None:
        """What the layer's tar hashes to; None when it was never packed, or is gone."""
        with self._lock:
            known = self._diff_ids.get(layer)
        if known is None:
            record = self._table.get(layer)
            known = record.diff_id if record is not None else None
            if known is not None:
                with self._lock:
                    self._diff_ids[layer] = known
        return known

    def place(self, layer: LayerId, directory: str, size: int, insert: Callable[[str], bool]) -> str | None:
        """Moves a finished directory to its final name and makes its row in one transaction; None when `insert` declines.

        Garbage collection looks for directories without a row inside a transaction, so it sees neither half of this.
        """
        name = f"{layer[:2]}{os.urandom(6).hex()}"
        path = str(self._store.root / "layers" / name)
        inserted = False
        try:
            with self._store.lease.placing(name), self._store.index.database.transaction():
                os.rename(directory, path)
                inserted = insert(name)
        finally:
            if not inserted:
                remove_tree(path)
        return path if inserted else None

    def _add_built(self, stack: tuple[LayerId, ...], directory: str, changed: Changes, note: str) -> LayerId:
        if changed.empty:
            return EMPTY
        layer = LayerId("built-" + os.urandom(8).hex())
        size = disk_size(1) + sum(_on_disk(directory, entry) for entry in changed.entries)
        now = self._store.now()

        def insert(name: str) -> bool:
            record = LayerRecord(layer, "built", None, (), None, name, size, now, now, note, stack_digest(stack))
            return self._table.add(record, parents=self._parents(stack), boot=self._store.boot)

        path = self.place(layer, directory, size, insert)
        with self._lock:
            self._held.add(layer)
            self._stacks[layer] = stack
        self._unpacker.remember(layer, path)
        return layer

    def _parents(self, stack: tuple[LayerId, ...]) -> list[LayerId]:
        """The fewest layers that, with what they stand on themselves, are the whole stack."""
        parents: list[LayerId] = []
        rest = stack
        while rest:
            top, rest = rest[-1], rest[:-1]
            parents.append(top)
            if self._stands_on(top, rest):
                break
        return parents

    def _stands_on(self, layer: LayerId, stack: tuple[LayerId, ...]) -> bool:
        known = self._stacks.get(layer)
        if known is not None:
            return known == stack
        record = self._table.get(layer)
        return record is not None and record.kind == "built" and record.stack == stack_digest(stack)


def _on_disk(directory: str, entry: Entry) -> int:
    if entry.kind == "file" and entry.size < _LARGE:
        return disk_size(entry.size)
    if entry.kind == "file":  # it may be sparse
        return os.lstat(os.path.join(directory, entry.path)).st_blocks * 512
    return disk_size(1) if entry.kind == "dir" else 0


def _settled_prefix(store: Store, prefix: str) -> str:
    """The first use of a store decides how its directories mark what they hide; another user's mode could not read them."""
    settled = store.index.settle_setting("xattr-prefix", prefix.encode()).decode()
    if settled != prefix:
        raise NotFoundError(
            "store-mode",
            f"the store {store.root} was made with {settled}* attributes, and this process can only use {prefix}*",
            help="use another directory with --root for builds as another user",
        )
    return settled


def _copies(store: Store, opaque_xattr: str) -> Copies:
    from builder.snapshot.copies import Copies

    return Copies(store, opaque_xattr)
