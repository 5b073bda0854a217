"""The content key of a COPY: what its sources hold, so that equal digests mean equal results (reference 1.15).

In it, for each path a source names: its last component as written (so renaming the source is a miss), then, in
order, everything taken below it: name, kind, mode, owner (0:0 where the COPY zeroes it), size, link target,
device numbers, kept xattrs, which files are hard links of one another, and the sha256 of the data. Not in it:
mtimes, the directory part of a source, files that are not taken. Records are msgpack, which frames by length.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence

import msgspec

from builder.context.ignore import IgnoredTree, Patterns, parse_patterns
from builder.context.scan import Seen
from builder.context.statcache import FileDigests, Inode, inode_of
from builder.fs.entries import encode_path
from builder.fs.tree import DirTree, Tree
from builder.graph.operations import CopyAction, CopyFrom
from builder.oci.sha256 import small
from builder.ops.manifest import ManifestRow
from builder.ops.select import Selected, select, select_path
from builder.ops.select_walk import Below

_VERSION = "copy-1"

Record = tuple[object, ...]


def copy_digests(action: CopyAction, sources: Sequence[Tree], digests: FileDigests) -> tuple[str, ...]:
    """The selection digest of each of the action's inputs; `sources[i]` is the tree of `action.sources[i]`."""
    return tuple(selection_digest(action, source, tree, digests) for source, tree in zip(action.sources, sources, strict=True))


class Witness:
    """What a context's files looked like when they were digested, to be asked after they were copied.

    A file whose ctime is the same was not written, renamed onto, nor had its mode or xattrs changed; a directory
    whose ctime is the same has got and lost no entry. So a stat each tells of all that a digest would, but of
    what happened within one tick of the file system's clock.
    """

    def __init__(self) -> None:
        self._seen: list[tuple[str, int, int]] = []

    def saw(self, path: str, st: os.stat_result | None) -> None:
        """Remember one inode; trees without any are not watched."""
        if st is not None:
            self._seen.append((path, st.st_ino, st.st_ctime_ns))

    def holds(self, tree: Tree) -> bool:
        """Whether all is as it was."""
        plain = tree.unfiltered if isinstance(tree, IgnoredTree) else tree
        if not isinstance(plain, DirTree):
            return True
        for path, inode, ctime_ns in self._seen:
            now = plain.stat(path)
            if now is None or now.st_ino != inode or now.st_ctime_ns != ctime_ns:
                return False
        return True


def selection_digest(action: CopyAction, source: CopyFrom, tree: Tree, digests: FileDigests, witness: Witness | None = None) -> str:
    """64 hex digits for what `action` takes from one input; the missing-source error where one is missing."""
    return walked(action, source, tree, digests, witness).found


def walked(action: CopyAction, source: CopyFrom, tree: Tree, digests: FileDigests, witness: Witness | None = None) -> Walk:
    """What `action` takes from one input, digested; the missing-source error where a file is missing."""
    walk = Walk(tree, source.zero_owner, parse_patterns(action.excludes))
    walk.witness = witness
    for item in select(tree, source.paths, parents=action.parents).items:
        walk.add(item)
    walk.digest(digests)
    return walk


def tree_digest(tree: Tree, path: str, digests: FileDigests, *, zero_owner: bool) -> str:
    """64 hex digits for a file or a directory's contents, its own name not in it (the key of a bind mount)."""
    return tree_walk(tree, path, digests, zero_owner=zero_owner).found


def tree_walk(tree: Tree, path: str, digests: FileDigests, *, zero_owner: bool) -> Walk:
    """A file or a directory's contents, digested."""
    walk = Walk(tree, zero_owner, Patterns(()))
    walk.add(msgspec.structs.replace(select_path(tree, path), name=""))
    walk.digest(digests)
    return walk


def owner_digest(action: CopyAction, users: Tree) -> str:
    """What a --chown comes to in this root: the names' numbers, so that other accounts do not matter."""
    owner = None
    if action.chown:
        from builder.ops.copy_owner import owner_of  # reads passwd; most copies have no --chown

        owner = owner_of(action.chown, users, [])
    return small(_encode((_VERSION, "owner", owner))).hexdigest()


