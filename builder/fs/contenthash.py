"""One digest for what a selection of paths holds, so that equal digests mean equal copies.

In it, for each selected path and all below it: the path below the selected one, kind, mode, owner (0:0 with
`zero_owner`), size, link target, device numbers, kept xattrs, which names are one file, and the contents. Not in
it: mtimes and the selected path's own name. Records are msgpack, which frames by length.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator

import msgspec

from builder.fs.entries import Entry, encode_path
from builder.fs.tree import Tree, below

FileDigest = Callable[[str, Entry], str]
"""The digest of a regular file's contents, by its path in the tree."""

_VERSION = "tree-1"
_READ = 1 << 20
_encode: Callable[[object], bytes] = msgspec.msgpack.Encoder().encode


def tree_digest(tree: Tree, paths: Iterable[str] = ("",), *, zero_owner: bool = False, file_digest: FileDigest | None = None) -> str:
    """64 hex digits for the paths, in the order given; an absent one raises FileNotFoundError."""
    state = hashlib.sha256(_encode(_VERSION))
    for path in paths:
        state.update(_encode("path"))
        for _, record in _records(tree, path, zero_owner, file_digest or content_digest(tree)):
            state.update(record)
    return state.hexdigest()


def breakdown(tree: Tree, path: str = "", *, zero_owner: bool = False, file_digest: FileDigest | None = None) -> Iterator[tuple[str, str]]:
    """Each path below the selected one with the digest of its own record, to tell what differs between two trees."""
    for name, record in _records(tree, path, zero_owner, file_digest or content_digest(tree)):
        yield name, hashlib.sha256(record).hexdigest()


def content_digest(tree: Tree) -> FileDigest:
    """What reads a file of the tree and gives the sha256 of it."""

    def digest(path: str, _entry: Entry) -> str:
        fd = tree.open(path)
        try:
            state = hashlib.sha256()
            while data := os.read(fd, _READ):
                state.update(data)
            return state.hexdigest()
        finally:
            os.close(fd)

    return digest


def _records(tree: Tree, top: str, zero_owner: bool, file_digest: FileDigest) -> Iterator[tuple[str, bytes]]:
    first: dict[tuple[int, int], str] = {}
    todo = [(top, "")]
    while todo:
        path, name = todo.pop()
        entry = tree.lstat(path)
        if entry is None:
            raise FileNotFoundError(path)
        contents = ""
        if entry.kind == "file":
            identity = tree.identity(path)
            joined = name if identity is None else first.setdefault(identity, name)
            # A further name of a file is told by the first one's: its contents are in the digest already.
            contents = file_digest(path, entry) if joined == name else "=" + joined
        owner = (0, 0) if zero_owner else (entry.uid, entry.gid)
        xattrs = tree.xattrs(path) if entry.kind in ("file", "dir") else ()
        facts = (entry.size, encode_path(entry.link), entry.major, entry.minor)
        yield name, _encode((encode_path(name), entry.kind, entry.mode, *owner, *facts, _bytes(xattrs), encode_path(contents)))
        if entry.kind == "dir":
            todo.extend((below(path, child), below(name, child)) for child in reversed(tree.names(path)))


def _bytes(xattrs: tuple[tuple[str, bytes], ...]) -> tuple[tuple[bytes, bytes], ...]:
    return tuple((encode_path(key), value) for key, value in xattrs)
