"""Which exporter an output gets."""

from __future__ import annotations

from typing import assert_never

import msgspec

from builder.export.exporter import Exporter, Means
from builder.export.spec import OutputSpec


def make_exporter(spec: OutputSpec, means: Means) -> Exporter:
    """The exporter of an output; its own names come before those of the command line."""
    if spec.names:
        means = msgspec.structs.replace(means, names=tuple(dict.fromkeys((*spec.names, *means.names))))
    match spec.type:
        case "oci":
            from builder.export.oci import OciExporter

            return OciExporter(spec, means)
        case "docker":
            from builder.export.docker import DockerExporter

            return DockerExporter(spec, means)
        case "local":
            from builder.export.local import LocalExporter

            return LocalExporter(spec, means)
        case "tar":
            from builder.export.tarball import TarExporter

            return TarExporter(spec, means)
        case "image" | "registry":
            from builder.export.stored import ImageExporter

            return ImageExporter(spec, means)
        case "cacheonly":
            from builder.export.stored import CacheOnlyExporter

            return CacheOnlyExporter()
        case _ as never:
            assert_never(never)
