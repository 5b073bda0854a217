"""Puts a cache where others can read it: a registry that many write to at once, or a layout directory.

In a registry the cache is one tag. There is no compare-and-swap for a tag, so each export first pushes what it
has under a tag of its own, `<tag>.lw-<time>-<random>`, then the union of all such exports and of what the tag
held to the tag itself, and looks again: as long as the tag does not cover every export that can be listed, the
union is pushed once more. Whoever pushes last lists after that push; an export that another's push undid had its
own tag by then, so it is found. Nothing is lost, and in quiet times it takes one round.

An export's own tag stays for half an hour after it is covered, in which a slower export may still need it, and is
then removed by whichever export comes by. Where the registry removes no tags, no more of them are made once there
are many; then, and where it does not list them, two exports within the same second may lose one of them.
"""

from __future__ import annotations

import os
import random
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from builder.cache.artifact import MEDIA_TYPE, ForeignCache, put_artifact, read_cache
from builder.cache.portable import Document, merge
from builder.errors import CorruptionError, LayerwrightError, NotFoundError
from builder.oci.digest import Digest
from builder.oci.manifest import MAX_MANIFEST, Descriptor
from builder.oci.reference import Reference
from builder.registry.failures import RegistryError
from builder.store.blobs import BlobStore
from builder.store.layout import REF_NAME, Layout, names_of, read_blob, update_layout

if TYPE_CHECKING:
    from builder.registry.client import Registry

MAX_ROUNDS = 30
UNNAMED = 3600
"""Seconds after which a directory's blobs that no cache names any more are removed; a reader may be in the midst of one."""
QUIET = 1800
"""Seconds that a covered export's own tag stays."""
MAX_OWN_TAGS = 64
"""With so many covered exports that could not be removed, the registry removes none, and no more are made."""
MAX_REMOVALS = 16
MAX_LISTED = 200

_OWN = re.compile(r"\.lw-([0-9a-f]{8})-([0-9a-f]{12})\Z")


class Published(msgspec.Struct, frozen=True):
    """What the cache holds now, after so many rounds."""

    document: Document
    rounds: int


class RegistryCache:
    """The cache at one tag of a registry, for one export."""

    def __init__(
        self,
        registry: Registry,
        blobs: BlobStore,
        reference: Reference,
        *,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], object] = time.sleep,
        own_tags: int = MAX_OWN_TAGS,
    ) -> None:
        self._registry = registry
        self._blobs = blobs
        self._reference = reference
        self._clock = clock
        self._sleep = sleep
        self._own_tags = own_tags
        self._there: set[Digest] = set()
        self._listed = True

    def publish(self, document: Document, origins: Mapping[Digest, str]) -> Published:
        """Add these results; raises the registry's errors."""
        identity = f"{int(self._clock()):08x}-{os.urandom(6).hex()}"
        ours = msgspec.structs.replace(document, covers=(identity,))
        own_tag = self._tags_help()
        if own_tag:
            self._push(self._own(identity), ours, origins, identity)
        for number in range(MAX_ROUNDS):
            others = self._others()
            main = self.current()
            waiting = [name for name in others if name not in main.covers]
            if identity in main.covers and not waiting:
                self._tidy(self._stale(others, main.covers))
                return Published(main, number)
            children = [found for name in waiting if (found := self._child(name)) is not None]
            merged = merge(ours, (main, *children), int(self._clock()))
            self._push_main(msgspec.structs.replace(merged, covers=_covers(merged.covers, waiting, others, identity)), ours, origins)
            if number or not own_tag:
                self._sleep(random.uniform(0.05, 0.3) * min(number + 1, 5))
        raise LayerwrightError(
            "cache-contended", f"others kept replacing the cache {self._reference.familiar}", help="export to a name for each branch or job"
        )

    def _tags_help(self) -> bool:
        """Whether an export's own tag will be seen by others, and be removed some day."""
        try:
            others = self._others()
        except RegistryError:
            self._listed = False
            return False
        return len(self._stale(others, self.current().covers)) < self._own_tags

    def _others(self) -> list[str]:
        """The exports that have a tag of their own, oldest first."""
        if not self._listed:
            return []
        prefix = _prefix(self._reference)
        tags = (tag.removeprefix(prefix) for tag in self._registry.tags(self._reference) if tag.startswith(prefix))
        return sorted(f"{match[1]}-{match[2]}" for tag in tags if (match := _OWN.fullmatch(tag)) is not None)[-MAX_LISTED:]

    def current(self) -> Document:
        """What the tag holds; nothing where there is none, or none that can be read."""
        try:
            return self._read(self._reference)
        except (NotFoundError, CorruptionError):
            return Document()  # nothing yet, or nothing worth keeping

    def _child(self, name: str) -> Document | None:
        try:
            return self._read(self._own(name))
        except (NotFoundError, CorruptionError):
            return None

    def _read(self, reference: Reference) -> Document:
        root, _ = self._registry.manifest(reference, direct=True)

        def read(descriptor: Descriptor) -> bytes:
            self._registry.fetch(descriptor, self._reference.name)
            return self._blobs.read(descriptor.digest, max(MAX_MANIFEST, descriptor.size))

        try:
            document = read_cache(root, read, reference.familiar)
        except ForeignCache as error:
            raise _occupied(error) from None
        self._there.update(layer.descriptor.digest for layer in document.layers)
        return document

    def _push_main(self, merged: Document, ours: Document, origins: Mapping[Digest, str]) -> None:
        """Where the registry has lost layers of others, what needs them is left out."""
        try:
            self._push(self._reference, merged, origins, "")
        except LayerwrightError:
            own = set(ours.layers)
            gone = {layer for layer in merged.layers if layer not in own and not self._registry.has(self._reference, layer.descriptor)}
            if not gone:
                raise
            self._there.clear()
            self._push(self._reference, merged.without(gone), origins, "")

    def _push(self, reference: Reference, document: Document, origins: Mapping[Digest, str], note: str) -> None:
        descriptor = put_artifact(document, self._blobs, note)
        self._registry.push(reference, descriptor, origins=origins, there=self._there)
        self._there.update(layer.descriptor.digest for layer in document.layers)

    def _stale(self, others: list[str], covers: tuple[str, ...]) -> list[str]:
        oldest = int(self._clock()) - QUIET
        return [name for name in others if name in covers and int(name[:8], 16) < oldest]

    def _tidy(self, stale: list[str]) -> None:
        """Removing is a courtesy: what a registry refuses is left."""
        for name in stale[:MAX_REMOVALS]:
            try:
                reference = self._own(name)
                root, _ = self._registry.manifest(reference, direct=True)
                if not self._registry.untag(reference, root.digest):
                    return
            except LayerwrightError:
                return

    def _own(self, name: str) -> Reference:
        return msgspec.structs.replace(self._reference, tag=f"{_prefix(self._reference)}.lw-{name}")


