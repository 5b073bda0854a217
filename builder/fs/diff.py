"""What a step changed, from the overlay upper directory it wrote into: the entries its layer holds.

BuildKit's rules (containerd continuity fs/diff.go, BuildKit util/overlay), but for hard links to lower files,
whose identity is kept, and contents, which are compared whenever everything else is equal:
- a whiteout counts only if the lower tree has the path;
- an entry equal to the lower one is dropped; a directory is equal whatever its mtime;
- a directory is listed when it is new or different, or when something below it is listed;
- an opaque directory hides the lower tree's names by one whiteout each;
- a change of type is just the new entry; below it nothing of the lower tree is left to compare with;
- the root is never listed; sockets are dropped.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial

import msgspec

from builder.fs.copytree import set_mtime
from builder.fs.dirtree import DirTree
from builder.fs.entries import Entry, decode_path, encode_path
from builder.fs.inode import kept_xattrs
from builder.fs.overlay import TRUSTED, opaque_name
from builder.fs.pack import Opener
from builder.fs.scan import as_hardlink, raw_entries
from builder.fs.tree import EmptyTree, Tree, below
from builder.fs.upper import Upper

_READ = 1 << 20


class Changes(msgspec.Struct, frozen=True):
    """A layer's entries in their order, and how the upper directory differs from them."""

    upper: str
    entries: tuple[Entry, ...]
    dropped: tuple[str, ...] = ()
    """Paths in the upper directory that the layer does not hold, in an order in which a directory's contents come before it."""
    unmarked: tuple[str, ...] = ()
    """Opaque directories, which the entries spell out as whiteouts."""
    sockets: tuple[str, ...] = ()
    """Those of `dropped` that are sockets, for a warning."""
    root: Entry | None = None
    """The lower root, whose metadata the layer's root takes."""
    opaque_xattr: str = TRUSTED

    @property
    def empty(self) -> bool:
        """Whether the step changed nothing."""
        return not self.entries

    def files(self) -> Iterator[tuple[Entry, Opener | None]]:
        """The entries with what opens their contents, as builder.fs.pack takes them."""
        tree = DirTree(self.upper)
        for entry in self.entries:
            yield entry, partial(tree.open, entry.path) if entry.kind == "file" and entry.size else None


class _Directory:
    """A directory on the way of the walk."""

    __slots__ = ("entry", "hides", "missing", "path")

    def __init__(self, path: str, entry: Entry | None, hides: bool) -> None:
        self.path = path
        self.entry = entry
        """Still to be listed, once something below it is."""
        self.hides = hides
        """Whether the lower tree does not show through: here or above is an opaque directory."""
        self.missing: list[bytes] = []
        """The lower tree's names here that are hidden by that and have not turned up yet, the first last."""


def changes(upper: str, lower: Tree, opaque_xattr: str = TRUSTED) -> Changes:
    """The layer of an upper directory over `lower`; reads only. See the module for the rules."""
    return _Walk(upper, lower).run(opaque_xattr)


def changes_between(lower: Tree, merged: str, upper: str, opaque_xattr: str = TRUSTED, *, since_ns: int = 0, move: bool = False) -> Changes:
    """For machines without overlayfs: what differs between `lower` and a full copy of it that was worked on.

    Written into the empty directory `upper`, in overlay format and pruned. Files whose ctime, which no process
    can set, is before `since_ns` have the contents they were copied with; with 0 all contents are compared.
    With `move` the files are taken out of `merged`, which then is of no more use; else they are copied, by
    clones where the file system has them.
    """
    walk = _Walk(merged, lower, since_ns)
    walk.hide_all()
    found = msgspec.structs.replace(walk.run(opaque_xattr), upper=upper, dropped=(), unmarked=())
    tree = DirTree(merged)
    with Upper(upper, lower, opaque_xattr) as target:
        if found.root is not None:
            target.make_directory(found.root)
        for entry in found.entries:
            if entry.kind != "file":
                target.put(entry)
            elif move:
                target.take(entry, tree)
            else:
                _copy_file(target, entry, tree)
    return found


