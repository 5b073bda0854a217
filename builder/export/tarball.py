"""The tar output: the result's root filesystem as one tar, owners and times kept."""

from __future__ import annotations

import os

import msgspec

from builder.errors import UsageError
from builder.export.exporter import Exported, Means
from builder.export.rootfs import entries_of, trees
from builder.export.sink import check_file, open_sink
from builder.export.spec import OutputSpec
from builder.fs.entries import Entry
from builder.fs.tarwrite import TarWriter
from builder.fs.tree import Tree
from builder.image.model import BuildResult


class TarExporter:
    """Writes to `dest`, atomically."""

    def __init__(self, spec: OutputSpec, means: Means) -> None:
        self._spec = spec
        self._means = means
        self._dest = spec.dest or "-"

    def check(self) -> None:
        check_file(self._dest, self._means.stdout)

    def export(self, result: BuildResult) -> Exported:
        check_split(self._spec, result)
        with open_sink(self._dest, self._means.stdout) as write:
            writer = TarWriter(write)
            epoch = self._means.epoch if self._spec.epoch is None else self._spec.epoch
            for prefix, tree in trees(result.images, self._means.layers, self._spec.platform_split):
                if prefix:
                    writer.add(Entry(prefix, "dir", 0o755))
                write_tree(writer, tree, f"{prefix}/" if prefix else "", epoch)
            writer.close()
        return Exported(f"wrote {self._dest}" if self._dest != "-" else "wrote the files to standard output")


def check_split(spec: OutputSpec, result: BuildResult) -> None:
    """Several platforms in one place would overwrite each other."""
    if spec.platform_split is False and len(result.images) > 1:
        raise UsageError(
            "platform-split", "platform-split=false puts several platforms into one place", help="leave it out, or build one --platform"
        )


def write_tree(writer: TarWriter, tree: Tree, prefix: str, epoch: int | None) -> None:
    """All entries of a tree under a prefix."""
    for entry in entries_of(tree, epoch):
        moved = msgspec.structs.replace(
            entry, path=prefix + entry.path, link=prefix + entry.link if entry.kind == "hardlink" else entry.link
        )
        if moved.kind != "file" or not moved.size:
            writer.add(moved)
            continue
        fd = tree.open(entry.path)
        try:
            writer.add(moved, fd)
        finally:
            os.close(fd)
