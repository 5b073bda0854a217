"""The layer of a plan without its directory: the entries that would be found there, with what opens their sources.

A COPY whose files nothing else in the build asks for goes from its sources into its blob, and is not written out in
between; whoever asks later has the directory unpacked. Only for plans about which nothing has to be tried out: new
files, directories and links with plain metadata. The rest (something replaced, attributes, devices, ids that a user
may not be allowed to give) is for copy_write. What is listed, and how, are the rules of builder.fs.diff and scan.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from functools import partial

import msgspec

from builder.fs.entries import Entry, encode_path
from builder.fs.pack import Opener
from builder.fs.scan import as_hardlink
from builder.ops.copy_plan import Group, Placed, Plan
from builder.ops.copy_write import unwritable
from builder.ops.destination import Cancelled

_PLAIN = frozenset({"file", "dir", "symlink"})
_MOST_ID = 65535
"""Ids that any user who can build may give away (newuidmap's usual range)."""


def plain(plan: Plan) -> frozenset[str] | None:
    """The paths that the plan's layer lists; None where it has to be written out, or lists none."""
    listed: set[str] = set()
    for path, placed in plan.placed.items():
        entry = placed.entry
        if entry.xattrs or entry.kind not in _PLAIN or entry.uid > _MOST_ID or entry.gid > _MOST_ID:
            return None
        if entry.kind == "dir" and not placed.fresh:
            if not _same(plan.root.lstat(path), entry):
                _list(listed, path)
            continue
        if entry.kind != "dir" and _replaces(plan, path):
            return None
        _list(listed, path)
    return frozenset(listed) or None


def layer_of(plan: Plan, listed: frozenset[str], check: Cancelled) -> Iterator[tuple[Entry, Opener | None]]:
    """The entries, as builder.fs.pack takes them; an opener raises LayerwrightError where a source is no longer what it was."""
    owners: dict[Group, Entry] = {}
    for placed in plan.placed.values():
        if placed.group is not None:
            owners.setdefault(placed.group, placed.entry)
    first: dict[Group, str] = {}
    for count, path in enumerate(sorted(listed, key=_order)):
        if not count & 255:
            check()
        placed = plan.placed[path]
        entry = placed.entry
        if placed.group is not None:
            # Names of one inode have the metadata that the first one written has.
            entry = msgspec.structs.replace(owners[placed.group], path=path)
            name = first.setdefault(placed.group, path)
            if name != path:
                yield as_hardlink(entry, name), None
                continue
        if entry.kind == "symlink":
            yield msgspec.structs.replace(entry, mode=0o777), None
        else:
            yield entry, partial(_open, placed) if entry.kind == "file" and entry.size else None


def _list(listed: set[str], path: str) -> None:
    """A path and the directories above it."""
    while path and path not in listed:
        listed.add(path)
        path = path.rpartition("/")[0]


def _same(below: Entry | None, entry: Entry) -> bool:
    """A directory is the same whatever its mtime."""
    return below is not None and (below.mode, below.uid, below.gid) == (entry.mode, entry.uid, entry.gid)


def _replaces(plan: Plan, path: str) -> bool:
    parent = plan.placed.get(path.rpartition("/")[0])
    return not (parent is not None and parent.fresh) and plan.root.lstat(path) is not None


def _order(path: str) -> bytes:
    """Depth first, names sorted bytewise: a slash sorts before whatever a name may hold."""
    return encode_path(path).replace(b"/", b"\0")


def _open(placed: Placed) -> int:
    if placed.origin is None:
        fd = os.memfd_create("layerwright", os.MFD_CLOEXEC)
        with open(fd, "wb", closefd=False) as file:
            file.write(placed.data or b"")
        os.lseek(fd, 0, os.SEEK_SET)
        return fd
    try:
        fd = placed.origin.open(placed.path)
        if os.fstat(fd).st_size != placed.entry.size:
            os.close(fd)
            raise FileNotFoundError(errno.ENOENT, "the file changed while it was copied")
    except OSError as error:
        raise unwritable(placed.entry.path, placed.entry, error) from error
    return fd
