"""Layer directories from blobs: fetched and unpacked when first needed, in parallel, and once between all processes.

What unpacking needs is loaded by the first unpacking: a build that finds everything cached has none.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Protocol

from builder.errors import CorruptionError, NotFoundError
from builder.fs.entries import Entry
from builder.fs.limits import Limits
from builder.fs.tree import StackTree
from builder.oci.manifest import Descriptor
from builder.store.arrivals import ArrivalBroken, ArrivingReader
from builder.store.blobs import VerifiedReader, missing_blob
from builder.store.layertable import LayerId, LayerRecord
from builder.store.store import Store

if TYPE_CHECKING:
    from concurrent.futures import Future

THREADS = 4
"""Layers fetched and unpacked at once; downloads overlap with unpacking."""


LAYOUT_ORIGIN = "layout:"
"""Before the path of an OCI layout, where a layer's origin is a directory and not `registry/repository`."""


class BlobFetcher(Protocol):
    """Brings blobs from where they come from into the store."""

    def fetch(self, descriptor: Descriptor, origin: str) -> None:
        """Puts the blob into the store, verified; idempotent; thread-safe. NotFoundError when the origin has it no more."""
        ...


class LayerLost(NotFoundError):
    """A layer that another machine's cache promised cannot be had: what it stood for has to be made here after all."""

    def __init__(self, layer: LayerId, message: str) -> None:
        super().__init__("cached-layer-lost", message, help="build again; the step runs then")
        self.layer = layer


class NoFetcher:
    """Fetches nothing: what is not in the store is missing."""

    def fetch(self, descriptor: Descriptor, origin: str) -> None:
        raise missing_blob(descriptor.digest)


class Place(Protocol):
    """See `Layers.place`."""

    def __call__(self, layer: LayerId, directory: str, size: int, insert: Callable[[str], bool]) -> str | None: ...


