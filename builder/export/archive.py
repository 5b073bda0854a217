"""Images as one tar: the entries of an OCI layout, and of docker's archive beside them, in sorted order, without a time."""

from __future__ import annotations

from collections.abc import Iterable

from builder.errors import CorruptionError
from builder.export.sink import FileSink, Write
from builder.fs.entries import Entry
from builder.fs.tarwrite import BLOCK, CHUNK, encode_header
from builder.oci.digest import hex_of
from builder.oci.manifest import Descriptor
from builder.store.layout import BlobSource


def write_archive(write: Write, files: dict[str, bytes], blobs: BlobSource, descriptors: Iterable[Descriptor]) -> None:
    """The blobs under blobs/sha256 and the files by name; the same input gives the same bytes."""
    by_name = {f"blobs/sha256/{hex_of(descriptor.digest)}": descriptor for descriptor in descriptors}
    write(encode_header(Entry("blobs", "dir", 0o755)))
    write(encode_header(Entry("blobs/sha256", "dir", 0o755)))
    for name in sorted((*by_name, *files)):
        if name in files:
            data = files[name]
            write(encode_header(Entry(name, "file", 0o444, size=len(data))) + data + bytes(-len(data) % BLOCK))
        else:
            _blob(write, name, blobs, by_name[name])
    write(bytes(2 * BLOCK))


def _blob(write: Write, name: str, blobs: BlobSource, descriptor: Descriptor) -> None:
    write(encode_header(Entry(name, "file", 0o444, size=descriptor.size)))
    done = 0
    with blobs.open(descriptor.digest) as reader:
        if isinstance(write, FileSink) and reader.is_file:
            done = write.take(reader)
        else:
            while chunk := reader.read(CHUNK):
                done += len(chunk)
                if done <= descriptor.size:
                    write(chunk)
    if done != descriptor.size:
        raise CorruptionError("blob-size", f"blob {descriptor.digest} has {done} bytes, its descriptor says {descriptor.size}")
    write(bytes(-done % BLOCK))
