"""The instruction graph: vertices named by what they are, and where each stands in a Dockerfile.

A vertex's id covers its operation and its inputs, not its name or place, so two stages that do the same
share the work; place and stage ride along in a `Label`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import NewType

import msgspec

from builder.graph.operations import ContextSource, Merge, Operation, Scratch
from builder.oci.sha256 import small
from grammar.source import Source, Span

VertexID = NewType("VertexID", str)
"""64 hex digits: sha256 over the operation and the inputs' ids."""


class Vertex(msgspec.Struct, frozen=True):
    """One operation and what it works on; the root filesystem it changes, where it has one, is input 0."""

    id: VertexID
    operation: Operation
    inputs: tuple[VertexID, ...]


class Label(msgspec.Struct, frozen=True):
    """How a vertex is called to people: `name` is the instruction, `position` its (number, count) in the stage.

    `arguments` are the names of its environment that are ARGs, `variables` what its text was expanded with.
    """

    name: str
    stage: str = ""
    position: tuple[int, int] | None = None
    span: Span | None = None
    source: Source | None = None
    ignore_cache: bool = False
    arguments: tuple[str, ...] = ()
    variables: tuple[tuple[str, str], ...] = ()


class Graph(msgspec.Struct, frozen=True):
    """Vertices in an order in which every input stands before its user."""

    vertices: Mapping[VertexID, Vertex]
    labels: Mapping[VertexID, Label]

    def closure(self, target: VertexID) -> tuple[Vertex, ...]:
        """`target` and all it needs, inputs first; iterative, so a chain of any length will do."""
        wanted = {target}
        for vertex in reversed(tuple(self.vertices.values())):
            if vertex.id in wanted:
                wanted.update(vertex.inputs)
        return tuple(vertex for vertex in self.vertices.values() if vertex.id in wanted)

    def chain(self, target: VertexID) -> frozenset[VertexID]:
        """The vertices whose layers are the target's: what it stands on, input 0 after input 0, and both inputs of a Merge."""
        found: set[VertexID] = set()
        pending = [target]
        while pending:
            vertex = self.vertices[pending.pop()]
            found.add(vertex.id)
            pending.extend(vertex.inputs if isinstance(vertex.operation, Merge) else vertex.inputs[:1])
        return frozenset(found)

    def __iter__(self) -> Iterator[Vertex]:
        return iter(self.vertices.values())


class GraphBuilder:
    """Collects vertices; adding the same operation on the same inputs twice gives one vertex."""

    def __init__(self) -> None:
        self._vertices: dict[VertexID, Vertex] = {}
        self._labels: dict[VertexID, Label] = {}

    def add(self, operation: Operation, inputs: tuple[VertexID, ...], label: Label) -> VertexID:
        """The id of this operation on these inputs; the first label given stays."""
        vertex_id = vertex_identity(operation, inputs)
        if vertex_id not in self._vertices:
            self._vertices[vertex_id] = Vertex(vertex_id, operation, inputs)
            self._labels[vertex_id] = label
        elif label.ignore_cache and not self._labels[vertex_id].ignore_cache:
            self._labels[vertex_id] = msgspec.structs.replace(self._labels[vertex_id], ignore_cache=True)
        return vertex_id

    def is_context(self, vertex_id: VertexID) -> bool:
        """Whether a vertex is a context's files, whose owners do not count."""
        return isinstance(self._vertices[vertex_id].operation, ContextSource)

    def is_scratch(self, vertex_id: VertexID) -> bool:
        """Whether a vertex is a root filesystem of nothing."""
        return isinstance(self._vertices[vertex_id].operation, Scratch)

    def finish(self) -> Graph:
        """The graph, frozen."""
        return Graph(MappingProxyType(dict(self._vertices)), MappingProxyType(dict(self._labels)))


def vertex_identity(operation: Operation, inputs: tuple[VertexID, ...]) -> VertexID:
    """The id of an operation on inputs: msgpack frames every field by its length, so no two records run together."""
    return VertexID(small(msgspec.msgpack.encode((operation, inputs))).hexdigest())
