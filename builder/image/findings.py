"""What a build found out, as results that travel: one entry for each step."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping

import msgspec

from builder.cache.keys import CacheKey
from builder.cache.portable import Document, Entry, Layer, encode_document
from builder.cache.records import Below, CacheRecord
from builder.graph.operations import CopyAction, MakeDirectory, RunAction
from builder.graph.plan import BuildPlan
from builder.graph.vertex import VertexID
from builder.oci.manifest import Descriptor
from builder.snapshot.layers import LayerId, Layers
from builder.solver.solve import Solution

Look = Callable[[CacheKey, Below], CacheRecord | None]
Pack = Callable[[LayerId], Descriptor]


def findings(
    plan: BuildPlan,
    solution: Solution,
    vertices: Collection[VertexID],
    look: Look,
    layers: Layers,
    pack: Pack,
    *,
    used: int,
    shown: Mapping[LayerId, LayerId] | None = None,
) -> Iterator[Entry]:
    """Entries of those steps whose result this machine's cache believes (`look`); their layers are packed by `pack`.

    `used` in unix seconds. `shown` are layers that stand in the image in place of the steps' own.
    """
    names = shown or {}
    for vertex in plan.graph.closure(plan.target):
        root = solution.roots.get(vertex.id)
        if root is None or vertex.id not in vertices or not isinstance(vertex.operation, CopyAction | RunAction | MakeDirectory):
            continue
        below = solution.roots[vertex.inputs[0]]
        key = solution.keys[vertex.id]
        record = look(key, below)
        base = layers.chain(tuple(names.get(layer, layer) for layer in below.layers))
        if record is None or record.layer != root.own or base is None:
            continue
        packed: Layer | None = None
        if root.own is not None:
            own = names.get(root.own, root.own)
            descriptor = pack(own)
            diff_id = layers.record(own).diff_id
            assert diff_id is not None, "a packed layer has a DiffID"
            packed = Layer.of(diff_id, descriptor)
        yield Entry(key, base, packed, record.created, record.duration_ns, used, next(iter(record.keys), ""))


def inline_cache(
    plan: BuildPlan, solution: Solution, ids: tuple[LayerId, ...], descriptors: Collection[Descriptor], look: Look, layers: Layers
) -> bytes:
    """The document that goes into the image's own config: the steps of its chain, on the layers it has.

    Without times of use and durations, so that it is the same whenever the image is.
    """
    at = dict(zip(ids, descriptors, strict=True))
    shown = dict(zip(solution.target.layers, ids, strict=True))
    chain = plan.graph.chain(plan.target)
    entries = findings(plan, solution, chain, look, layers, lambda layer: at[layer], used=0, shown=shown)
    return encode_document(Document(tuple(msgspec.structs.replace(entry, duration_ns=0) for entry in entries)))
