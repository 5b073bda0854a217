"""What a COPY leaves in its destination, as data: paths with their final metadata and where the bytes come from.

Rules of reference 1.5 about a destination that partly exists live here and do no I/O but asking trees:
parents are created 0755 with a fresh mtime; a directory that gets an entry is carried up from the layers
below with its metadata, and its mtime becomes the clock's; a file replaces anything but a directory; a
directory merges with a directory and replaces nothing else.
Not here: what is copied (select, select_walk), how it is written (copy_write).
"""

from __future__ import annotations

import stat

import msgspec

from builder.errors import LayerwrightError
from builder.fs.entries import Entry
from builder.fs.tree import Tree

Group = tuple[int, tuple[int, int]]
"""Files of one group are hard links of one another: the source's number, and the inode."""


class Placed(msgspec.Struct):
    """One path of the destination. `fresh` marks a directory that the root does not have.

    A file's bytes are `data`, or those of `path` in `origin`.
    """

    entry: Entry
    origin: Tree | None = None
    path: str = ""
    data: bytes | None = None
    group: Group | None = None
    fresh: bool = False
    known: frozenset[str] | None = None


class Plan:
    """The paths so far, parents before their children; `lstat` sees them over the root."""

    def __init__(self, root: Tree) -> None:
        self.root = root
        self.placed: dict[str, Placed] = {}

    def lstat(self, path: str) -> Entry | None:
        """What stands at `path` once the plan is carried out."""
        if not path:
            return self.root.lstat("") or Entry("", "dir", mode=0o755)
        placed = self.placed.get(path)
        if placed is not None:
            return placed.entry
        directory, _, name = path.rpartition("/")
        parent = self.placed.get(directory)
        if parent is None:
            return self.root.lstat(path)
        if parent.fresh or parent.entry.kind != "dir":
            return None
        if parent.known is None:
            parent.known = frozenset(self.root.names(directory))
        return self.root.lstat(path) if name in parent.known else None

    def names(self, path: str) -> tuple[str, ...]:
        """See Tree.names; only for resolving, so unsorted and of the root."""
        return self.root.names(path)

    def open(self, path: str) -> int:
        """See Tree.open; of the root."""
        return self.root.open(path)

    def xattrs(self, path: str) -> tuple[tuple[str, bytes], ...]:
        """See Tree.xattrs."""
        placed = self.placed.get(path)
        return self.root.xattrs(path) if placed is None else placed.entry.xattrs

    def identity(self, path: str) -> tuple[int, int] | None:
        """See Tree.identity; of the root."""
        return self.root.identity(path)

    def make_directories(self, path: str, owner: tuple[int, int] | None, mtime_ns: int) -> None:
        """`path` and its missing parents, 0755; whoever gets a new entry is touched."""
        at = 0
        while path:
            at = path.find("/", at)
            part = path if at < 0 else path[:at]
            current = self.lstat(part)
            if current is None:
                self.make_directory(part, owner, 0o755, mtime_ns)
            elif current.kind != "dir":
                raise LayerwrightError(
                    "copy-not-a-directory",
                    f"/{path} cannot be made: /{part} is not a directory",
                    help="copy to another path, or remove what is there in an earlier step",
                )
            if at < 0:
                return
            at += 1

    def make_directory(self, path: str, owner: tuple[int, int] | None, mode: int, mtime_ns: int, *, chmod: bool = False) -> None:
        """One directory that is not there yet.

        As mkdir(2) has it, below a setgid directory it is setgid too (unless `chmod` says the mode was asked for), and
        without an owner of its own it is of that group: /var/local of Debian is such a directory.
        """
        above = path.rpartition("/")[0]
        parent = self.lstat(above)
        inherits = parent is not None and bool(parent.mode & stat.S_ISGID)
        if owner is None:
            owner = (0, parent.gid if parent is not None and inherits else 0)
        if inherits and not chmod:
            mode |= stat.S_ISGID
        self.touch(above, mtime_ns)
        self.placed[path] = Placed(Entry(path, "dir", mode, *owner, mtime_ns), fresh=True)

    def touch(self, path: str, mtime_ns: int) -> None:
        """The directory `path` gets or loses an entry."""
        self.set_mtime(path, mtime_ns)

    def set_mtime(self, path: str, mtime_ns: int) -> None:
        """The directory `path` with this mtime; nothing for the root, which no layer lists."""
        if path:
            placed = self._carried(path)
            placed.entry = msgspec.structs.replace(placed.entry, mtime_ns=mtime_ns)

    def put(self, placed: Placed) -> None:
        """A directory that merges, or anything else in place of what is no directory; the parent is not touched."""
        path = placed.entry.path
        current = self.lstat(path)
        if placed.entry.kind == "dir":
            self._put_directory(placed, current)
        elif current is not None and current.kind == "dir":
            raise LayerwrightError(
                "copy-file-onto-directory",
                f"cannot replace to directory /{path} with file",
                help="end the destination with `/` to copy into the directory, or choose another name",
            )
        else:
            self._carried_parent(path)
            self.placed[path] = placed

    def _put_directory(self, placed: Placed, current: Entry | None) -> None:
        path = placed.entry.path
        if current is None:
            placed.fresh = True
        elif current.kind != "dir":
            raise LayerwrightError(
                "copy-directory-onto-file",
                f"cannot copy to non-directory: /{path} is a {current.kind}, and the source is a directory",
                help="remove what is there in an earlier step, or copy to another path",
            )
        else:
            before = self.placed.get(path)
            placed.fresh = before is not None and before.fresh
            placed.entry = msgspec.structs.replace(placed.entry, xattrs=_merged(self.xattrs(path), placed.entry.xattrs))
        self._carried_parent(path)
        self.placed[path] = placed

    def set_mode(self, path: str, mode: int) -> None:
        """The existing directory `path` with this mode."""
        placed = self._carried(path)
        placed.entry = msgspec.structs.replace(placed.entry, mode=mode)

    def _carried_parent(self, path: str) -> None:
        parent = path.rpartition("/")[0]
        if parent and parent not in self.placed:
            self._carried(parent)

    def _carried(self, path: str) -> Placed:
        """The directory as it is in the root, carried up into the plan with its parents."""
        placed = self.placed.get(path)
        if placed is None:
            self._carried_parent(path)
            entry = self.root.lstat(path)
            assert entry is not None, path
            placed = self.placed[path] = Placed(msgspec.structs.replace(entry, path=path, xattrs=self.root.xattrs(path)))
        return placed


def _merged(below: tuple[tuple[str, bytes], ...], above: tuple[tuple[str, bytes], ...]) -> tuple[tuple[str, bytes], ...]:
    if not above:
        return below
    return tuple(sorted({**dict(below), **dict(above)}.items()))
