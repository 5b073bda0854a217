"""What a Dockerfile comes to for one platform: a graph, the vertex of the result, its config and history."""

from __future__ import annotations

from typing import Literal

import msgspec

from builder.graph.vertex import Graph, VertexID
from builder.oci.config import ImageConfig
from builder.oci.digest import DiffID
from builder.oci.manifest import Descriptor
from builder.oci.platform import Platform
from grammar.diagnostics import Diagnostic


class BaseImage(msgspec.Struct, frozen=True):
    """An image that was resolved, not fetched: its config, and where its layers are to be had.

    `reference` as written in the Dockerfile; `digest` of the manifest; `origin` registry/repository, or
    empty for the local store.
    """

    reference: str
    digest: str
    config: ImageConfig
    layers: tuple[Descriptor, ...]
    diff_ids: tuple[DiffID, ...]
    origin: str


class HistoryItem(msgspec.Struct, frozen=True):
    """A line of history of ours: `vertex` made its layer, or None for an entry without one."""

    created_by: str
    vertex: VertexID | None = None


class BuildPlan(msgspec.Struct, frozen=True):
    """One platform's build. `config` has no rootfs and no history yet; `base` is the image it grew from."""

    platform: Platform
    graph: Graph
    target: VertexID
    config: ImageConfig
    base: BaseImage | None
    bases: tuple[BaseImage, ...]
    history: tuple[HistoryItem, ...]
    warnings: tuple[Diagnostic, ...] = ()
    stages: tuple[str, ...] = ()
    needed_stages: tuple[int, ...] = ()
    stage_bases: dict[int, BaseImage] = {}


Network = Literal["default", "none", "host"]
