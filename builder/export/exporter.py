"""What an exporter is, what it may use, and what it says when it is done."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, BinaryIO, Protocol

import msgspec

from builder.errors import LayerwrightError
from builder.image.model import BuildResult
from builder.oci.digest import Digest
from builder.oci.manifest import Descriptor
from builder.oci.reference import Reference
from builder.snapshot.layers import LAYOUT_ORIGIN, BlobFetcher, Layers
from builder.store.blobs import BlobStore
from builder.store.images import ImageNames

if TYPE_CHECKING:
    from builder.registry.client import Registry


class Means(msgspec.Struct, frozen=True):
    """What exporters work with. `created` (RFC 3339) dates the index entries of archives; None leaves them undated.

    `epoch` is SOURCE_DATE_EPOCH in seconds; `stdout` is the stream for `dest=-`; `engine` is the address of a
    docker engine (DOCKER_HOST's form); `registry` makes the client when it is first needed.
    """

    blobs: BlobStore
    layers: Layers
    fetch: BlobFetcher
    images: ImageNames | None = None
    registry: Callable[[], Registry] | None = None
    names: tuple[Reference, ...] = ()
    created: str | None = None
    epoch: int | None = None
    stdout: BinaryIO | None = None
    engine: str = "unix:///var/run/docker.sock"


class Exported(msgspec.Struct, frozen=True):
    """One line for people (`wrote image.tar`), and further ones worth knowing."""

    message: str
    notes: tuple[str, ...] = ()


class Exporter(Protocol):
    """One output. `check` may be called any number of times; `export` once, and it is atomic unless it says otherwise."""

    def check(self) -> None:
        """Raise for what cannot work, before anything is built; changes nothing."""
        ...

    def export(self, result: BuildResult) -> Exported:
        """Write the output; on failure nothing half-made stands under its name."""
        ...


def origins_of(result: BuildResult, layers: Layers) -> dict[Digest, str]:
    """Where layers that came with a base image can be had: by blob digest, registry/repository."""
    found: dict[Digest, str] = {}
    for image in result.images:
        for layer, descriptor in zip(image.layers, image.manifest.layers, strict=False):
            origin = layers.record(layer).origin
            if origin:
                found[descriptor.digest] = origin
    return found


def mountable(result: BuildResult, means: Means) -> dict[Digest, str]:
    """`origins_of`, for a push: what only a directory has is brought into the store instead."""
    origins = origins_of(result, means.layers)
    for image in result.images:
        for descriptor in image.manifest.layers:
            origin = origins.get(descriptor.digest, "")
            if origin.startswith(LAYOUT_ORIGIN):
                del origins[descriptor.digest]
                if not means.blobs.has(descriptor.digest):
                    means.fetch.fetch(descriptor, origin)
    return origins


def complete(result: BuildResult, means: Means) -> None:
    """Bring every layer of the result into the store; those of a base may still be only at their origin."""
    missing: dict[Digest, tuple[Descriptor, str]] = {}
    origins = origins_of(result, means.layers)
    for image in result.images:
        for descriptor in image.manifest.layers:
            if means.blobs.has(descriptor.digest):
                continue
            origin = origins.get(descriptor.digest)
            if origin is None:
                raise LayerwrightError(
                    "layer-missing",
                    f"layer {descriptor.digest} is neither in the store nor at a registry",
                    help="build again with --no-cache",
                )
            missing[descriptor.digest] = (descriptor, origin)
    if not missing:
        return
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(means.fetch.fetch, descriptor, origin) for descriptor, origin in missing.values()]:
            done.result()
