"""What --cache-from and --cache-to come to in one build: which caches are asked, and what is exported where.

What imports and exports is loaded by the build that has such an option: 8 ms that the others do not pay.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from builder.cache.keys import CacheKey
from builder.cache.local import LocalCache
from builder.cache.records import CacheSource
from builder.engine.request import BuildRequest
from builder.engine.workshop import Workshop
from builder.errors import BuildCancelled, LayerwrightError
from builder.graph.operations import CacheSpec, RunAction
from builder.graph.plan import BuildPlan
from builder.graph.vertex import VertexID
from builder.oci.digest import Digest
from builder.oci.manifest import Descriptor
from builder.oci.media import Compression
from builder.oci.reference import Reference
from builder.progress.events import ExportFinished, ExportStarted, Listener, Note, Warning
from builder.snapshot.layers import LAYOUT_ORIGIN, LayerId, LayerLost
from builder.solver.solve import Clock, Solution

if TYPE_CHECKING:
    from builder.cache.imported import ImportedCache
    from builder.cache.portable import Document, Entry, Mount
    from builder.cache.spec import ExportSpec, ImportSpec


class Caches:
    """The caches of one build; `listener` hears of those that cannot be used, which is no fault of the Dockerfile."""

    def __init__(self, request: BuildRequest, shop: Workshop, listener: Listener, clock: Clock) -> None:
        """Raises UsageError for what cannot be meant."""
        self._exports = tuple(spec for spec in _exports(request) if spec.type != "inline")
        self._shop = shop
        self._listener = listener
        self._clock = clock
        self.local = LocalCache(shop.store, shop.layers)
        self._with_mounts = request.cache_mounts
        self._imports = [self._imported(spec) for spec in _imports(request)]

    @property
    def source(self) -> CacheSource:
        """This machine's cache, then each imported one in order."""
        if not self._imports:
            return self.local
        from builder.cache.tiers import TieredCache

        return TieredCache(self.local, self.local, self._imports)

    def told_of(self, key: str) -> str:
        """What imported caches say of a step that was a miss; "" where there are none, or none could be read."""
        return "; ".join(told for source in self._imports if (told := source.told_of(CacheKey(key))))

    def packings(self, kept: bool) -> tuple[tuple[Compression, int | None], ...]:
        """How a step's layer will be wanted; `kept`: it is one of the image's."""
        return tuple((spec.compression, spec.level) for spec in self._exports if kept or spec.mode == "max")

    def refuse(self, lost: LayerLost) -> None:
        """An imported layer cannot be had: its cache gives none any more in this build. Raises where that did not help before."""
        origin = self._shop.layers.refuse_origin(lost.layer)
        if origin is None:
            raise lost
        self._warn("cache-refused", f"the cache {origin.removeprefix(LAYOUT_ORIGIN)} is not used any further: {lost.message}")

    def export(self, plans: Sequence[BuildPlan], solutions: Sequence[Solution], pushed: Iterable[tuple[Reference, Descriptor]]) -> None:
        """Write every --cache-to. `pushed` are the layers that this build has put into registries, and where."""
        mounts = {descriptor.digest: name.name for name, descriptor in pushed}
        for spec in self._exports:
            identity, started = f"cache-{os.urandom(4).hex()}", self._clock.now_ns()
            self._listener.on_event(ExportStarted(time=started, id=identity, name=f"exporting the cache to {spec.name}"))
            finished = partial(ExportFinished, id=identity)
            try:
                details = self._export(spec, plans, solutions, mounts)
            except (BuildCancelled, LayerLost) as error:
                self._tell(finished, started, error=error.message)
                raise
            except LayerwrightError as error:
                self._tell(finished, started, error=error.message)
                if not spec.ignore_error:
                    raise
                self._warn("cache-export", f"the cache was not exported to {spec.name}: {error.message}")
            else:
                self._tell(finished, started, details=details)

    def _tell(self, finished: partial[ExportFinished], started: int, *, error: str | None = None, details: tuple[str, ...] = ()) -> None:
        ended = self._clock.now_ns()
        self._listener.on_event(finished(time=ended, duration_ns=ended - started, error=error, details=details))

    # -- import -----------------------------------------------------------------------------------------

    def _imported(self, spec: ImportSpec) -> ImportedCache:
        from builder.cache.imported import ImportedCache

        origin = spec.reference.name if spec.reference is not None else LAYOUT_ORIGIN + spec.path
        return ImportedCache(spec.name, origin, partial(self._load, spec), self._shop.layers, self._say, self._warn)

    def _load(self, spec: ImportSpec) -> Document:
        from builder.cache.artifact import read_cache
        from builder.cache.portable import MAX_DOCUMENT
        from builder.cache.publish import read_directory

        if spec.reference is None:
            return read_directory(Path(spec.path), spec.tag)
        reference, registry = spec.reference, self._shop.registry()
        root, _ = registry.manifest(reference)

        def read(descriptor: Descriptor) -> bytes:
            registry.fetch(descriptor, reference.name)
            return self._shop.store.blobs.read(descriptor.digest, MAX_DOCUMENT)

        return read_cache(root, read, spec.name)

    def _say(self, message: str) -> None:
        self._listener.on_event(Note(time=self._clock.now_ns(), message=message))

    def _warn(self, code: str, message: str) -> None:
        self._listener.on_event(Warning(time=self._clock.now_ns(), code=code, message=message, text=f"warning[{code}]: {message}"))

    def fill_mount(self, mount_id: str, directory: str) -> None:
        """Fill a cache mount that is new here from the first import that has it; one that cannot be had stays empty."""
        for source in self._imports:
            found = source.mount(mount_id)
            if found is None:
                continue
            from builder.cache.mounts import unpack_mount

            layer, origin = found
            try:
                self._shop.fetch(layer.descriptor, origin)
                unpack_mount(self._shop.store.blobs, layer, directory)
                return
            except BuildCancelled:
                raise
            except LayerwrightError as error:
                self._warn(
                    "cache-refused", f"the cache mount {mount_id} of {origin.removeprefix(LAYOUT_ORIGIN)} is not used: {error.message}"
                )

    # -- export -----------------------------------------------------------------------------------------

    def _export(
        self, spec: ExportSpec, plans: Sequence[BuildPlan], solutions: Sequence[Solution], mounts: Mapping[Digest, str]
    ) -> tuple[str, ...]:
        from builder.cache.publish import RegistryCache, write_directory

        document = self._document(spec, plans, solutions)
        shop, blobs = self._shop, self._shop.store.blobs
        origins = self._origins(document, everything=spec.reference is None)
        if spec.reference is None:
            whole = write_directory(Path(spec.path), spec.tag, document, blobs, int(time.time()))
        else:
            target = RegistryCache(shop.registry(), blobs, spec.reference)
            whole = target.publish(document, {**mounts, **origins}).document
        return (f"mode {spec.mode}: {_count(document)} of this build", f"the cache holds {_count(whole)}")

    def _document(self, spec: ExportSpec, plans: Sequence[BuildPlan], solutions: Sequence[Solution]) -> Document:
        from builder.cache.portable import Document
        from builder.image.findings import findings

        layers, now = self._shop.layers, int(time.time())

        def pack(layer: LayerId) -> Descriptor:
            return layers.blob(layer, spec.compression, spec.level, force=spec.force)

        entries: list[Entry] = []
        for plan, solution in zip(plans, solutions, strict=True):
            wanted: Iterable[VertexID] = plan.graph.chain(plan.target) if spec.mode == "min" else solution.roots
            entries += findings(plan, solution, frozenset(wanted), self.local.lookup, layers, pack, used=now)
        return Document(tuple(dict.fromkeys(entries)), mounts=self._mounts(spec, plans, now))

    def _mounts(self, spec: ExportSpec, plans: Sequence[BuildPlan], now: int) -> tuple[Mount, ...]:
        """The cache mounts that steps of these plans name, as they are now."""
        if not (spec.mounts or self._with_mounts):
            return ()
        from builder.cache.mounts import pack_mount
        from builder.cache.portable import Mount

        steps = [vertex.operation for plan in plans for vertex in plan.graph.closure(plan.target)]
        ids = {
            mount.id
            for step in steps
            if isinstance(step, RunAction)
            for mount in step.mounts
            if isinstance(mount, CacheSpec) and mount.input is None
        }
        packed = ((name, pack_mount(self._shop.store, name, spec.compression, spec.level)) for name in sorted(ids))
        return tuple(Mount(name, layer, now) for name, layer in packed if layer is not None)

    def _origins(self, document: Document, *, everything: bool) -> dict[Digest, str]:
        """Where registries have layers that are not here; what only a directory has is brought here, or, if asked to, all."""
        table, blobs = self._shop.store.index.layers, self._shop.store.blobs
        found: dict[Digest, str] = {}
        for layer in document.layers:
            known = table.imported(layer.descriptor.digest)
            origin = known[1] if known is not None else None
            if origin is not None and not origin.startswith(LAYOUT_ORIGIN):
                found[layer.descriptor.digest] = origin
            if origin is not None and (everything or origin.startswith(LAYOUT_ORIGIN)) and not blobs.has(layer.descriptor.digest):
                self._shop.fetch(layer.descriptor, origin)
        return found


