"""A layer directory in overlay format, as the entries of its layer.

The order is that of BuildKit's differ: depth first, names sorted bytewise, a directory before what it holds,
a whiteout where the hidden name would stand. The root is not listed. The names of one inode are a file and
hard links to the first name.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from functools import partial

import msgspec

from builder.fs.dirtree import identity_of
from builder.fs.entries import Entry, decode_path
from builder.fs.handles import Directories, Handle, split
from builder.fs.inode import entry_at, xattrs_at
from builder.fs.overlay import TRUSTED, is_attribute_whiteout, is_whiteout, opaque_mark, opaque_name, place
from builder.fs.pack import Opener


def layer_entries(directory: str, opaque_xattr: str = TRUSTED) -> Iterator[tuple[Entry, Opener | None]]:
    """The entries with their xattrs, and what opens each file of size > 0; openers stay good after the walk.

    An opaque directory is followed at once by an entry of kind `opaque` with the directory's path. Sockets are
    listed, for the caller to drop.
    """
    opener = _Opener(directory)
    names: dict[tuple[int, int], str] = {}
    for entry, identity in raw_entries(directory, opaque_xattr):
        if identity is not None:
            first = names.setdefault(identity, entry.path)
            if first != entry.path:
                yield as_hardlink(entry, first), None
                continue
        yield entry, partial(opener.open, entry.path) if entry.kind == "file" and entry.size else None


class _Opener:
    """Opens files that the walk has seen to be regular, in a directory that nobody else changes."""

    def __init__(self, directory: str) -> None:
        self._directories = Directories(directory)

    def open(self, path: str) -> int:
        parent, name = split(path)
        return os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=_get(self._directories, parent).fd)


def as_hardlink(entry: Entry, first: str) -> Entry:
    """The entry of a further name of an inode whose first name is `first`; it repeats the metadata, as containerd writes them."""
    return msgspec.structs.replace(entry, kind="hardlink", link=first, size=0)


def raw_entries(directory: str, opaque_xattr: str = TRUSTED) -> Iterator[tuple[Entry, tuple[int, int] | None]]:
    """As layer_entries, every name as what it is, with the identity of inodes that have several names."""
    attribute = opaque_name(opaque_xattr)
    directories = Directories(directory, keep=64)
    path = ""
    handle = _get(directories, path)
    stack = [(path, _listing(handle, ""))]
    while stack:
        at, pending = stack[-1]
        if not pending:
            stack.pop()
            continue
        if at != path:
            path, handle = at, _get(directories, at)
        name, st, mark = pending.pop()
        child = f"{path}/{decode_path(name)}" if path else decode_path(name)
        if is_whiteout(st) or (mark == "x" and is_attribute_whiteout(handle.fd, name, st, attribute)):
            yield Entry(child, "whiteout"), None
            continue
        entry = entry_at(handle.fd, name, child, st)
        if entry.kind in ("file", "dir"):
            xattrs = xattrs_at(handle.fd, name)
            if xattrs:
                entry = msgspec.structs.replace(entry, xattrs=xattrs)
        yield entry, identity_of(st)
        if entry.kind == "dir":
            inside = opaque_mark(place(handle.fd, name), attribute)
            if inside == "y":
                yield Entry(child, "opaque"), None
            path, handle = child, _get(directories, child)
            stack.append((child, _listing(handle, inside)))


def _get(directories: Directories, path: str) -> Handle:
    handle = directories.get(path)
    if handle is None:
        raise FileNotFoundError(errno.ENOENT, "a directory went away while it was read", path)
    return handle


def _listing(handle: Handle, mark: str) -> list[tuple[bytes, os.stat_result, str]]:
    """Names with their inodes, the first name last, so that they are taken from the end."""
    fd = os.open(b".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=handle.fd)
    try:
        with os.scandir(fd) as found:
            listed = [(os.fsencode(item.name), item.stat(follow_symlinks=False), mark) for item in found]
    finally:
        os.close(fd)
    listed.sort(key=lambda item: item[0], reverse=True)
    return listed
