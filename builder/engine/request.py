"""What a build is asked for, as data: everything the command line can say, and nothing read from outside."""

from __future__ import annotations

from collections.abc import Mapping
from typing import BinaryIO

import msgspec

from builder.graph.plan import Network
from builder.oci.platform import Platform, host_platform, parse_platform
from builder.ops.secrets import SecretFile, SecretValue
from runtime.spec import Resources

DEFAULT_SHM = 64 << 20
MIN_JOBS = 4
EPOCH = "SOURCE_DATE_EPOCH"


class BuildRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One build. `context` is a directory, a URL, or `-` for a tar (or a Dockerfile) on `stdin`.

    `dockerfile` is a path (relative to the working directory), a URL, `-` for stdin, or None for Dockerfile in
    the context. Platforms, outputs and caches as written on the command line. `epoch` is SOURCE_DATE_EPOCH in seconds.
    `cold`: cache mounts are empty ones of this build's own. `discard`: images are made and nothing is written.
    Sizes in bytes; `hosts` are (name, address); `ssh` has an agent's socket or key files by id.
    """

    context: str = "."
    dockerfile: str | None = None
    tags: tuple[str, ...] = ()
    target: str | None = None
    build_args: Mapping[str, str] = {}
    labels: Mapping[str, str] = {}
    annotations: tuple[str, ...] = ()
    platforms: tuple[str, ...] = ()
    contexts: Mapping[str, str] = {}
    no_cache: bool = False
    no_cache_stages: tuple[str, ...] = ()
    pull: bool = False
    cache_from: tuple[str, ...] = ()
    cache_to: tuple[str, ...] = ()
    cache_mounts: bool = False
    network: Network = "default"
    hosts: tuple[tuple[str, str], ...] = ()
    shm_size: int = DEFAULT_SHM
    ulimits: tuple[str, ...] = ()
    resources: Resources = Resources()
    allow: tuple[str, ...] = ()
    secrets: Mapping[str, SecretFile | SecretValue] = {}
    ssh: Mapping[str, tuple[str, ...]] = {}
    outputs: tuple[str, ...] = ()
    cold: bool = False
    discard: bool = False
    push: bool = False
    load: bool = False
    strict: bool = False
    jobs: int | None = None
    epoch: int | None = None
    proxies: Mapping[str, str] = {}
    stdin: BinaryIO | None = None
    stdout: BinaryIO | None = None


def platforms_of(request: BuildRequest) -> tuple[Platform, ...]:
    """The platforms asked for, each once, or this machine's."""
    named = [parse_platform(part) for item in request.platforms for part in item.split(",") if part]
    return tuple(dict.fromkeys(named)) or (host_platform(),)
