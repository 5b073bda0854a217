"""The oci output: an image layout as one tar, or as a directory that keeps what is in it."""

from __future__ import annotations

from pathlib import Path

import msgspec

from builder.errors import LayerwrightError
from builder.export.archive import write_archive
from builder.export.exporter import Exported, Means, complete
from builder.export.sink import check_file, open_sink
from builder.export.spec import OutputSpec
from builder.image.model import BuildResult
from builder.oci.manifest import Descriptor, Index, encode
from builder.oci.reference import Reference
from builder.store.layout import CREATED, IMAGE_NAME, LAYOUT_BYTES, REF_NAME, closure, write_layout


class OciExporter:
    """Writes to `dest`; atomic as a tar. A directory gets its blobs first and its index last."""

    def __init__(self, spec: OutputSpec, means: Means) -> None:
        self._spec = spec
        self._means = means
        self._dest = spec.dest or "-"

    def check(self) -> None:
        if self._spec.tar:
            check_file(self._dest, self._means.stdout)
        elif Path(self._dest).exists() and not Path(self._dest).is_dir():
            raise LayerwrightError(
                "output-not-directory", f"the output {self._dest} is not a directory", help="name one, or leave tar=false out"
            )

    def export(self, result: BuildResult) -> Exported:
        complete(result, self._means)
        names = self._means.names
        if not self._spec.tar:
            # buildx gives a nameless image of a layout directory the tag `latest` (client/solve.go, ociindex).
            write_layout(Path(self._dest), index_entries(result.descriptor, names, self._means.created, tag="latest"), self._means.blobs)
            return Exported(f"wrote the OCI layout {self._dest}")
        entries = index_entries(result.descriptor, names, self._means.created)
        with open_sink(self._dest, self._means.stdout) as write:
            write_archive(write, layout_files(entries), self._means.blobs, contents(result, self._means))
        return Exported(f"wrote {self._dest}" if self._dest != "-" else "wrote the image to standard output")


def index_entries(
    descriptor: Descriptor, names: tuple[Reference, ...], created: str | None, *, tag: str | None = None
) -> tuple[Descriptor, ...]:
    """One index.json entry for each name; a nameless image has one, called `tag` where that is given."""
    base = dict(descriptor.annotations)
    if created is not None:
        base[CREATED] = created
    if not names:
        return (msgspec.structs.replace(descriptor, annotations={**base, REF_NAME: tag} if tag else base),)
    return tuple(
        msgspec.structs.replace(descriptor, annotations={**base, IMAGE_NAME: str(name), **({REF_NAME: name.tag} if name.tag else {})})
        for name in names
    )


def layout_files(entries: tuple[Descriptor, ...]) -> dict[str, bytes]:
    """The two files that make blobs a layout."""
    return {"oci-layout": LAYOUT_BYTES, "index.json": encode(Index(manifests=entries))}


def contents(result: BuildResult, means: Means) -> tuple[Descriptor, ...]:
    """All blobs of a result."""
    return tuple(closure(means.blobs, result.descriptor))
