"""What is cached and what must run: bookkeeping over static keys, without I/O but the look-ups."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set

import msgspec

from builder.cache.keys import CacheKey
from builder.cache.records import CacheRecord
from builder.graph.operations import ImageSource, Merge, Scratch
from builder.graph.vertex import Vertex, VertexID
from builder.ops.protocol import OpRunner
from builder.snapshot.layers import LayerId
from builder.solver.pins import SOURCES
from builder.solver.results import RootResult, stacked

Lookup = Callable[[CacheKey, RootResult], CacheRecord | None]


class Probe(msgspec.Struct, frozen=True):
    """`hits`: roots known already; `needed`: vertices the target asks for, inputs first; those not in hits must run."""

    hits: Mapping[VertexID, RootResult]
    needed: tuple[Vertex, ...]

    @property
    def misses(self) -> tuple[Vertex, ...]:
        """What must run, inputs first."""
        return tuple(vertex for vertex in self.needed if vertex.id not in self.hits)


def probe(
    vertices: Sequence[Vertex],
    target: VertexID,
    keys: Mapping[VertexID, CacheKey],
    ignored: Callable[[VertexID], bool],
    lookup: Lookup,
    runner: OpRunner,
) -> Probe:
    """Hits from the bases up, needs from the target down."""
    hits: dict[VertexID, RootResult] = {}
    again: set[VertexID] = set()  # what --no-cache names, and whatever reads of it: known only once that has run
    for vertex in vertices:
        if ignored(vertex.id) or not again.isdisjoint(vertex.inputs):
            again.add(vertex.id)
        found = _known(vertex, hits, keys, again, lookup, runner)
        if found is not None:
            hits[vertex.id] = found
    wanted = {target}
    needed: list[Vertex] = []
    for vertex in reversed(vertices):
        if vertex.id in wanted:
            needed.append(vertex)
            wanted.update(_asked_for(vertex, hits))
    return Probe(hits, tuple(reversed(needed)))


def _known(
    vertex: Vertex,
    hits: Mapping[VertexID, RootResult],
    keys: Mapping[VertexID, CacheKey],
    again: Set[VertexID],
    lookup: Lookup,
    runner: OpRunner,
) -> RootResult | None:
    operation = vertex.operation
    if isinstance(operation, ImageSource | Scratch):
        base = runner.base(vertex)
        return RootResult(base.layers, base.id)
    if isinstance(operation, SOURCES):
        return None
    below = hits.get(vertex.inputs[0])
    if below is None:
        return None
    if isinstance(operation, Merge):
        return merged(below, hits.get(vertex.inputs[1]))
    if vertex.id in again:
        return None
    record = lookup(keys[vertex.id], below)
    if record is None:
        return None
    return stacked(below, LayerId(record.layer) if record.layer else None, record.created, True)


def merged(below: RootResult, above: RootResult | None) -> RootResult | None:
    """The root of a Merge: the layer made on nothing, on top of the other root."""
    if above is None:
        return None
    return stacked(below, above.own, above.created, above.cached)


def _asked_for(vertex: Vertex, hits: Mapping[VertexID, RootResult]) -> tuple[VertexID, ...]:
    """A hit needs only the chain it stands on (and a Merge both); a miss needs all its inputs."""
    if vertex.id in hits and not isinstance(vertex.operation, Merge):
        return vertex.inputs[:1]
    return vertex.inputs
