"""What a vertex comes to: a root file system as a stack of layers, or a tree of files outside any layer."""

from __future__ import annotations

import msgspec

from builder.cache.keys import combine
from builder.fs.tree import Tree
from builder.snapshot.layers import LayerId


class RootResult(msgspec.Struct, frozen=True):
    """A root: its layers lowest first, the one this vertex added, and its id.

    The id is of what the stack is made of, not of how it came about; two vertices with equal stacks have equal ids.
    """

    layers: tuple[LayerId, ...]
    id: str
    own: LayerId | None = None
    created: str | None = None
    cached: bool = False


class TreeResult(msgspec.Struct, frozen=True):
    """Files that never were a layer (a context, a URL, a repository) and their pin."""

    tree: Tree
    pin: str


Result = RootResult | TreeResult

EMPTY_ROOT = RootResult((), combine("root"))


def stacked(below: RootResult, layer: LayerId | None, created: str | None, cached: bool) -> RootResult:
    """The root after a step that added `layer`, or nothing."""
    if layer is None:
        return msgspec.structs.replace(below, own=None, created=created, cached=cached)
    return RootResult((*below.layers, layer), combine("root", below.id, layer), layer, created, cached)