def _copy_file(target: Upper, entry: Entry, tree: DirTree) -> None:
    fd = tree.open(entry.path)
    try:
        target.put(entry, fd)
    finally:
        os.close(fd)


class _Walk:
    def __init__(self, upper: str, lower: Tree, since_ns: int = 0) -> None:
        self._upper = DirTree(upper)
        self._lower = lower
        self._since_ns = since_ns
        self._entries: list[Entry] = []
        self._dropped: list[str] = []
        self._unmarked: list[str] = []
        self._sockets: list[str] = []
        self._stack = [_Directory("", None, False)]

    def hide_all(self) -> None:
        """Has nothing of the lower tree show through: what is walked is the whole merged tree."""
        self._stack[0].hides = True
        self._miss(self._stack[0])

    def run(self, opaque_xattr: str) -> Changes:
        found = list(raw_entries(self._upper.path, opaque_xattr))
        kept = self._kept_links(found)
        first: dict[tuple[int, int], str] = {}
        for entry, identity in found:
            if entry.kind == "opaque":
                self._hide_lower(entry.path)
                continue
            self._enter(entry)
            if identity is None or identity not in kept:
                self._visit(entry)
            elif identity in first:
                self._list(as_hardlink(entry, first[identity]))
            else:
                first[identity] = entry.path
                self._list(entry)
        while self._stack:
            self._leave()
        root = self._lower.lstat("")
        return Changes(
            self._upper.path,
            tuple(self._entries),
            tuple(self._dropped),
            tuple(self._unmarked),
            tuple(self._sockets),
            None if root is None else _with_xattrs(root, self._lower),
            opaque_name(opaque_xattr),
        )

    def _kept_links(self, found: list[tuple[Entry, tuple[int, int] | None]]) -> set[tuple[int, int]]:
        """The inodes with several names here that the layer lists, all their names: one is new or changed, or they are newly joined."""
        names: dict[tuple[int, int], list[Entry]] = {}
        for entry, identity in found:
            if identity is not None and entry.kind != "socket":
                names.setdefault(identity, []).append(entry)
        kept = set()
        for identity, entries in names.items():
            if len(entries) < 2:
                continue
            below_here = {self._lower.identity(entry.path) for entry in entries}
            if len(below_here) > 1 or None in below_here or not all(self._same(entry) for entry in entries):
                kept.add(identity)
        return kept

    def _enter(self, entry: Entry) -> None:
        """Comes to an entry's directory, and past the hidden names that stand before the entry."""
        parent, _, name = entry.path.rpartition("/")
        while self._stack[-1].path != parent:
            self._leave()
        self._pass_missing(encode_path(name))

    def _pass_missing(self, name: bytes | None) -> None:
        here = self._stack[-1]
        while here.missing and (name is None or here.missing[-1] < name):
            self._list(Entry(below(here.path, decode_path(here.missing.pop())), "whiteout"))
        if here.missing and here.missing[-1] == name:
            here.missing.pop()

    def _leave(self) -> None:
        self._pass_missing(None)
        gone = self._stack.pop()
        if gone.entry is not None:
            # Nothing below it was listed, so all that it held is in `dropped` already.
            self._dropped.append(gone.path)

    def _visit(self, entry: Entry) -> None:
        if entry.kind == "whiteout":
            if self._lower.lstat(entry.path) is None:
                self._dropped.append(entry.path)
            else:
                self._list(entry)
        elif entry.kind == "socket":
            self._sockets.append(entry.path)
            self._dropped.append(entry.path)
        elif entry.kind == "dir":
            self._visit_directory(entry)
        elif self._same(entry):
            self._dropped.append(entry.path)
        else:
            self._list(entry)

    def _visit_directory(self, entry: Entry) -> None:
        inherited = self._stack[-1].hides
        if self._same(entry):
            self._stack.append(_Directory(entry.path, entry, inherited))
        else:
            self._list(entry)
            self._stack.append(_Directory(entry.path, None, inherited))
        if inherited:
            self._miss(self._stack[-1])

    def _hide_lower(self, path: str) -> None:
        self._unmarked.append(path)
        here = self._stack[-1]
        if not here.hides:
            here.hides = True
            self._miss(here)

    def _miss(self, here: _Directory) -> None:
        here.missing = [encode_path(name) for name in reversed(self._lower.names(here.path))]

    def _list(self, entry: Entry) -> None:
        for directory in self._stack:
            if directory.entry is not None:
                self._entries.append(directory.entry)
                directory.entry = None
        self._entries.append(entry)

    def _same(self, entry: Entry) -> bool:
        old = self._lower.lstat(entry.path)
        if old is None or old.kind != entry.kind:
            return False
        if entry.kind == "dir":
            old = msgspec.structs.replace(old, mtime_ns=entry.mtime_ns)
        if msgspec.structs.replace(entry, xattrs=()) != msgspec.structs.replace(old, xattrs=()):
            return False
        if entry.xattrs != self._lower.xattrs(entry.path):
            return False
        if entry.kind != "file" or not entry.size:
            return True
        if self._since_ns:
            st = self._upper.stat(entry.path)
            if st is not None and st.st_ctime_ns < self._since_ns:
                return True
        return same_contents(self._upper, self._lower, entry.path)


