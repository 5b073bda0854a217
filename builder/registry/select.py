"""Which image of an index is meant by a platform."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from builder.errors import NotFoundError
from builder.oci.manifest import Descriptor, Index
from builder.oci.platform import Platform, matches, normalize

REFERENCE_TYPE = "vnd.docker.reference.type"
"""Descriptors with this annotation are attestations, no images (BuildKit docs/attestations/attestation-storage.md)."""


def image_descriptors(index: Index) -> tuple[Descriptor, ...]:
    """The descriptors of an index that are images."""
    return tuple(d for d in index.manifests if REFERENCE_TYPE not in d.annotations and not (d.platform and d.platform.os == "unknown"))


def acceptable(wanted: Platform) -> tuple[Platform, ...]:
    """What runs on a platform, best first: itself, then its lower variants (containerd platforms.Only)."""
    wanted = normalize(wanted)
    if wanted.architecture == "arm":
        start = int(wanted.variant[1:]) if wanted.variant[1:].isdigit() else 7
        return tuple(msgspec.structs.replace(wanted, variant=f"v{number}") for number in range(start, 4, -1))
    if wanted.architecture == "amd64" and wanted.variant[1:].isdigit():
        lower = tuple(msgspec.structs.replace(wanted, variant=f"v{number}") for number in range(int(wanted.variant[1:]), 1, -1))
        return (*lower, msgspec.structs.replace(wanted, variant=""))
    return (wanted,)


def choose(index: Index, wanted: Platform) -> Descriptor | None:
    """The first descriptor of the best platform; None when no descriptor says it is for it."""
    for platform in acceptable(wanted):
        for descriptor in image_descriptors(index):
            if (
                descriptor.platform is not None
                and normalize(descriptor.platform).variant == platform.variant
                and matches(platform, descriptor.platform)
            ):
                return descriptor
    return None


def no_platform(name: str, wanted: Platform, offered: Iterable[Platform]) -> NotFoundError:
    """The error for an index without the platform."""
    known = ", ".join(sorted({str(normalize(platform)) for platform in offered}))
    return NotFoundError(
        "no-platform", f"{name} has no image for {wanted}", help=f"it has {known}" if known else "it says of none what it is for"
    )
