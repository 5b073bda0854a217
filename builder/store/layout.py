"""OCI image layouts: directories of blobs with an index of names (image-spec v1.1 image-layout.md).

On disk:

    <path>/
        oci-layout             {"imageLayoutVersion":"1.0.0"}
        index.json             an image index; names are annotations of its descriptors
        blobs/sha256/<hex>     as in our own store, but readable by all

Writing keeps what is there: blobs are added by rename, then index.json is replaced by rename, under a flock
on `oci-layout`; whoever reads meanwhile sees the old index or the new one, and all blobs of either.
A foreign layout is never written to by reading, and no symlink in it is followed.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import msgspec

from builder.errors import CorruptionError, LayerwrightError, NotFoundError
from builder.oci.digest import Digest, hex_of, parse_digest
from builder.oci.manifest import MAX_MANIFEST, Descriptor, Index, Manifest, decode, encode
from builder.oci.media import INDEXES, MANIFESTS
from builder.store.blobs import CHUNK, BlobStore, VerifiedReader, missing_blob
from builder.store.space import guard_space
from grammar.diagnostics import suggest

LAYOUT_FILE = "oci-layout"
LAYOUT_BYTES = b'{"imageLayoutVersion":"1.0.0"}'
IMAGE_NAME = "io.containerd.image.name"
REF_NAME = "org.opencontainers.image.ref.name"
CREATED = "org.opencontainers.image.created"

MAX_NESTED = 4


class BlobSource(Protocol):
    """Where blobs can be read: a BlobStore, or a layout."""

    def size(self, digest: Digest) -> int | None:
        """Bytes of a blob, None when it is absent."""
        ...

    def open(self, digest: Digest) -> VerifiedReader:
        """NotFoundError when absent; CorruptionError at the end of wrong bytes."""
        ...


class _Version(msgspec.Struct, rename="camel"):
    image_layout_version: str = ""


class Layout:
    """A layout that is there; reading only. It is a BlobSource."""

    def __init__(self, path: Path, index: Index) -> None:
        self.path = path
        self.index = index
        self._blobs = path / "blobs" / "sha256"

    @classmethod
    def at(cls, path: Path) -> Layout:
        """Read a layout's index; raises NotFoundError when there is no layout, CorruptionError when it is broken."""
        try:
            marker = read_plain(path / LAYOUT_FILE, 4096)
            raw = read_plain(path / "index.json", MAX_MANIFEST)
        except FileNotFoundError:
            raise NotFoundError("no-layout", f"{path} is not an OCI layout", help="it wants the files oci-layout and index.json") from None
        except OSError as error:
            raise LayerwrightError("layout-unreadable", f"the OCI layout {path} cannot be read: {error.strerror}") from None
        try:
            version = msgspec.json.decode(marker, type=_Version).image_layout_version
        except msgspec.DecodeError:
            version = ""
        if version != "1.0.0":
            raise CorruptionError("layout-version", f"{path} is an OCI layout of version {version[:20]!r}, not 1.0.0")
        document = decode(raw)
        if not isinstance(document, Index):
            raise CorruptionError("layout-index", f"{path}/index.json is not an image index")
        return cls(path, document)

    def size(self, digest: Digest) -> int | None:
        """Bytes of a blob, None when it is absent."""
        try:
            return os.stat(self._file(digest), follow_symlinks=False).st_size
        except FileNotFoundError:
            return None

    def open(self, digest: Digest) -> VerifiedReader:
        """The verified bytes of a blob."""
        try:
            fd = os.open(self._file(digest), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        except FileNotFoundError:
            raise missing_blob(digest) from None
        except OSError as error:
            raise CorruptionError("blob-unreadable", f"blob {digest} of {self.path} cannot be read: {error.strerror}") from None
        return VerifiedReader(os.fdopen(fd, "rb", buffering=0), digest)

    def find(self, name: str | None) -> Descriptor:
        """The image of a tag or full name, of a digest, or the only one (None)."""
        if name is None:
            if len(self.index.manifests) == 1:
                return self.index.manifests[0]
            found = [descriptor for descriptor in self.index.manifests if "latest" in names_of(descriptor)]
            if found:
                return found[0]
            raise NotFoundError("layout-ambiguous", f"{self.path} holds {len(self.index.manifests)} images", help=self._known())
        if name.startswith("sha256:"):
            return self._by_digest(parse_digest(name))
        for descriptor in self.index.manifests:
            if name in names_of(descriptor):
                return descriptor
        near = suggest(name, sorted({known for descriptor in self.index.manifests for known in names_of(descriptor)}))
        raise NotFoundError("layout-unknown", f"{self.path} has no image {name!r}", help=f"did you mean {near}?" if near else self._known())

    def _by_digest(self, digest: Digest) -> Descriptor:
        for descriptor in self.index.manifests:
            if descriptor.digest == digest:
                return descriptor
        for descriptor in self.index.manifests:
            document = None
            if descriptor.media_type in INDEXES:
                document = decode(read_blob(self, descriptor.digest, MAX_MANIFEST), descriptor.media_type)
            if isinstance(document, Index):
                for child in document.manifests:
                    if child.digest == digest:
                        return child
        raise NotFoundError("layout-unknown", f"{self.path} has no image {digest}", help=self._known())

    def _known(self) -> str:
        names = sorted({name for descriptor in self.index.manifests for name in names_of(descriptor)})
        return f"it has {', '.join(names[:8])}" if names else "name it by its digest"

    def _file(self, digest: Digest) -> str:
        return str(self._blobs / hex_of(parse_digest(digest)))


def names_of(descriptor: Descriptor) -> tuple[str, ...]:
    """What a descriptor of an index.json is called: its full name and its tag."""
    found = (descriptor.annotations.get(IMAGE_NAME, ""), descriptor.annotations.get(REF_NAME, ""))
    return tuple(dict.fromkeys(name for name in found if name))


def read_blob(blobs: BlobSource, digest: Digest, limit: int) -> bytes:
    """A whole small blob, verified."""
    with blobs.open(digest) as reader:
        data = bytearray()
        while chunk := reader.read(CHUNK):
            data += chunk
            if len(data) > limit:
                raise CorruptionError("blob-too-large", f"blob {digest} has more than the {limit} bytes it may have")
    return bytes(data)


def copy_blob(layout: Layout, descriptor: Descriptor, blobs: BlobStore) -> None:
    """A blob of a layout into a store; CorruptionError for other bytes than the descriptor's."""
    if layout.size(descriptor.digest) != descriptor.size:
        raise NotFoundError("blob-missing", f"{layout.path} has no whole blob {descriptor.digest}")
    with layout.open(descriptor.digest) as reader, blobs.writer() as writer:
        while chunk := reader.read(CHUNK):
            writer.write(chunk)
        writer.commit(descriptor.digest)


def closure(blobs: BlobSource, descriptor: Descriptor, depth: int = 0) -> Iterator[Descriptor]:
    """A manifest or index and all that it names, children before parents; needs the manifests, not the layers."""
    if depth > MAX_NESTED:
        raise CorruptionError("manifest-nesting", f"{descriptor.digest} nests indexes too deeply")
    if descriptor.media_type in INDEXES | MANIFESTS:
        document = decode(read_blob(blobs, descriptor.digest, MAX_MANIFEST), descriptor.media_type)
        if isinstance(document, Manifest):
            yield from (*document.layers, document.config)
        else:
            for child in document.manifests:
                yield from closure(blobs, child, depth + 1)
    yield descriptor


def write_layout(path: Path, entries: Iterable[Descriptor], blobs: BlobSource) -> None:
    """Add images to a layout, made if need be; an entry of the same name takes the place of the one before."""
    entries = tuple(entries)
    update_layout(path, lambda old: entries, blobs)


def update_layout(
    path: Path, make: Callable[[Layout | None], Iterable[Descriptor]], blobs: BlobSource, *, unnamed_after: float | None = None
) -> None:
    """As `write_layout`, the entries made from what is there (None: nothing yet) while no other writer can change it.

    With `unnamed_after` blobs that nothing names and that are older than so many seconds are removed.
    """
    try:
        with guard_space(path), _exclusive(path):
            present: set[Digest] = set()
            entries = tuple(make(_existing(path)))
            for entry in entries:
                for descriptor in closure(blobs, entry):
                    if descriptor.digest not in present:
                        present.add(descriptor.digest)
                        _add_blob(path, descriptor, blobs)
            kept = _kept(path, entries)
            _replace(path / "index.json", encode(Index(manifests=(*kept, *entries))))
            if unnamed_after is not None:
                _remove_unnamed(Layout.at(path), time.time() - unnamed_after)
    except OSError as error:
        where = error.filename or path
        raise LayerwrightError("output-unwritable", f"the OCI layout {path} cannot be written: {error.strerror} ({where})") from error


def _remove_unnamed(layout: Layout, written_before: float) -> None:
    """Nothing is removed where a manifest is missing, for then nobody knows what it named."""
    try:
        named = {hex_of(part.digest) for entry in layout.index.manifests for part in closure(layout, entry)}
    except (NotFoundError, CorruptionError):
        return
    with os.scandir(layout.path / "blobs" / "sha256") as scan:
        for blob in scan:
            if blob.name not in named and blob.stat(follow_symlinks=False).st_mtime < written_before:
                os.unlink(blob.path)


def _existing(path: Path) -> Layout | None:
    try:
        return Layout.at(path)
    except NotFoundError:
        return None


def _kept(path: Path, entries: tuple[Descriptor, ...]) -> list[Descriptor]:
    """What the index had and has still: all but what is written again under the same name, or nameless."""
    layout = _existing(path)
    if layout is None:
        return []
    old = layout.index.manifests
    new = {(name_key(entry) or entry.digest) for entry in entries}
    return [descriptor for descriptor in old if (name_key(descriptor) or descriptor.digest) not in new]


def name_key(descriptor: Descriptor) -> str:
    """The name that only one entry of an index has."""
    return descriptor.annotations.get(IMAGE_NAME) or descriptor.annotations.get(REF_NAME, "")


@contextmanager
def _exclusive(path: Path) -> Iterator[None]:
    """Two writers of one layout: each reads and replaces index.json under the lock, so that no entry is lost."""
    (path / "blobs" / "sha256").mkdir(parents=True, exist_ok=True)
    fd = os.open(path / LAYOUT_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        if os.fstat(fd).st_size == 0:
            os.write(fd, LAYOUT_BYTES)
        yield
    finally:
        os.close(fd)


def _add_blob(path: Path, descriptor: Descriptor, blobs: BlobSource) -> None:
    target = path / "blobs" / "sha256" / hex_of(parse_digest(descriptor.digest))
    try:
        if os.stat(target, follow_symlinks=False).st_size == descriptor.size:
            return
    except FileNotFoundError:
        pass
    with blobs.open(descriptor.digest) as reader, _replacing(target) as fd:
        if reader.is_file:
            reader.copy_to(fd)
            return
        while chunk := reader.read(CHUNK):
            view = memoryview(chunk)
            while view:
                view = view[os.write(fd, view) :]


def _replace(target: Path, data: bytes) -> None:
    with _replacing(target) as fd:
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view) :]


@contextmanager
def _replacing(target: Path) -> Iterator[int]:
    """A file written beside `target` and renamed to it once it is durable."""
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    try:
        try:
            yield fd
            os.fsync(fd)
        finally:
            os.close(fd)
        os.rename(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def read_plain(path: Path, limit: int) -> bytes:
    """A small regular file, no link followed; raises OSError, and CorruptionError when it is larger."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    with open(fd, "rb") as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise CorruptionError("file-too-large", f"{path} is larger than {limit} bytes")
    return data
