"""Images that a command names, wherever they are: in the store, in a registry, in an archive, in an OCI layout."""

from __future__ import annotations

import os
import re
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

import msgspec

from builder.compare.images import OpenBlob, Side
from builder.engine import stored
from builder.engine.workshop import Workshop
from builder.errors import NotFoundError, UsageError
from builder.image.archives import Loaded, load_archive
from builder.oci.config import MAX_CONFIG
from builder.oci.manifest import MAX_MANIFEST, Descriptor, Index, decode
from builder.oci.platform import Platform
from builder.oci.reference import Reference, parse_reference
from builder.registry.resolved import Read, resolve_image
from builder.registry.select import image_descriptors
from builder.store.blobs import BlobStore, DirectoryBlobs, VerifiedReader
from builder.store.layout import Layout, read_blob

REGISTRY = re.compile(r"(?:docker-image|docker)://")
LAYOUT = "oci-layout://"
UNNAMED = parse_reference("image.invalid/image")
"""What an image without a name is called where a name is wanted (RFC 2606)."""

_LIMIT = max(MAX_MANIFEST, MAX_CONFIG)


class Operand(msgspec.Struct, frozen=True):
    """An image or an index that a command's argument means."""

    title: str
    reference: Reference
    root: Descriptor
    read: Read
    open: OpenBlob

    def resolve(self, platform: Platform) -> Side:
        """The image of a platform; raises NotFoundError where an index has none."""
        return Side(self.title, resolve_image(self.reference, self.root, platform, self.read), self.open)

    def child(self, descriptor: Descriptor) -> Side:
        """An image of the index."""
        platform = descriptor.platform or Platform("", "")
        return Side(self.title, resolve_image(self.reference, descriptor, platform, self.read), self.open)

    def platforms(self) -> dict[str, Descriptor] | None:
        """The images of an index by platform; None for a single image."""
        document = decode(self.read(self.root), self.root.media_type)
        if not isinstance(document, Index):
            return None
        return {str(child.platform): child for child in image_descriptors(document) if child.platform is not None}


def open_operand(text: str, shop: Workshop, stack: ExitStack, stdin: BinaryIO | None = None) -> Operand:
    """What `text` means: `-` an archive on standard input, `docker-image://REF` an image of a registry, a path an archive or
    a layout (`PATH:NAME` one of several images), else a name or id of the store, else a path, else a name with its registry.
    """
    if text == "-":
        if stdin is None:
            raise UsageError("no-stdin", "there is nothing on standard input", help="pipe an archive in, or name a file")
        return _archive(text, stdin, None, shop, stack)
    if REGISTRY.match(text):
        return _pulled(text, parse_reference(REGISTRY.sub("", text)), shop)
    if text.startswith(LAYOUT) or text.startswith(("/", "./", "../")):
        return _file(text, *_split(text.removeprefix(LAYOUT)), shop, stack)
    try:
        reference, root = stored.find(shop.store, text)
    except (NotFoundError, UsageError):
        path, name = _split(text)
        if path.exists():
            return _file(text, path, name, shop, stack)
        host = text.partition("/")[0]
        if "/" not in text or not ("." in host or ":" in host or host == "localhost"):
            raise
        return _pulled(text, parse_reference(text), shop)
    return _stored(text, reference, root, shop)


def registry_host(text: str) -> str | None:
    """The registry that an argument may name; None for a path."""
    if text == "-" or text.startswith((LAYOUT, "/", "./", "../")) or Path(text).exists():
        return None
    try:
        return parse_reference(REGISTRY.sub("", text)).registry
    except UsageError:
        return None


def _stored(text: str, reference: Reference, root: Descriptor, shop: Workshop) -> Operand:
    return Operand(text, reference, root, _reader(shop.store.blobs), stored_blobs(shop))


def stored_blobs(shop: Workshop) -> OpenBlob:
    """Opens blobs of the store; those of layers are fetched from where they came where they are not there."""
    blobs = shop.store.blobs
    where = stored.origins(shop.store)

    def opened(descriptor: Descriptor) -> VerifiedReader:
        if not blobs.has(descriptor.digest) and descriptor.digest in where:
            shop.fetch(descriptor, where[descriptor.digest])
        return blobs.open(descriptor.digest)

    return opened


def _pulled(text: str, reference: Reference, shop: Workshop) -> Operand:
    registry, blobs = shop.registry(), shop.store.blobs

    def read(descriptor: Descriptor) -> bytes:
        registry.fetch(descriptor, reference.name)
        return blobs.read(descriptor.digest, _LIMIT)

    def opened(descriptor: Descriptor) -> VerifiedReader:
        registry.fetch(descriptor, reference.name)
        return blobs.open(descriptor.digest)

    return Operand(text, reference, registry.manifest(reference)[0], read, opened)


def _file(text: str, path: Path, name: str | None, shop: Workshop, stack: ExitStack) -> Operand:
    if path.is_dir():
        layout = Layout.at(path)
        return Operand(
            text,
            UNNAMED,
            layout.find(name),
            lambda descriptor: read_blob(layout, descriptor.digest, _LIMIT),
            lambda descriptor: layout.open(descriptor.digest),
        )
    try:
        with open(path, "rb") as stream:
            return _archive(text, stream, name, shop, stack)
    except (FileNotFoundError, PermissionError) as error:
        raise NotFoundError("file-unreadable", f"{text} cannot be read: {error.strerror}", help="check the path") from None


def _archive(text: str, stream: BinaryIO, name: str | None, shop: Workshop, stack: ExitStack) -> Operand:
    """Its blobs go into a directory of their own, for as long as `stack`, and not into the store."""
    scratch = stack.enter_context(shop.store.temporary("archive-"))
    blobs = DirectoryBlobs(scratch / "blobs", ingest=scratch / "ingest", clock=shop.store.now)
    found = _choose(text, load_archive(stream, blobs), name)
    return Operand(text, UNNAMED, found.descriptor, _reader(blobs), lambda descriptor: blobs.open(descriptor.digest))


def _choose(text: str, images: tuple[Loaded, ...], name: str | None) -> Loaded:
    known = sorted({reference.familiar for image in images for reference in image.names})
    if name is None:
        if len(images) == 1:
            return images[0]
        raise UsageError(
            "archive-ambiguous",
            f"{text} holds {len(images)} images",
            help=f"write {text}:NAME; it has {', '.join(known[:8]) or 'no names'}",
        )
    for image in images:
        if name == image.descriptor.digest or name in {str(reference) for reference in image.names} | {
            reference.familiar for reference in image.names
        }:
            return image
    raise NotFoundError("archive-unknown", f"the archive has no image {name!r}", help=f"it has {', '.join(known[:8]) or 'no names'}")


def _reader(blobs: BlobStore) -> Read:
    return lambda descriptor: blobs.read(descriptor.digest, _LIMIT)


def _split(text: str) -> tuple[Path, str | None]:
    """The path, and the name or digest behind it; a file may have colons in its name."""
    if not os.path.exists(text):
        for match in re.finditer("[:@]", text):
            if os.path.exists(text[: match.start()]):
                return Path(text[: match.start()]), text[match.end() :]
    return Path(text), None
