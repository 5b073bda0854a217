"""What the user may say about a build that changes its meaning; frozen, and no more than that."""

from __future__ import annotations

from typing import Literal, Protocol

import msgspec

from builder.graph.plan import BaseImage, Network
from builder.oci.platform import Platform, host_platform

PREDEFINED_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY")
"""Build arguments that reach a RUN without ARG, and without a place in its key (reference 1.8)."""


class LocalContext(msgspec.Struct, frozen=True, tag="local"):
    """A tree of files, wherever it came from: a directory, a tar, a repository, a URL."""


class ImageContext(msgspec.Struct, frozen=True, tag="image"):
    """`docker-image://` or `oci-layout://`: what the resolver is asked for."""

    reference: str


NamedContext = LocalContext | ImageContext


class FrontendSettings(msgspec.Struct, frozen=True):
    """Everything beside the Dockerfile that decides the graph, the config or the history."""

    target: str | None = None
    build_args: dict[str, str] = {}
    labels: dict[str, str] = {}
    platform: Platform = msgspec.field(default_factory=host_platform)
    platform_given: bool = False
    build_platform: Platform = msgspec.field(default_factory=host_platform)
    contexts: dict[str, NamedContext] = {}
    network: Network = "default"
    host_names: tuple[str, ...] = ()
    shm_size: int = 64 << 20
    ulimits: tuple[str, ...] = ()
    no_cache: bool = False
    no_cache_stages: tuple[str, ...] = ()
    allow: tuple[str, ...] = ()


class BaseResolver(Protocol):
    """Turns a reference into an image's config and layers, without fetching any layer.

    Idempotent: within a build, one reference and platform give one answer. Raises NotFoundError where
    there is no such image or no such platform.
    """

    def resolve(self, reference: str, platform: Platform) -> BaseImage: ...


Entitlement = Literal["network.host", "security.insecure"]
