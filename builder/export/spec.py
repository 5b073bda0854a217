"""One `-o` of the command line as data, with BuildKit's names and defaults (reference 1.10)."""

from __future__ import annotations

from typing import Literal

import msgspec

from builder.image.options import Annotation, AnnotationKind
from builder.oci.media import Compression
from builder.oci.reference import Reference

__all__ = ["Annotation", "AnnotationKind", "OutputSpec", "OutputType"]

OutputType = Literal["image", "registry", "oci", "docker", "local", "tar", "cacheonly"]


class OutputSpec(msgspec.Struct, frozen=True):
    """What an output asks for. `dest` is a path, `-` for the stream handed in, or None where it has none.

    `names` are the references of `name=`; `push` is set for `registry`. `oci_media_types` None leaves the
    default to the assembly. `epoch` in seconds, this output's SOURCE_DATE_EPOCH.
    """

    type: OutputType
    dest: str | None = None
    names: tuple[Reference, ...] = ()
    push: bool = False
    push_by_digest: bool = False
    store: bool = True
    insecure: bool = False
    tar: bool = True
    platform_split: bool | None = None
    delete: bool = False
    context: str | None = None
    compression: Compression = "gzip"
    level: int | None = None
    force_compression: bool = False
    oci_media_types: bool | None = None
    rewrite_timestamp: bool = False
    epoch: int | None = None
    annotations: tuple[Annotation, ...] = ()

    @property
    def makes_image(self) -> bool:
        """Whether a manifest is needed: local and tar take files only, cacheonly nothing."""
        return self.type not in ("local", "tar", "cacheonly")

    @property
    def to_stdout(self) -> bool:
        """Whether the output is the stream of standard output."""
        return self.dest == "-"
