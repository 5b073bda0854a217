"""Images that come as files: OCI archives, OCI layouts and docker archives, brought into the store.

An archive is read once, as a stream, so it may come from a pipe and be compressed as a whole. Blobs go
straight into the store, checked against the digest they are filed under; names in the archive are looked up
in tables and never become paths. Where an archive is both kinds (docker 25 on), the OCI half counts.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable

import msgspec

from builder.errors import CorruptionError, LayerwrightError, UsageError
from builder.fs.compress import CHUNK, Readable, decompress
from builder.fs.entries import Entry
from builder.fs.tarread import Body, read_tar
from builder.oci.config import MAX_CONFIG, decode_config
from builder.oci.digest import Digest, parse_digest
from builder.oci.manifest import MAX_MANIFEST, Descriptor, Index, Manifest, decode, describe, encode
from builder.oci.media import INDEXES, MANIFESTS, OCI_CONFIG, OCI_MANIFEST, Compression, layer_media_type
from builder.oci.reference import Reference, parse_reference
from builder.store.blobs import BlobStore
from builder.store.layout import MAX_NESTED, BlobSource, Layout, closure, names_of

MAX_INDEX = 16 << 20

_BLOBS = "blobs/sha256/"
_TABLES = frozenset({"oci-layout", "index.json", "manifest.json", "repositories"})
_LEGACY = frozenset({"VERSION", "json"})
"""Files that docker wrote for engines before 1.10 beside each layer."""


class Loaded(msgspec.Struct, frozen=True):
    """One image that is in the store now, and what the archive called it."""

    names: tuple[Reference, ...]
    descriptor: Descriptor


class _Saved(msgspec.Struct, rename="pascal"):
    config: str
    layers: tuple[str, ...]
    repo_tags: tuple[str, ...] | None = None


class _File(msgspec.Struct, frozen=True):
    digest: Digest
    size: int
    compression: Compression


class _Contents:
    """What an archive held: small tables as bytes, all else as blobs by name, links as their targets."""

    def __init__(self) -> None:
        self.tables: dict[str, bytes] = {}
        self.files: dict[str, _File] = {}
        self.links: dict[str, str] = {}

    def file(self, name: str) -> _File:
        """The file of a name, links followed inside the archive."""
        path = posixpath.normpath(name).lstrip("/")
        for _ in range(8):
            if path not in self.links:
                break
            path = self.links[path]
        found = self.files.get(path)
        if found is None:
            raise CorruptionError(
                "archive-incomplete", f"the archive names {name[:200]!r} but does not hold it", help="make the archive again"
            )
        return found


def load_archive(stream: Readable, blobs: BlobStore) -> tuple[Loaded, ...]:
    """The images of an OCI or docker archive, all in the store; raises for anything else."""
    contents = _Contents()
    for entry, body in read_tar(decompress(stream), whiteouts=False):
        _take(contents, entry, body, blobs)
    if "index.json" in contents.tables and "oci-layout" in contents.tables:
        return _from_index(contents.tables["index.json"], blobs)
    if "manifest.json" in contents.tables:
        return _from_docker(contents, blobs)
    if "repositories" in contents.tables:
        raise LayerwrightError("archive-too-old", "the archive is of a docker before 1.10", help="load and save it with a newer docker")
    raise LayerwrightError(
        "not-an-archive", "this is no image archive: it has neither index.json nor manifest.json", help="make one with `layerwright save`"
    )


def load_layout(layout: Layout, blobs: BlobStore, descriptors: Iterable[Descriptor] | None = None) -> tuple[Loaded, ...]:
    """The images of a layout (or those named), copied into the store."""
    wanted = tuple(layout.index.manifests if descriptors is None else descriptors)
    for descriptor in wanted:
        for part in closure(layout, descriptor):
            copy_blob(layout, blobs, part)
    return _grouped(wanted)


def copy_blob(source: BlobSource, blobs: BlobStore, descriptor: Descriptor) -> None:
    """One blob into the store, its digest and size checked."""
    if blobs.size(descriptor.digest) == descriptor.size:
        return
    with source.open(descriptor.digest) as reader, blobs.writer() as writer:
        while chunk := reader.read(CHUNK):
            writer.write(chunk)
        _, size = writer.commit(descriptor.digest)
    if size != descriptor.size:
        raise CorruptionError("blob-size", f"blob {descriptor.digest} has {size} bytes, its descriptor says {descriptor.size}")


def _take(contents: _Contents, entry: Entry, body: Body, blobs: BlobStore) -> None:
    path = entry.path
    if entry.kind in ("symlink", "hardlink"):
        target = entry.link if entry.kind == "hardlink" else posixpath.join(posixpath.dirname(path), entry.link)
        contents.links[path] = posixpath.normpath("/" + target).lstrip("/")
        return
    if entry.kind != "file" or posixpath.basename(path) in _LEGACY:
        return
    if path in _TABLES:
        contents.tables[path] = _small(path, body)
        return
    expected = parse_digest("sha256:" + path.removeprefix(_BLOBS)) if path.startswith(_BLOBS) else None
    head = b""
    with blobs.writer() as writer:
        while chunk := body.read(CHUNK):
            head = head or chunk[:4]
            writer.write(chunk)
        digest, size = writer.commit(expected)
    contents.files[path] = _File(digest, size, _compression(head))


def _small(path: str, body: Body) -> bytes:
    data = bytearray()
    while chunk := body.read(CHUNK):
        data += chunk
        if len(data) > MAX_INDEX:
            raise CorruptionError("archive-table", f"{path} of the archive is larger than {MAX_INDEX} bytes")
    return bytes(data)


def _compression(head: bytes) -> Compression:
    if head.startswith(b"\x1f\x8b"):
        return "gzip"
    return "zstd" if head.startswith(b"\x28\xb5\x2f\xfd") else "none"


def _from_index(raw: bytes, blobs: BlobStore) -> tuple[Loaded, ...]:
    index = decode(raw)
    if not isinstance(index, Index):
        raise CorruptionError("layout-index", "index.json of the archive is not an image index")
    for descriptor in index.manifests:
        _require(blobs, descriptor, 0)
    return _grouped(index.manifests)


def _require(blobs: BlobStore, descriptor: Descriptor, depth: int) -> bool:
    """An image must be whole; an index may list platforms that were not saved, but not only such."""
    if depth > MAX_NESTED:
        raise CorruptionError("manifest-nesting", f"{descriptor.digest} nests indexes too deeply")
    if not blobs.has(descriptor.digest):
        if depth:
            return False
        raise CorruptionError(
            "archive-incomplete", f"the archive names the image {descriptor.digest} but does not hold it", help="make the archive again"
        )
    if descriptor.media_type not in INDEXES | MANIFESTS:
        return True
    document = decode(blobs.read(descriptor.digest, MAX_MANIFEST), descriptor.media_type)
    if isinstance(document, Manifest):
        for part in (document.config, *document.layers):
            if blobs.size(part.digest) != part.size:
                raise CorruptionError(
                    "archive-incomplete", f"the archive lacks {part.digest} of the image {descriptor.digest}", help="make the archive again"
                )
        return True
    whole = [_require(blobs, child, depth + 1) for child in document.manifests]
    if whole and not any(whole):
        raise CorruptionError(
            "archive-incomplete", f"the archive has no image of the index {descriptor.digest}", help="make the archive again"
        )
    return True


def _grouped(descriptors: Iterable[Descriptor]) -> tuple[Loaded, ...]:
    """One image for each digest, with all its names."""
    found: dict[Digest, Loaded] = {}
    for descriptor in descriptors:
        before = found.get(descriptor.digest)
        names = _references(names_of(descriptor))
        bare = msgspec.structs.replace(descriptor, annotations={})
        found[descriptor.digest] = Loaded(tuple(dict.fromkeys((*(before.names if before else ()), *names))), bare)
    return tuple(found.values())


def _references(names: Iterable[str]) -> list[Reference]:
    """Full names as references; a bare tag names no repository and says nothing here."""
    found: list[Reference] = []
    for name in names:
        if "/" not in name and ":" not in name:
            continue
        try:
            found.append(parse_reference(name))
        except UsageError:
            continue
    return found


def _from_docker(contents: _Contents, blobs: BlobStore) -> tuple[Loaded, ...]:
    try:
        saved = msgspec.json.decode(contents.tables["manifest.json"], type=tuple[_Saved, ...])
    except (msgspec.DecodeError, RecursionError):
        raise CorruptionError("archive-table", "manifest.json of the archive is not docker's", help="make the archive again") from None
    return tuple(_docker_image(contents, image, blobs) for image in saved)


def _docker_image(contents: _Contents, saved: _Saved, blobs: BlobStore) -> Loaded:
    """docker's archive has no manifest: one is made over its config and its layers as they are."""
    config_file = contents.file(saved.config)
    if config_file.size > MAX_CONFIG:
        raise CorruptionError("config-too-large", f"a config of the archive is over the limit of {MAX_CONFIG} bytes")
    config = decode_config(blobs.read(config_file.digest, MAX_CONFIG))
    layers = [contents.file(name) for name in saved.layers]
    if len(layers) != len(config.rootfs.diff_ids):
        raise CorruptionError(
            "layers-mismatch", f"the archive has {len(layers)} layers, but its config names {len(config.rootfs.diff_ids)}"
        )
    for layer, diff_id in zip(layers, config.rootfs.diff_ids, strict=True):
        if layer.compression == "none" and str(layer.digest) != diff_id:
            raise CorruptionError(
                "blob-corrupted", f"a layer of the archive is {layer.digest}, its config says {diff_id}", help="make the archive again"
            )
    manifest = Manifest(
        Descriptor(OCI_CONFIG, config_file.digest, config_file.size),
        tuple(Descriptor(layer_media_type(layer.compression), layer.digest, layer.size) for layer in layers),
    )
    raw = encode(manifest)
    blobs.put(raw)
    return Loaded(tuple(_references(saved.repo_tags or ())), describe(raw, OCI_MANIFEST))
