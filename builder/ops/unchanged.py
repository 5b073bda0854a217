"""Directories of a context that are as they were: known by what stat says of everything below, without a look at more.

A digest of what a COPY takes asks each file for its attributes and the index for its contents: six times the cost
of a stat (29 us a file, measured, against 5 of the walk and 3 of the rules here). So the digest is remembered
under a stamp: a hash of name, inode, device, kind, mode, owner, size, mtime and ctime of everything below the
selected directories. Any write, rename, link, chmod or change of an attribute moves a ctime, which cannot be set.

Rules. A stamp covers all that may be taken, and may cover more, so that it can differ without need but never be
equal wrongly. Like the stat cache (builder.context.statcache) it is not remembered while anything in it is so young
that it could change again within one tick of a clock. It is taken before the files are digested: what changes in
between has another ctime afterwards, so the stamp never comes again.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import msgspec

from builder.context.ignore import ROOT_STATE, IgnoredTree
from builder.context.statcache import RACY_NS
from builder.fs.tree import DirTree, Tree
from builder.oci.sha256 import large, small
from builder.ops.select import Selected

_VERSION = 1


class Remembered(Protocol):
    """Small values by name; builder.store.index.Index is one. Losing them costs time, nothing else."""

    def get_setting(self, key: str) -> bytes | None:
        """None when absent."""
        ...

    def put_setting(self, key: str, value: bytes) -> None:
        """Stores or replaces."""
        ...


class _Row(msgspec.Struct, frozen=True, array_like=True):
    stamp: bytes
    digest: str
    count: int


class Glance:
    """What a selection looked like; `digest` is what it was digested to when it last looked so, None where that is not known."""

    def __init__(self, stamp: Callable[[], _Stamp | None], store: Remembered, key: str, clock: Callable[[], int]) -> None:
        self._take = stamp
        self._store = store
        self._key = key
        self._oldest = clock() - RACY_NS
        self._seen = stamp()
        row = _decoded(store.get_setting(key)) if self._seen is not None else None
        known = row is not None and self._seen is not None and row.stamp == self._seen.digest
        self.digest = row.digest if row is not None and known else None
        self.count = row.count if row is not None and known else 0
        """Records that were digested."""

    def remember(self, digest: str, count: int) -> None:
        """What it has been digested to since."""
        self.digest, self.count = digest, count
        if self._seen is not None and self._seen.newest < self._oldest:
            self._store.put_setting(self._key, msgspec.msgpack.encode(_Row(self._seen.digest, digest, count)))

    def holds(self, tree: Tree) -> bool:
        """Whether it still looks so."""
        now = self._take()
        return now is not None and self._seen is not None and now.digest == self._seen.digest


class Unchanged:
    """Looks at selections of context directories; thread-safe."""

    def __init__(self, store: Remembered | None, *, clock: Callable[[], int] = time.time_ns) -> None:
        self._store = store
        self._clock = clock

    def glance(self, tree: Tree, rules: object, items: Sequence[Selected]) -> Glance | None:
        """None where a look is worth nothing: no directory is selected, or the tree is none. `rules`: what else decides what is taken."""
        plain = tree.unfiltered if isinstance(tree, IgnoredTree) else tree
        if self._store is None or not isinstance(plain, DirTree) or not any(item.seen.entry.kind == "dir" for item in items):
            return None
        ignored = tree.patterns.lines if isinstance(tree, IgnoredTree) else ()
        key = small(msgspec.msgpack.encode((_VERSION, plain.path, ignored, rules))).hexdigest()
        return Glance(lambda: _stamp(tree, plain, items), self._store, f"walk/{key}", self._clock)


class _Stamp(msgspec.Struct, frozen=True):
    digest: bytes
    newest: int


def _stamp(tree: Tree, plain: DirTree, items: Iterable[Selected]) -> _Stamp | None:
    """None for what cannot be stamped: something vanished meanwhile, or has times beyond 64 bits."""
    state, newest = large(), 0
    try:
        for item in items:
            st = plain.stat(item.path)
            if st is None:
                return None
            state.update(_encode((item.source, item.path, item.name, item.include, _facts(st))))
            newest = max(newest, st.st_mtime_ns, st.st_ctime_ns)
            if item.seen.entry.kind == "dir":
                newest = max(newest, _below(tree, plain, item.path, state.update))
    except (OSError, OverflowError):
        return None
    return _Stamp(state.digest(), newest)


def _below(tree: Tree, plain: DirTree, top: str, update: Callable[[bytes], object]) -> int:
    """Tells of each directory below `top` what it holds, in an order that the names alone decide; the latest time of any."""
    newest = 0
    ignored = tree if isinstance(tree, IgnoredTree) else None
    todo = [(top, ROOT_STATE if ignored is None else ignored.state(top))]
    while todo:
        directory, state = todo.pop()
        prefix = f"{directory}/" if directory else ""
        rows: list[tuple[object, ...]] = []
        for name, st in plain.stats(directory):
            below = state
            if ignored is not None:
                left_out, below = ignored.patterns.step(prefix + name, state)
                if left_out and not ignored.patterns.reaches_below(prefix + name):
                    continue
            facts = _facts(st)
            rows.append((name.encode("utf-8", "surrogateescape"), facts))
            if (facts[0] & 0o170000) == 0o040000:
                todo.append((prefix + name, below))
            if facts[6] > newest:
                newest = facts[6]
            if facts[7] > newest:
                newest = facts[7]
        update(_encode((directory.encode("utf-8", "surrogateescape"), rows)))
    return newest


def _facts(st: os.stat_result) -> tuple[int, int, int, int, int, int, int, int]:
    return st.st_mode, st.st_ino, st.st_dev, st.st_uid, st.st_gid, st.st_size, st.st_mtime_ns, st.st_ctime_ns


def _decoded(raw: bytes | None) -> _Row | None:
    try:
        return None if raw is None else msgspec.msgpack.decode(raw, type=_Row)
    except msgspec.DecodeError:
        return None  # written by another version


_encode: Callable[[object], bytes] = msgspec.msgpack.Encoder().encode
