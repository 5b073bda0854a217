"""The docker output: what `docker load` takes, to a file, a stream, or straight into an engine.

An OCI layout with docker's manifest.json and repositories beside it, so that engines from 1.10 on read it.
Layers are stored as their manifest says (gzip or plain, which every engine takes; zstd from docker 23 on).
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from builder.errors import UsageError
from builder.export.archive import write_archive
from builder.export.engine import loading
from builder.export.exporter import Exported, Means, complete
from builder.export.oci import contents, index_entries, layout_files
from builder.export.sink import check_file, open_sink
from builder.export.spec import OutputSpec
from builder.image.model import BuildResult
from builder.oci.digest import hex_of
from builder.oci.manifest import Manifest
from builder.oci.reference import Reference


class _Saved(msgspec.Struct, frozen=True, rename="pascal"):
    """One element of manifest.json (moby image/tarexport)."""

    config: str
    repo_tags: tuple[str, ...] | None
    layers: tuple[str, ...]


class DockerExporter:
    """Writes to `dest`, atomically; with no `dest` it loads into the engine."""

    def __init__(self, spec: OutputSpec, means: Means) -> None:
        self._dest = spec.dest
        self._means = means

    def check(self) -> None:
        if self._dest is not None:
            check_file(self._dest, self._means.stdout)

    def export(self, result: BuildResult) -> Exported:
        if len(result.images) != 1:
            raise UsageError(
                "docker-one-platform", "docker's archive holds one platform only", help="use type=oci, or build with one --platform"
            )
        complete(result, self._means)
        files = docker_files(result, self._means)
        blobs = contents(result, self._means)
        if self._dest is None:
            with loading(self._means.engine) as write:
                write_archive(write, files, self._means.blobs, blobs)
            names = ", ".join(name.familiar for name in self._means.names) or result.descriptor.digest
            return Exported(f"loaded {names} into the docker engine")
        with open_sink(self._dest, self._means.stdout) as write:
            write_archive(write, files, self._means.blobs, blobs)
        return Exported(f"wrote {self._dest}" if self._dest != "-" else "wrote the image to standard output")


def docker_files(result: BuildResult, means: Means) -> dict[str, bytes]:
    """The files beside the blobs."""
    (image,) = result.images
    return {**layout_files(index_entries(result.descriptor, means.names, means.created)), **docker_tables(((image.manifest, means.names),))}


def docker_tables(images: Sequence[tuple[Manifest, tuple[Reference, ...]]]) -> dict[str, bytes]:
    """docker's own two tables over images of one platform each, with their names."""
    saved = [
        _Saved(
            _path(manifest.config.digest),
            tuple(_familiar(name) for name in names) or None,
            tuple(_path(layer.digest) for layer in manifest.layers),
        )
        for manifest, names in images
    ]
    files = {"manifest.json": msgspec.json.encode(saved)}
    repositories = _repositories(images)
    if repositories:
        files["repositories"] = msgspec.json.encode(repositories)
    return files


def _repositories(images: Sequence[tuple[Manifest, tuple[Reference, ...]]]) -> dict[str, dict[str, str]]:
    """The form of engines before 1.10, which others still look for: name, tag, topmost layer."""
    found: dict[str, dict[str, str]] = {}
    for manifest, names in images:
        top = manifest.layers[-1] if manifest.layers else manifest.config
        for name in sorted(names, key=str):
            if name.tag:
                repository = msgspec.structs.replace(name, tag=None, digest=None).familiar
                found.setdefault(repository, {})[name.tag] = hex_of(top.digest)
    return found


def _familiar(name: Reference) -> str:
    return msgspec.structs.replace(name, digest=None).familiar


def _path(digest: str) -> str:
    return f"blobs/sha256/{hex_of(digest)}"
