"""Results that travel between machines: entries, the document that holds them, and how two documents become one.

An entry says: the step of this key, run on the root whose layers have this chain of DiffIDs, gave this layer (or
none); so does any step of this content key, which speaks of the files read and not of where they come from. Keys are
made of operations, content digests and image chains (`builder.cache.keys`), and a chain of DiffIDs names the same
bytes everywhere, so an entry means the same on every machine. As JSON, version 1:

    {"schema": 1, "keys": 1,
     "layers":  [{"diff_id": "sha256:…", "media_type": "…", "digest": "sha256:…", "size": 123}, …],
     "records": [{"key": "64 hex", "content": "64 hex or empty", "base": "sha256:… or empty for no layers",
                  "layer": 0 or -1 for none,
                  "created": RFC 3339, "duration": ns (0), "used": unix seconds (0)}, …],
     "mounts":  [{"id": "id of a cache mount", "layer": 0, "used": unix seconds}, …],
     "covers":  ["id of an export that is merged in here", …]}

A document of another `schema` or `keys` is no error: it simply holds nothing for us. Everything in one is
checked before anything is believed: types, digests, sizes, counts.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Annotated

import msgspec

from builder.cache.keys import SCHEMA as KEYS
from builder.cache.keys import CacheKey
from builder.errors import CorruptionError
from builder.oci.digest import ChainID, DiffID, Digest
from builder.oci.manifest import Descriptor
from builder.oci.media import layer_compression

SCHEMA = 1
MAX_DOCUMENT = 8 << 20
MAX_RECORDS = 10_000
MAX_LAYERS = 2_000
MAX_MOUNTS = 100
MAX_AGE = 30 * 86400
"""Seconds after which an entry that no export has touched is left out."""
MAX_COVERED = 512

_Digest = Annotated[str, msgspec.Meta(pattern=r"\Asha256:[0-9a-f]{64}\Z")]
_Chain = Annotated[str, msgspec.Meta(pattern=r"\A(sha256:[0-9a-f]{64})?\Z")]
_Key = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{64}\Z")]
_Content = Annotated[str, msgspec.Meta(pattern=r"\A([0-9a-f]{64})?\Z")]
_Time = Annotated[str, msgspec.Meta(pattern=r"\A[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?Z\Z")]
_Count = Annotated[int, msgspec.Meta(ge=0, le=(1 << 62))]


class Layer(msgspec.Struct, frozen=True):
    """A layer by its plain tar, and one packed form of it."""

    diff_id: _Digest
    media_type: Annotated[str, msgspec.Meta(max_length=200)]
    digest: _Digest
    size: _Count

    @property
    def descriptor(self) -> Descriptor:
        return Descriptor(self.media_type, Digest(self.digest), self.size)

    @classmethod
    def of(cls, diff_id: DiffID, descriptor: Descriptor) -> Layer:
        """A layer whose packed form is this."""
        return cls(diff_id, descriptor.media_type, descriptor.digest, descriptor.size)


class Entry(msgspec.Struct, frozen=True):
    """One result. `content` is the key without the root ("" when not known), `base` the ChainID below ("" for none);
    `layer` None: the root stayed as it was; `used` in seconds.
    """

    key: CacheKey
    base: str
    layer: Layer | None
    created: str
    duration_ns: int = 0
    used: int = 0
    content: str = ""


class Mount(msgspec.Struct, frozen=True):
    """The content of a cache mount; `used` in seconds."""

    id: str
    layer: Layer
    used: int = 0


class Document(msgspec.Struct, frozen=True):
    """What one cache holds; `covers` are ids of exports that are merged in."""

    entries: tuple[Entry, ...] = ()
    covers: tuple[str, ...] = ()
    mounts: tuple[Mount, ...] = ()

    @property
    def layers(self) -> tuple[Layer, ...]:
        """Each layer once, by first use; those of mounts come first."""
        results = (entry.layer for entry in self.entries if entry.layer is not None)
        return tuple(dict.fromkeys((*(mount.layer for mount in self.mounts), *results)))

    def without(self, gone: Collection[Layer]) -> Document:
        """All that needs none of these layers."""
        return Document(
            tuple(entry for entry in self.entries if entry.layer not in gone),
            self.covers,
            tuple(mount for mount in self.mounts if mount.layer not in gone),
        )


class _Record(msgspec.Struct, frozen=True, omit_defaults=True):
    key: _Key
    base: _Chain
    layer: Annotated[int, msgspec.Meta(ge=-1, lt=MAX_LAYERS)]
    created: _Time
    duration: _Count = 0
    used: _Count = 0
    content: _Content = ""


class _Mount(msgspec.Struct, frozen=True):
    id: Annotated[str, msgspec.Meta(min_length=1, max_length=1000)]
    layer: Annotated[int, msgspec.Meta(ge=0, lt=MAX_LAYERS)]
    used: _Count = 0


class _File(msgspec.Struct, frozen=True, omit_defaults=True):
    schema: int
    keys: int
    layers: Annotated[tuple[Layer, ...], msgspec.Meta(max_length=MAX_LAYERS)] = ()
    records: Annotated[tuple[_Record, ...], msgspec.Meta(max_length=MAX_RECORDS)] = ()
    mounts: Annotated[tuple[_Mount, ...], msgspec.Meta(max_length=MAX_MOUNTS)] = ()
    covers: Annotated[tuple[Annotated[str, msgspec.Meta(max_length=100)], ...], msgspec.Meta(max_length=MAX_COVERED)] = ()


class _Version(msgspec.Struct, frozen=True):
    schema: int
    keys: int


def encode_document(document: Document) -> bytes:
    """The same document gives the same bytes."""
    layers = document.layers
    places = {layer: place for place, layer in enumerate(layers)}
    records = tuple(_record(entry, places) for entry in document.entries)
    mounts = tuple(_Mount(mount.id, places[mount.layer], mount.used) for mount in document.mounts)
    return msgspec.json.encode(_File(SCHEMA, KEYS, layers, records, mounts, document.covers))


def _record(entry: Entry, places: Mapping[Layer, int]) -> _Record:
    place = -1 if entry.layer is None else places[entry.layer]
    return _Record(entry.key, entry.base, place, entry.created, max(0, entry.duration_ns), entry.used, entry.content)


def decode_document(raw: bytes) -> Document:
    """A foreign document; empty when it is of another version, CorruptionError when it is not what it should be."""
    if len(raw) > MAX_DOCUMENT:
        raise CorruptionError("cache-too-large", f"a cache's records of {len(raw)} bytes are over the limit of {MAX_DOCUMENT}")
    try:
        version = msgspec.json.decode(raw, type=_Version)
        if (version.schema, version.keys) != (SCHEMA, KEYS):
            return Document()
        file = msgspec.json.decode(raw, type=_File)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise CorruptionError("cache-invalid", f"a cache's records cannot be decoded: {error}") from None
    for layer in file.layers:
        if layer_compression(layer.media_type) is None:
            raise CorruptionError("cache-invalid", f"a cache has a layer of the type {layer.media_type[:80]!r}")
    if any(mount.layer >= len(file.layers) for mount in file.mounts):
        raise CorruptionError("cache-invalid", "a cache's mount names a layer that is not there")
    mounts = tuple(Mount(mount.id, file.layers[mount.layer], mount.used) for mount in file.mounts)
    return Document(tuple(_entry(record, file.layers) for record in file.records), file.covers, mounts)


def _entry(record: _Record, layers: tuple[Layer, ...]) -> Entry:
    if record.layer >= len(layers):
        raise CorruptionError("cache-invalid", f"a cache's record names layer {record.layer} of {len(layers)}")
    layer = layers[record.layer] if record.layer >= 0 else None
    return Entry(CacheKey(record.key), record.base, layer, record.created, record.duration, record.used, record.content)


def merge(ours: Document, others: Iterable[Document], now: int) -> Document:
    """All entries, each key on each base once: ours before others, then the one used last; what is old or too much is left out.

    An entry of others with the result of one of ours counts as used when ours was.
    """
    others = tuple(others)
    found = {(entry.key, entry.base): entry for entry in ours.entries}
    fresh = {(entry.base, entry.layer) for entry in ours.entries}
    own = frozenset(found)
    covers = dict.fromkeys(ours.covers)
    for other in others:
        covers.update(dict.fromkeys(other.covers))
        for entry in other.entries:
            place = (entry.key, entry.base)
            if (entry.base, entry.layer) in fresh:
                entry = msgspec.structs.replace(entry, used=now)
            entry = msgspec.structs.replace(entry, used=min(entry.used, now))
            if place not in found or (place not in own and entry.used > found[place].used):
                found[place] = entry
    mounts = _merged_mounts(ours, others, now)
    return Document(_bounded(found.values(), now, MAX_LAYERS - len(mounts)), tuple(covers)[:MAX_COVERED], mounts)


def _merged_mounts(ours: Document, others: Iterable[Document], now: int) -> tuple[Mount, ...]:
    """Each id once: ours, else the one used last."""
    found: dict[str, Mount] = {}
    for mount in sorted((mount for other in others for mount in other.mounts), key=lambda mount: mount.used):
        found[mount.id] = msgspec.structs.replace(mount, used=min(mount.used, now))
    found.update((mount.id, mount) for mount in ours.mounts)
    fresh = [mount for mount in found.values() if mount.used + MAX_AGE >= now]
    return tuple(sorted(fresh, key=lambda mount: (-mount.used, mount.id))[:MAX_MOUNTS])


def _bounded(entries: Iterable[Entry], now: int, max_layers: int) -> tuple[Entry, ...]:
    """The entries used last, as many as a document may hold."""
    kept: list[Entry] = []
    layers: set[Layer] = set()
    for entry in sorted(entries, key=lambda entry: (-entry.used, entry.key, entry.base)):
        if entry.used + MAX_AGE < now or len(kept) == MAX_RECORDS:
            break
        if entry.layer is not None and entry.layer not in layers:
            if len(layers) >= max_layers:
                continue
            layers.add(entry.layer)
        kept.append(entry)
    return tuple(kept)


def base_of(chain: ChainID | None) -> str:
    """The `base` of an entry that stands on this chain; None: on nothing."""
    return chain or ""
