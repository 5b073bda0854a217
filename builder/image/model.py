"""A finished image and a build's result, as data: what exporters receive.

Every blob that the manifests name is in the store, or can be fetched by whoever holds its origin.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from builder.oci.config import ImageConfig
from builder.oci.manifest import Descriptor, Manifest, describe
from builder.oci.platform import Platform

if TYPE_CHECKING:
    from builder.store.layertable import LayerId


class Image(msgspec.Struct, frozen=True):
    """One image of one platform; `layers` are its snapshots, lowest first, as `manifest.layers` are."""

    platform: Platform
    manifest: Manifest
    manifest_raw: bytes
    config: ImageConfig
    config_raw: bytes
    layers: tuple[LayerId, ...] = ()

    @property
    def descriptor(self) -> Descriptor:
        """The manifest's descriptor, with its platform, as an index lists it."""
        return describe(self.manifest_raw, self.manifest.media_type, self.platform)


class BuildResult(msgspec.Struct, frozen=True):
    """What a build made: one image, or several and the index over them (`index_raw`).

    `descriptor` is of the index where there is one, else of the only manifest.
    """

    images: tuple[Image, ...]
    index_raw: bytes | None
    descriptor: Descriptor
