"""Static keys of a graph: leaves are pinned (tag to stack, branch to commit, files to content), the rest follows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import assert_never

from builder.cache.keys import CacheKey, combine, static_key
from builder.errors import LayerwrightError
from builder.graph.operations import (
    ContextSource,
    CopyAction,
    GitSource,
    HttpSource,
    ImageSource,
    MakeDirectory,
    Merge,
    RunAction,
    Scratch,
)
from builder.graph.vertex import Vertex, VertexID
from builder.ops.protocol import OpRunner

SOURCES = (ContextSource, HttpSource, GitSource)
"""Operations that give files outside any layer."""


def static_keys(
    vertices: Sequence[Vertex], runner: OpRunner, place: Callable[[LayerwrightError, Vertex], None]
) -> dict[VertexID, CacheKey]:
    """The static key of each vertex, inputs before users; raises where a COPY names a file that is not there.

    `place` is given each error with its vertex before it goes on its way.
    """
    known = {vertex.id: vertex for vertex in vertices}
    keys: dict[VertexID, CacheKey] = {}
    for vertex in vertices:
        try:
            keys[vertex.id] = _key(vertex, known, keys, runner)
        except LayerwrightError as error:
            place(error, vertex)
            raise
    return keys


def _key(vertex: Vertex, known: dict[VertexID, Vertex], keys: dict[VertexID, CacheKey], runner: OpRunner) -> CacheKey:
    match vertex.operation:
        case ContextSource(name=name):
            return combine("context", name)
        case HttpSource() | GitSource():
            return combine("source", runner.pin(vertex))
        case ImageSource(chain=chain):
            return combine("image", chain)
        case Scratch():
            return combine("scratch")
        case CopyAction() | RunAction() | MakeDirectory() | Merge():
            return static_key(vertex.operation, _input_keys(vertex, known, keys, runner))
        case _ as never:
            assert_never(never)


def _input_keys(vertex: Vertex, known: dict[VertexID, Vertex], keys: dict[VertexID, CacheKey], runner: OpRunner) -> tuple[str, ...]:
    """For a context only what this vertex reads of it counts; for all else the input's own key."""
    found: list[str] = []
    for index, name in enumerate(vertex.inputs):
        if isinstance(known[name].operation, ContextSource):
            found.append(runner.read_digest(vertex, index, runner.source(known[name])))
        else:
            found.append(keys[name])
    return tuple(found)
