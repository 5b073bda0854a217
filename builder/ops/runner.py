"""Every operation, run: roots from layers, sources from contexts and the network, steps by what they are."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, assert_never

from builder.cache.keys import combine
from builder.context.statcache import FileDigests
from builder.errors import BuildCancelled
from builder.fs.tree import Tree
from builder.graph.operations import (
    BindSpec,
    CacheSpec,
    ContextSource,
    CopyAction,
    CopyFrom,
    GitSource,
    HttpSource,
    ImageSource,
    MakeDirectory,
    Merge,
    RunAction,
    Scratch,
)
from builder.graph.plan import BaseImage
from builder.graph.vertex import Vertex, VertexID
from builder.oci.digest import ChainID, chain_ids
from builder.oci.media import Compression
from builder.ops.destination import Applied, Destination, Times
from builder.ops.digests import Walk, Witness, owner_digest, tree_walk, walked
from builder.ops.manifest import MAX_ROWS, Manifests, encode_manifest
from builder.ops.protocol import Outcome, RootInput, StepControl, StepInput, TreeInput
from builder.ops.select import select
from builder.ops.unchanged import Glance, Unchanged
from builder.snapshot.layers import LayerId, Layers

if TYPE_CHECKING:
    from builder.ops.copy_plan import Plan
    from builder.ops.run import RunSteps


Packing = tuple[Compression, int | None]
"""In which compression, at which level, a layer is wanted."""


class Fetcher(Protocol):
    """Sources from elsewhere. Both are thread-safe, ask the network at most once a build, and raise LayerwrightError."""

    def pin(self, source: HttpSource | GitSource) -> str:
        """What fixes the source: a content digest, a commit."""

    def fetch(self, source: HttpSource | GitSource) -> TreeInput:
        """The files."""


class Operations:
    """The OpRunner of real builds: contexts by name, bases by chain; what runs a step is loaded with the first one."""

    def __init__(
        self,
        layers: Layers,
        contexts: Mapping[str, Tree],
        bases: Mapping[ChainID, BaseImage],
        fetcher: Fetcher,
        steps: Callable[[], RunSteps],
        file_digests: FileDigests,
        times: Times,
        manifests: Manifests | None = None,
        unchanged: Unchanged | None = None,
        packing: Callable[[VertexID], Packing | None] = lambda vertex: None,
    ) -> None:
        self._layers = layers
        self._contexts = contexts
        self._bases = bases
        self._fetcher = fetcher
        self._steps = steps
        self._file_digests = file_digests
        self._times = times
        self._manifests = manifests
        self._unchanged = unchanged or Unchanged(None)
        self._packing = packing
        self._digests: dict[tuple[str, int, str], str] = {}
        self._witnesses: dict[tuple[str, int], Witness | Glance] = {}
        self._lock = threading.Lock()

    # -- sources ----------------------------------------------------------------------------------------

    def base(self, vertex: Vertex) -> RootInput:
        """An image's layers, registered by chain and fetched by nobody yet; nothing for scratch."""
        operation = vertex.operation
        if isinstance(operation, Scratch):
            return RootInput((), combine("root"))
        assert isinstance(operation, ImageSource), "only images and scratch are bases"
        base = self._bases[operation.chain]
        ids = tuple(
            self._layers.add_base(chain, diff_id, descriptor, base.origin)
            for chain, diff_id, descriptor in zip(chain_ids(base.diff_ids), base.diff_ids, base.layers, strict=True)
        )
        return RootInput(ids, combine("image", operation.chain))

    def pin(self, vertex: Vertex) -> str:
        """A URL's or a repository's pin."""
        operation = vertex.operation
        assert isinstance(operation, HttpSource | GitSource), "only remote sources are pinned"
        return self._fetcher.pin(operation)

    def source(self, vertex: Vertex) -> TreeInput:
        """A context, or what a URL or a repository gives."""
        operation = vertex.operation
        if isinstance(operation, ContextSource):
            return TreeInput(self._contexts[operation.name], "")
        assert isinstance(operation, HttpSource | GitSource), "only sources have files outside layers"
        return self._fetcher.fetch(operation)

    # -- keys -------------------------------------------------------------------------------------------

    def read_digest(self, vertex: Vertex, index: int, source: StepInput) -> str:
        """What the step reads of an input; computed once for one input's content."""
        identity = source.id if isinstance(source, RootInput) else source.pin
        key = (vertex.id, index, identity)
        with self._lock:
            known = self._digests.get(key)
        if known is None:
            known = self._read_digest(vertex, index, source)
            with self._lock:
                self._digests[key] = known
        return known

    def _read_digest(self, vertex: Vertex, index: int, source: StepInput) -> str:
        match vertex.operation:
            case CopyAction() as action:
                if index == action.owner_input:
                    return owner_digest(action, self._tree(source))
                return self._selection(vertex, action, index, source)
            case RunAction() as action:
                return combine(
                    "mounts",
                    *(
                        self._mount_digest(mount, source)
                        for mount in action.mounts
                        if isinstance(mount, BindSpec | CacheSpec) and mount.input == index
                    ),
                )
            case _:
                return source.id if isinstance(source, RootInput) else source.pin

    def _selection(self, vertex: Vertex, action: CopyAction, index: int, source: StepInput) -> str:
        """What a COPY takes from an input; files outside the store may change, and are looked at again after the copy."""
        tree, witness = self._tree(source), Witness()
        parts = [part for part in action.sources if part.input == index]
        free = isinstance(source, TreeInput) and not source.pin
        glance = self._glance(tree, action, parts) if free else None
        if glance is not None and glance.digest is not None:
            with self._lock:
                self._witnesses[vertex.id, index] = glance
            return glance.digest
        walks = [walked(action, part, tree, self._file_digests, witness if free else None) for part in parts]
        with self._lock:
            self._witnesses[vertex.id, index] = witness
        digest = combine("selection", *(walk.found for walk in walks))
        self._keep(digest, walks)
        if glance is not None:
            glance.remember(digest, sum(len(walk.records) for walk in walks))
        return digest

    def _glance(self, tree: Tree, action: CopyAction, parts: Sequence[CopyFrom]) -> Glance | None:
        """A look at what a COPY takes; its digest counts where what was digested is kept as well."""
        items = [item for part in parts for item in select(tree, part.paths, parents=action.parents).items]
        rules = ([(part.paths, part.zero_owner) for part in parts], action.parents, action.excludes)
        glance = self._unchanged.glance(tree, rules, items)
        if glance is not None and glance.digest is not None and glance.count <= MAX_ROWS and not self._kept(glance.digest):
            glance.digest = None
        return glance

    def _kept(self, digest: str) -> bool:
        return self._manifests is None or self._manifests.has(digest)

    def _settled(self, vertex: Vertex, inputs: tuple[StepInput, ...], control: StepControl) -> bool:
        """Whether what was copied is still what the key was made of."""
        for index, source in enumerate(inputs):
            witness = self._witnesses.get((vertex.id, index))
            if isinstance(source, TreeInput) and witness is not None and not self._holds(vertex, index, source, witness):
                control.warn("context-changed", "files of the build context changed while they were copied, so the result is not cached")
                return False
        return True

    def _holds(self, vertex: Vertex, index: int, source: TreeInput, witness: Witness | Glance) -> bool:
        """A glance sees more than a COPY takes; where that has changed, what it takes is digested once more."""
        holds = witness.holds(source.tree)
        if holds or isinstance(witness, Witness):
            return holds
        action = vertex.operation
        assert isinstance(action, CopyAction), "only a COPY has a witness"
        found = (walked(action, part, source.tree, self._file_digests).found for part in action.sources if part.input == index)
        return combine("selection", *found) == witness.digest

    def _mount_digest(self, mount: BindSpec | CacheSpec, source: StepInput) -> str:
        if isinstance(mount, CacheSpec):
            assert isinstance(source, RootInput)
            return source.id
        walk = tree_walk(self._tree(source), mount.source, self._file_digests, zero_owner=False)
        self._keep(walk.found, [walk])
        return walk.found

    def _keep(self, digest: str, walks: Sequence[Walk]) -> None:
        """What was digested, file by file, where that is kept and not known yet."""
        if self._manifests is None or self._manifests.has(digest) or sum(len(walk.records) for walk in walks) > MAX_ROWS:
            return
        self._manifests.put(digest, encode_manifest(row for walk in walks for row in walk.rows()))

    def _tree(self, source: StepInput) -> Tree:
        return self._layers.tree(source.layers) if isinstance(source, RootInput) else source.tree

    # -- steps ------------------------------------------------------------------------------------------

    def run(self, vertex: Vertex, inputs: tuple[StepInput, ...], control: StepControl) -> Outcome:
        """One step; its layer is committed when this returns."""
        match vertex.operation:
            case RunAction() as action:
                return self._steps().run(action, inputs, control, _note("RUN", action.argv))
            case CopyAction() as action:
                return self._copy(vertex, action, inputs, control)
            case MakeDirectory() as action:
                return self._make_directory(action, inputs, control)
            case ImageSource() | Scratch() | ContextSource() | HttpSource() | GitSource() | Merge():
                raise AssertionError("sources and merges are not steps")
            case _ as never:
                assert_never(never)

    def _copy(self, vertex: Vertex, action: CopyAction, inputs: tuple[StepInput, ...], control: StepControl) -> Outcome:
        from builder.ops.copy import apply_copy

        def check() -> None:
            if control.cancel.is_set():
                raise BuildCancelled()

        note = _note("ADD" if action.add else "COPY", (action.destination,))
        packed: list[LayerId] = []

        def take(plan: Plan) -> bool:
            """Straight into the blob that is wanted, if it is all that is wanted."""
            from builder.ops.copy_layer import layer_of, plain

            packing = self._packing(vertex.id) if control.last else None
            listed = None if packing is None else plain(plan)
            if packing is None or listed is None:
                return False
            packed.append(self._layers.add_packed(_layers(inputs[0]), layer_of(plan, listed, check), *packing, note))
            return True

        with self._layers.draft(_layers(inputs[0])) as draft:
            users = draft.tree if action.owner_input is None else self._tree(inputs[action.owner_input])
            destination = Destination(draft.upper, draft.tree, users, self._layers.opaque_xattr)
            trees = [self._tree(inputs[source.input]) for source in action.sources]
            self._tell(apply_copy(action, trees, destination, self._times, check=check, take=take), control)
            settled = self._settled(vertex, inputs, control)
            return Outcome(packed[0] if packed else draft.commit(note), settled=settled)

    def _make_directory(self, action: MakeDirectory, inputs: tuple[StepInput, ...], control: StepControl) -> Outcome:
        from builder.ops.mkdir import make_directory

        with self._layers.draft(_layers(inputs[0])) as draft:
            destination = Destination(draft.upper, draft.tree, draft.tree, self._layers.opaque_xattr)
            applied = make_directory(action, destination, self._times)
            self._tell(applied, control)
            return Outcome(draft.commit(f"WORKDIR {action.path}") if applied.changed else None)

    def _tell(self, applied: Applied, control: StepControl) -> None:
        for warning in applied.warnings:
            control.warn(warning.code, warning.message)


def _layers(source: StepInput) -> tuple[LayerId, ...]:
    assert isinstance(source, RootInput), "a step stands on a root file system"
    return source.layers


def _note(verb: str, words: tuple[str, ...]) -> str:
    return f"{verb} {' '.join(words)}"[:200]