class Unpacker:
    """Knows where layers are unpacked, and unpacks them."""

    def __init__(self, store: Store, fetch: BlobFetcher, opaque_xattr: str, limits: Limits, place: Place, cancel: threading.Event) -> None:
        self._store = store
        self._fetch = fetch
        self._opaque_xattr = opaque_xattr
        self._limits = limits
        self._place = place
        self._cancel = cancel
        self._paths: dict[LayerId, str] = {}
        self._latest: tuple[tuple[LayerId, ...], tuple[str, ...]] = ((), ())
        self._lock = threading.Lock()
        self.skipped: Callable[[tuple[str, ...]], object] = lambda paths: None
        """Told the devices that this user could not make."""

    def directories(self, stack: Sequence[LayerId]) -> tuple[str, ...]:
        """The directory of each layer, lowest first as given; the caller holds them all."""
        # A build asks for one stack after another, each a layer higher: all but the last layers were known the last time.
        before, known = self._latest
        if tuple(stack[: len(before)]) != before:
            before, known = (), ()
        paths = [*known, *(self._known(layer) for layer in stack[len(before) :])]
        missing = [position for position, path in enumerate(paths) if path is None]
        if len(missing) == 1:
            (position,) = missing
            lower = StackTree(tuple(reversed([path for path in paths[:position] if path is not None])), self._opaque_xattr, frozen=True)
            paths[position] = self._unpacked(stack[position], lower)
        elif missing:
            paths = list(self._all(stack, paths, missing))
        found = tuple(path for path in paths if path is not None)
        self._latest = (tuple(stack), found)
        return found

    def _all(self, stack: Sequence[LayerId], paths: Sequence[str | None], missing: Sequence[int]) -> tuple[str, ...]:
        """Unpacks several at once. A layer may ask for the tree below it, and then waits for those layers.

        Tasks start lowest first, so whatever a running task waits for is running or done: no deadlock.
        """
        from concurrent.futures import Future, ThreadPoolExecutor

        futures: list[Future[str] | str] = [path or Future() for path in paths]

        def below(position: int) -> tuple[str, ...]:
            found = [future if isinstance(future, str) else future.result() for future in futures[:position]]
            return tuple(reversed(found))

        with ThreadPoolExecutor(min(THREADS, len(missing)), "unpack") as pool:
            for position in missing:
                futures[position] = pool.submit(self._unpacked, stack[position], LaterTree(partial(below, position), self._opaque_xattr))
            return tuple(future if isinstance(future, str) else future.result() for future in futures)

    def remember(self, layer: LayerId, path: str | None) -> None:
        """Where this layer's directory was made a moment ago."""
        if path is not None:
            with self._lock:
                self._paths[layer] = path

    def _known(self, layer: LayerId) -> str | None:
        with self._lock:
            path = self._paths.get(layer)
        if path is not None:
            return path
        record = self._store.index.layers.get(layer)
        return None if record is None else self._existing(record)

    def _existing(self, record: LayerRecord) -> str | None:
        if record.dir is None:
            return None
        path = str(self._store.root / "layers" / record.dir)
        if not os.path.isdir(path):
            return None
        with self._lock:
            self._paths[record.id] = path
        return path

    def _unpacked(self, layer: LayerId, lower: StackTree | LaterTree) -> str:
        with self._store.lock(f"unpack-{layer}").acquire(self._cancel):
            record = self._store.index.layers.get(layer)
            path = None if record is None else self._existing(record)
            if path is not None:
                return path
            if record is None:
                raise NotFoundError("layer-missing", f"layer {layer} is not in the store")
            done = self._arriving(record, lower)
            if done is not None:
                return done
            descriptor = self._descriptor(record)
            try:
                return self._unpack_stored(record, descriptor, lower)
            except CorruptionError:
                if record.origin is None:
                    raise
            # A blob torn or changed on our disk: its origin still has the right bytes.
            self._store.blobs.delete(descriptor.digest)
            with _lost_if_built(record):
                return self._unpack_stored(record, self._descriptor(record), lower)

    def _arriving(self, record: LayerRecord, lower: StackTree | LaterTree) -> str | None:
        """Fetches the layer and unpacks it as it comes; None where it is in the store, or has to be read again from there.

        Nothing of a download is believed before its writer has checked the digest: the directory gets its name
        after that. Where a download fails, its error says more than what came of reading it.
        """
        if record.origin is None or any(self._store.blobs.has(form.digest) for form in record.blobs):
            return None
        from concurrent.futures import ThreadPoolExecutor

        arrivals = self._store.blobs.arrivals
        with ThreadPoolExecutor(1, "fetch") as pool:
            coming = pool.submit(self._descriptor, record)
            coming.add_done_callback(lambda _: arrivals.wake())
            reader = arrivals.follow([form.digest for form in record.blobs], coming.done)
            if reader is None:
                coming.result()
                return None
            with reader:
                try:
                    return self._unpack(record, reader, coming.result, lower)
                except (CorruptionError, ArrivalBroken):
                    coming.result()
                    if not reader.whole:
                        return None
                    with _lost_if_built(record):
                        raise

    def _descriptor(self, record: LayerRecord) -> Descriptor:
        """One packed form that is in the store now; a step's layer that has none is forgotten, for the next build to make anew."""
        try:
            return fetched(self._store, self._fetch, record)
        except NotFoundError:
            if record.kind == "built" and record.origin is None:
                self._store.index.layers.delete_with_descendants(record.id)
            raise

    def _unpack_stored(self, record: LayerRecord, descriptor: Descriptor, lower: StackTree | LaterTree) -> str:
        with self._store.blobs.open(descriptor.digest) as reader:
            return self._unpack(record, reader, lambda: descriptor, lower)

    def _unpack(
        self, record: LayerRecord, reader: VerifiedReader | ArrivingReader, confirm: Callable[[], Descriptor], lower: StackTree | LaterTree
    ) -> str:
        """`confirm` raises when what was read is not to be believed, else says which form it was."""
        from builder.fs.compress import decompress
        from builder.fs.unpack import unpack
        from builder.snapshot.cancelling import CancellableSource

        with self._store.temporary("unpack-") as temporary:
            target = str(temporary / "upper")
            os.mkdir(target, 0o755)
            unpacked = unpack(decompress(CancellableSource(reader, self._cancel)), target, lower, self._opaque_xattr, self._limits)
            reader.drain()
            descriptor = confirm()
            if isinstance(lower, LaterTree):
                lower.settle_root(target)
            if unpacked.skipped:
                self.skipped(unpacked.skipped)
            if record.diff_id is not None and unpacked.diff_id != record.diff_id:
                raise CorruptionError(
                    "layer-diff-id",
                    f"the layer in blob {descriptor.digest} unpacks to {unpacked.diff_id}, but its image says {record.diff_id}",
                )
            table, boot = self._store.index.layers, self._store.boot
            size = unpacked.disk_size

            def insert(name: str) -> bool:
                if record.diff_id is None:
                    table.set_diff_id(record.id, unpacked.diff_id)
                return table.set_directory(record.id, name, size, boot)

            path = self._place(record.id, target, size, insert)
        if path is None:
            raise NotFoundError("layer-missing", f"layer {record.id} was removed from the store while it was unpacked")
        with self._lock:
            self._paths[record.id] = path
        return path


