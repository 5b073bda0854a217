"""A tree held in memory: here-documents as a source of COPY, and the fake that tests use."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Mapping

import msgspec

from builder.fs.entries import Entry, encode_path


class MemoryTree:
    """Entries with their contents; parents that no entry names are directories 0755 of root.

    An entry of kind `hardlink` shows as the file it joins. The later of two entries for one path wins.
    """

    def __init__(self, entries: Iterable[tuple[Entry, bytes | None]] = ()) -> None:
        self._entries: dict[str, Entry] = {"": Entry("", "dir", 0o755)}
        self._contents: dict[str, bytes] = {}
        self._links: dict[str, str] = {}
        for entry, content in entries:
            self._add(entry, content or b"")
        names: dict[str, list[str]] = {}
        for path in self._entries:
            if path:
                parent, _, name = path.rpartition("/")
                names.setdefault(parent, []).append(name)
        self._names = {path: tuple(sorted(children, key=encode_path)) for path, children in names.items()}

    @classmethod
    def of(cls, files: Mapping[str, bytes]) -> MemoryTree:
        """Regular files 0644 of root, by path."""
        return cls((Entry(path, "file", 0o644), content) for path, content in files.items())

    def lstat(self, path: str) -> Entry | None:
        """See Tree."""
        entry = self._entries.get(path)
        return None if entry is None else msgspec.structs.replace(entry, xattrs=())

    def names(self, path: str) -> tuple[str, ...]:
        """See Tree."""
        return self._names.get(path, ())

    def open(self, path: str) -> int:
        """See Tree."""
        entry = self._entries.get(path)
        if entry is None or entry.kind != "file":
            raise FileNotFoundError(errno.ENOENT, "not a regular file", path)
        fd = os.memfd_create("layerwright", os.MFD_CLOEXEC)
        with open(fd, "wb", closefd=False) as file:
            file.write(self._contents[self._source(path)])
        os.lseek(fd, 0, os.SEEK_SET)
        return fd

    def xattrs(self, path: str) -> tuple[tuple[str, bytes], ...]:
        """See Tree."""
        entry = self._entries.get(path)
        return () if entry is None else tuple(sorted(entry.xattrs))

    def identity(self, path: str) -> tuple[int, int] | None:
        """See Tree."""
        source = self._source(path)
        if source not in self._links.values():
            return None
        return 0, sorted(set(self._links.values())).index(source) + 1

    def _source(self, path: str) -> str:
        return self._links.get(path, path)

    def _add(self, entry: Entry, content: bytes) -> None:
        path = entry.path
        parent = path.rpartition("/")[0]
        while parent not in self._entries:
            self._entries[parent] = Entry(parent, "dir", 0o755)
            parent = parent.rpartition("/")[0]
        if entry.kind == "hardlink":
            source = self._source(entry.link)
            self._links[path] = source
            self._entries[path] = msgspec.structs.replace(self._entries[source], path=path)
            return
        self._links.pop(path, None)
        if entry.kind == "file":
            entry = msgspec.structs.replace(entry, size=len(content))
            self._contents[path] = content
        self._entries[path] = entry