class Walk:
    """Collects a record for each thing taken, and the files whose contents are wanted."""

    def __init__(self, tree: Tree, zero_owner: bool, excludes: Patterns) -> None:
        self._tree = tree
        self._zero = zero_owner
        self._excludes = excludes
        self.records: list[Record] = []
        self._files: list[str] = []
        self._stats: list[Inode | None] = []
        self._tops: list[str] = []
        self._contents: list[str] = []
        self.witness: Witness | None = None
        self.found = ""
        """The digest, once it was asked for."""

    def add(self, item: Selected) -> None:
        """One selected path and what is taken below it."""
        name = "" if item.include is not None else item.name  # what a pivot's base is called does not show
        self.records.append(("source", encode_path(name), item.seen.entry.kind))
        self._tops.append(item.path)
        links: dict[tuple[int, int], int] = {}
        if item.seen.entry.kind != "dir":
            self._record(item.seen, "", False, links)
            return
        if item.path:
            self._record(item.seen, "", False, links)
        elif self.witness is not None:
            self.witness.saw("", item.seen.stat)
        for found in Below(self._tree, item.path, self._excludes, item.include):
            self._record(found.seen, found.relative, found.parent, links)

    def digest(self, digests: FileDigests) -> str:
        """The digest of all that was added."""
        state = small(_encode((_VERSION, len(self.records))))
        self._contents = digests.of(self._tree, self._files, self._stats)
        contents = iter(self._contents)
        for record in self.records:
            state.update(_encode((*record, next(contents)) if record[0] == "file" else record))
        self.found = state.hexdigest()
        return self.found

    def rows(self) -> Iterator[ManifestRow]:
        """All that was digested, file by file; after `digest`."""
        tops, contents, top = iter(self._tops), iter(self._contents), b""
        for record in self.records:
            kind, name = record[0], record[1]
            assert isinstance(kind, str)
            assert isinstance(name, bytes)
            if kind == "source":
                top = encode_path(next(tops))
                continue
            path = top + b"/" + name if top and name else top or name
            yield _row(path, kind, record, next(contents) if kind == "file" else "")

    def _record(self, seen: Seen, name: str, parent: bool, links: dict[tuple[int, int], int]) -> None:
        entry, number = seen.entry, len(self._files)
        if self.witness is not None:
            self.witness.saw(entry.path, seen.stat)
        uid, gid = (0, 0) if self._zero else (entry.uid, entry.gid)
        raw = encode_path(name)
        if entry.kind == "file":
            first = number if seen.identity is None else links.setdefault(seen.identity, number)
            self.records.append(("file", raw, entry.mode, uid, gid, seen.xattrs, entry.size, number - first))
            self._files.append(entry.path)
            self._stats.append(None if seen.stat is None else inode_of(seen.stat))
        else:
            special = (encode_path(entry.link), entry.major, entry.minor, parent)
            self.records.append((entry.kind, raw, entry.mode, uid, gid, seen.xattrs, *special))


def _row(path: bytes, kind: str, record: Record, content: str) -> ManifestRow:
    """A record of a walk as a manifest has it; see `_record` for their fields."""
    mode, uid, gid, xattrs, rest = *map(_number, record[2:5]), record[5], record[6:]
    marks = small(_encode(xattrs)).digest()[:8] if xattrs else b""
    if kind == "file":
        return ManifestRow(path, kind, mode, uid, gid, _number(rest[0]), bytes.fromhex(content), _number(rest[1]), marks)
    link, major, minor = rest[0], _number(rest[1]), _number(rest[2])
    assert isinstance(link, bytes)
    return ManifestRow(path, kind, mode, uid, gid, 0, link or (b"%d:%d" % (major, minor) if kind in ("char", "block") else b""), 0, marks)


def _number(value: object) -> int:
    assert isinstance(value, int)
    return value


_encode: Callable[[object], bytes] = msgspec.msgpack.Encoder().encode