def _prefix(reference: Reference) -> str:
    """A tag has at most 128 characters, of which an export's own takes 25."""
    return (reference.tag or "latest")[:100]


def _covers(merged: tuple[str, ...], waiting: list[str], others: list[str], identity: str) -> tuple[str, ...]:
    """The exports in the union: those that still have a tag, and the newest of the others, for whoever looks for its own."""
    tagged = set(others)
    found = sorted({*merged, *waiting, identity}, key=lambda name: (name not in tagged and name != identity, _newest_first(name)))
    return tuple(found[:256])


def _newest_first(name: str) -> int:
    return -int(name[:8], 16) if re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{12}", name) else 0


def write_directory(path: Path, tag: str, document: Document, blobs: BlobStore, now: int) -> Document:
    """Add these results to the layout at `path`, atomically, whoever else writes there; what it holds now."""
    written = document

    def entries(old: Layout | None) -> tuple[Descriptor, ...]:
        nonlocal written
        written = merge(document, (_whole(old, tag) if old is not None else Document(),), now)
        root = put_artifact(written, blobs)
        return (msgspec.structs.replace(root, artifact_type=MEDIA_TYPE, annotations={REF_NAME: tag}),)

    update_layout(path, entries, blobs, unnamed_after=UNNAMED)
    return written


def read_directory(path: Path, tag: str) -> Document:
    """The cache in the layout at `path`; NotFoundError when there is none."""
    return _in_layout(Layout.at(path), tag)


def _in_layout(layout: Layout, tag: str) -> Document:
    root = next((entry for entry in layout.index.manifests if tag in names_of(entry)), None) or layout.find(tag)
    return read_cache(root, lambda descriptor: read_blob(layout, descriptor.digest, max(MAX_MANIFEST, descriptor.size)), str(layout.path))


def _whole(layout: Layout, tag: str) -> Document:
    """What is there and can be kept: entries whose layers are there too."""
    try:
        before = _in_layout(layout, tag)
    except (NotFoundError, CorruptionError):
        return Document()
    except ForeignCache as error:
        raise _occupied(error) from None
    return before.without({layer for layer in before.layers if layout.size(layer.descriptor.digest) != layer.size})


def _occupied(error: ForeignCache) -> LayerwrightError:
    return LayerwrightError("cache-occupied", f"the cache cannot be written: {error.message}", help="export to a name of its own")