def _with_xattrs(entry: Entry, tree: Tree) -> Entry:
    return msgspec.structs.replace(entry, xattrs=tree.xattrs(entry.path))


def same_contents(one: Tree, other: Tree, path: str) -> bool:
    """Whether a file of one size in two trees holds the same bytes."""
    left = one.open(path)
    try:
        right = other.open(path)
        try:
            return _same_bytes(left, right)
        finally:
            os.close(right)
    finally:
        os.close(left)


def _same_bytes(left: int, right: int) -> bool:
    with open(left, "rb", closefd=False, buffering=0) as one, open(right, "rb", closefd=False, buffering=0) as other:
        while True:
            part = one.read(_READ) or b""
            if part != (other.read(len(part) or 1) or b""):
                return False
            if not part:
                return True


def prune_upper(upper: str, changed: Changes) -> None:
    """Makes the upper directory equal to its layer: what the layer does not hold goes, opaque marks become whiteouts.

    Not atomic, and can be repeated. The root directory takes the lower root's metadata, for a layer does not hold it.
    """
    touched = bool(changed.dropped or changed.unmarked)
    with Upper(upper, EmptyTree(), changed.opaque_xattr) as target:
        for path in changed.dropped:
            handle, name, _ = target.locate(path)
            target.clear(handle, name)
        for path in changed.unmarked:
            target.unmark(path)
        for entry in changed.entries:
            if entry.kind == "whiteout" and target.find(entry.path) is None:
                target.hide(entry.path)
                touched = True
        if touched:
            _restore_times(target, changed)
        if changed.root is not None:
            _restore_root(target, upper, changed.root)


def _restore_times(target: Upper, changed: Changes) -> None:
    """Taking names out of directories, and putting whiteouts in, changed their mtimes."""
    for entry in changed.entries:
        if entry.kind == "dir":
            handle, name, _ = target.locate(entry.path)
            set_mtime(handle.fd, name, entry.mtime_ns)


def _restore_root(target: Upper, upper: str, root: Entry) -> None:
    """Mostly only the time differs: each further call is a transaction of the file system, which others may hold up."""
    now = msgspec.structs.replace(DirTree(upper).lstat("") or root, xattrs=kept_xattrs(os.fsencode(upper)))
    if msgspec.structs.replace(now, mtime_ns=root.mtime_ns) != root:
        target.make_directory(root)
    elif now.mtime_ns != root.mtime_ns:
        os.utime(upper, ns=(root.mtime_ns, root.mtime_ns))