def _count(document: Document) -> str:
    return f"{len(document.entries)} results in {len(document.layers)} layers"


def find_lost(shop: Workshop, ids: Iterable[LayerId]) -> None:
    """Raises LayerLost where one of these layers, imported and not here yet, cannot be had."""
    for layer in ids:
        record = shop.layers.record(layer)
        if record.kind == "built" and record.origin is not None and not any(shop.store.blobs.has(blob.digest) for blob in record.blobs):
            shop.fetch(record.blobs[0], record.origin)


def wants_inline(request: BuildRequest) -> bool:
    """Whether images are to carry the cache of their own steps; BuildKit's build argument asks for it too."""
    asked = request.build_args.get("BUILDKIT_INLINE_CACHE", "") in ("1", "true")
    return asked or any(spec.type == "inline" for spec in _exports(request))


def insecure_hosts(request: BuildRequest) -> tuple[str, ...]:
    """Registries that --cache-from and --cache-to say may be spoken to without checked TLS."""
    specs: list[ImportSpec | ExportSpec] = [*_imports(request), *_exports(request)]
    return tuple(dict.fromkeys(spec.reference.registry for spec in specs if spec.insecure and spec.reference is not None))


def _imports(request: BuildRequest) -> list[ImportSpec]:
    if not request.cache_from:
        return []
    from builder.cache.spec import parse_cache_from

    return [parse_cache_from(text) for text in request.cache_from]


def _exports(request: BuildRequest) -> list[ExportSpec]:
    if not request.cache_to:
        return []
    from builder.cache.spec import parse_cache_to

    return [parse_cache_to(text) for text in request.cache_to]
