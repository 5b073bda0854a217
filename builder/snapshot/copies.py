"""Root filesystems as plain directories, for where overlayfs cannot be had: full merged copies, kept while they help.

Rules. A copy is made by clones where the file system has them. What a step changed in it is found by comparing
with the layers below; a file whose ctime, which no process can set, is older than the end of copying has kept
its contents, so only the rest is read. The changed files are copied out, so the copy shows the new stack and
serves the next step on it; one such copy is kept. A copy to be read only is made once for each stack. All of
them lie in the process's private directory and go with it.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from pathlib import Path

import msgspec

from builder.fs.diff import Changes, changes_between
from builder.fs.entries import Entry
from builder.fs.tree import EmptyTree, StackTree, Tree, walk
from builder.fs.upper import Upper
from builder.snapshot.unpacking import like_root
from builder.store.layertable import LayerId
from builder.store.removal import remove_tree
from builder.store.store import Store

Stack = tuple[LayerId, ...]


class Copy(msgspec.Struct, frozen=True):
    """A merged copy at `path`; `since_ns` is when copying ended, 0 when the copy holds files that no layer has."""

    path: str
    since_ns: int


class Copies:
    """Makes, compares and keeps copies; thread-safe."""

    def __init__(self, store: Store, opaque_xattr: str) -> None:
        self._store = store
        self._opaque_xattr = opaque_xattr
        self._lock = threading.Lock()
        self._kept: tuple[Stack, str] | None = None
        self._readable: dict[Stack, str] = {}
        self._reading = threading.Lock()

    def writable(self, target: Path, stack: Stack, tree: StackTree, upper: str) -> Copy:
        """A copy of all of `tree`, which is `stack` with `upper` on top."""
        kept = None if os.listdir(upper) else self._take(stack)
        if kept is not None:
            os.rename(kept, target)
        else:
            os.mkdir(target, 0o755)
            copy_tree(tree, str(target))
        return Copy(str(target), 0 if _has_files(upper) else _file_time(target.with_name("end-of-copy")))

    def collect(self, copy: Copy, lowers: Sequence[str], lower: StackTree, upper: str) -> Changes:
        """Puts what differs from `lower`, the tree of `lowers`, into `upper`, pruned, in place of whatever `upper` held."""
        remove_tree(upper)
        os.mkdir(upper, 0o755)
        like_root(upper, lowers)
        return changes_between(lower, copy.path, upper, self._opaque_xattr, since_ns=copy.since_ns)

    def keep(self, copy: Copy, stack: Stack) -> None:
        """The copy shows `stack` now and may serve whoever drafts on that next."""
        path = str(self._store.scratch_directory("copy-"))
        os.rename(copy.path, path)
        with self._lock:
            old, self._kept = self._kept, (stack, path)
        if old is not None:
            remove_tree(old[1])

    def readable(self, stack: Stack, tree: StackTree) -> str:
        """A copy that nobody may write to, shared by all who read this stack."""
        with self._reading:
            path = self._readable.get(stack)
            if path is None:
                path = str(self._store.scratch_directory("copy-"))
                copy_tree(tree, path)
                self._readable[stack] = path
            return path

    def _take(self, stack: Stack) -> str | None:
        with self._lock:
            if self._kept is None or self._kept[0] != stack:
                return None
            path, self._kept = self._kept[1], None
            return path


def copy_tree(tree: Tree, target: str) -> None:
    """Fills an empty directory with all of a tree: owners, modes, times, attributes, hard links."""
    first: dict[tuple[int, int], str] = {}
    with Upper(target, EmptyTree()) as upper:
        root = tree.lstat("")
        if root is not None:
            upper.make_directory(msgspec.structs.replace(root, xattrs=tree.xattrs("")))
        for path in walk(tree):
            entry = tree.lstat(path)
            if entry is None or entry.kind == "socket":
                continue
            identity = tree.identity(path) if entry.kind != "dir" else None
            if identity is not None and first.setdefault(identity, path) != path:
                upper.put(Entry(path, "hardlink", link=first[identity]))
                continue
            _put(upper, tree, msgspec.structs.replace(entry, xattrs=tree.xattrs(path)))


def _put(upper: Upper, tree: Tree, entry: Entry) -> None:
    if entry.kind != "file":
        upper.put(entry)
        return
    fd = tree.open(entry.path)
    try:
        upper.put(entry, fd)
    finally:
        os.close(fd)


def _has_files(directory: str) -> bool:
    """Whether there is anything but directories."""
    pending: list[str] = [directory]
    while pending:
        with os.scandir(pending.pop()) as entries:
            found: Sequence[os.DirEntry[str]] = list(entries)
        for entry in found:
            if not entry.is_dir(follow_symlinks=False):
                return True
            pending.append(entry.path)
    return False


def _file_time(marker: Path) -> int:
    """The file system's own idea of now: its clock ticks more coarsely than time.time_ns."""
    marker.touch(0o600)
    return os.stat(marker).st_ctime_ns