@contextmanager
def _lost_if_built(record: LayerRecord) -> Iterator[None]:
    """What an imported cache promised can be made here; a base image cannot."""
    try:
        yield
    except CorruptionError as error:
        if record.kind == "built":
            raise LayerLost(record.id, error.message) from error
        raise


def fetched(store: Store, fetch: BlobFetcher, record: LayerRecord) -> Descriptor:
    """One packed form of the layer that is in the store now, fetched if there is none."""
    for descriptor in record.blobs:
        if store.blobs.has(descriptor.digest):
            return descriptor
    if not record.blobs or record.origin is None:
        raise NotFoundError(
            "layer-missing",
            f"layer {record.id} is neither unpacked nor packed in the store, and has no origin to fetch it from",
            help="build again; what is missing is made anew",
        )
    refused: NotFoundError | None = None
    for descriptor in record.blobs:
        try:
            fetch.fetch(descriptor, record.origin)
            return descriptor
        except NotFoundError as error:  # another form may be there
            refused = refused or error
    assert refused is not None, "there is a form that was refused"
    raise refused


_UNSET_NS = 1_234_567_891
"""A time that no archive gives its root: the root's metadata are still to be taken from below."""


class LaterTree:
    """A tree that is there once somebody asks for it; see builder.fs.tree.Tree.

    Every layer asks for the root at once, but few for anything else; so the root is answered without waiting,
    with a time that tells afterwards whether the layer had a root entry of its own.
    """

    def __init__(self, directories: Callable[[], tuple[str, ...]], opaque_xattr: str) -> None:
        self._directories = directories
        self._opaque_xattr = opaque_xattr
        self._tree: StackTree | None = None

    def _now(self) -> StackTree:
        if self._tree is None:
            self._tree = StackTree(self._directories(), self._opaque_xattr, frozen=True)
        return self._tree

    def settle_root(self, target: str) -> None:
        """Gives an unpacked directory the root metadata from below, unless its archive had some."""
        if os.stat(target).st_mtime_ns == _UNSET_NS:
            like_root(target, self._directories())

    def lstat(self, path: str) -> Entry | None:
        return self._now().lstat(path) if path else Entry("", "dir", 0o755, mtime_ns=_UNSET_NS)

    def names(self, path: str) -> tuple[str, ...]:
        return self._now().names(path)

    def open(self, path: str) -> int:
        return self._now().open(path)

    def xattrs(self, path: str) -> tuple[tuple[str, bytes], ...]:
        return self._now().xattrs(path)

    def identity(self, path: str) -> tuple[int, int] | None:
        return self._now().identity(path)


def like_root(directory: str, lowers: Sequence[str]) -> None:
    """The root directory of the topmost layer is the one that a process sees, so it takes after what it covers."""
    if not lowers:
        return
    root = os.stat(lowers[0])
    os.chown(directory, root.st_uid, root.st_gid)
    os.chmod(directory, root.st_mode & 0o7777)
    os.utime(directory, ns=(root.st_mtime_ns, root.st_mtime_ns))
