"""A cache from elsewhere as a CacheSource: read at the first question, believed entry by entry, never fatal.

An entry is a hit only where the root below has the very chain of DiffIDs that the entry was made on. A hit makes
the layer known by its digests and where it can be had; no byte of it moves until something needs it. Whatever is
wrong with the cache as a whole (not there, out of reach, not what it should be) is told once, and the cache
then has nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from builder.cache.artifact import ForeignCache
from builder.cache.keys import CacheKey
from builder.cache.portable import Document, Entry, Layer
from builder.cache.records import Below, CacheRecord
from builder.errors import BuildCancelled, LayerwrightError, NotFoundError
from builder.oci.digest import DiffID
from builder.snapshot.layers import Layers

Say = Callable[[str], None]
Warn = Callable[[str, str], None]


class ImportedCache:
    """One --cache-from. `origin` is where its layers are fetched from; `warn` takes a code and a sentence."""

    def __init__(self, name: str, origin: str, load: Callable[[], Document], layers: Layers, say: Say, warn: Warn) -> None:
        self._name = name
        self._origin = origin
        self._load = load
        self._layers = layers
        self._say = say
        self._warn = warn
        self._lock = threading.Lock()
        self._entries: dict[CacheKey, dict[str, Entry]] | None = None
        self._mounts: dict[str, Layer] = {}
        self._elsewhere: set[CacheKey] = set()

    def told_of(self, key: CacheKey) -> str:
        """Why a step of this key was no hit here, for explanations; "" where it was never asked, or the cache has nothing at all."""
        if not self._entries:
            return ""
        if key in self._elsewhere:
            return f"the cache {self._name} has its result, but on another base: what it stands on came out differently there"
        return "" if key in self._entries else f"the cache {self._name} has no result of it"

    def lookup(self, key: CacheKey, below: Below) -> CacheRecord | None:
        """The entry of this key on this root; its layer is known to the store from then on."""
        found = self._all().get(key)
        chain = self._layers.chain(below.layers) if found else None
        entry = found.get(chain) if found and chain is not None else None
        if entry is None:
            if found:
                self._elsewhere.add(key)
            return None
        layer = None
        if entry.layer is not None:
            diff_id = DiffID(entry.layer.diff_id)
            layer = self._layers.add_imported(below.layers, diff_id, entry.layer.descriptor, self._origin, f"from {self._name}")
            if layer is None:
                return None
        return CacheRecord(layer, below.id, entry.created, entry.duration_ns, (entry.content,) if entry.content else ())

    def mount(self, mount_id: str) -> tuple[Layer, str] | None:
        """The content of a cache mount, and where it can be had."""
        self._all()
        layer = self._mounts.get(mount_id)
        return None if layer is None else (layer, self._origin)

    def _all(self) -> dict[CacheKey, dict[str, Entry]]:
        with self._lock:
            if self._entries is None:
                self._entries = {}
                document = self._document()
                self._mounts.update((mount.id, mount.layer) for mount in document.mounts)
                for entry in document.entries:
                    for name in (entry.key, CacheKey(entry.content)):
                        self._entries.setdefault(name, {}).setdefault(entry.base, entry)
            return self._entries

    def _document(self) -> Document:
        try:
            document = self._load()
        except BuildCancelled:
            raise
        except ForeignCache as error:
            self._warn("cache-refused", f"the cache {self._name} is not used: {error.message}; {error.help}")
        except NotFoundError:
            self._say(f"there is no cache {self._name} yet")
        except LayerwrightError as error:
            self._warn("cache-refused", f"the cache {self._name} is not used: {error.message}")
        else:
            self._say(f"imported the cache {self._name}: {len(document.entries)} results, {len(document.layers)} layers")
            return document
        return Document()
