"""Two root file systems side by side: which paths differ, and in which respects."""

from __future__ import annotations

from collections.abc import Iterator

from builder.compare.differences import Aspect, FileDifference, FileState
from builder.compare.listing import Node
from builder.compare.stack import Placed
from builder.fs.entries import decode_path


def compare_files(one: Iterator[Placed], other: Iterator[Placed], *, ignore_time: bool = False) -> Iterator[FileDifference]:
    """Every path that differs, in order; both streams are ordered, and each is read once."""
    was, now = next(one, None), next(other, None)
    while was is not None or now is not None:
        if now is None or (was is not None and was[0].key < now[0].key):
            assert was is not None
            yield FileDifference("removed", was[0].path, (), _state(was), None)
            was = next(one, None)
        elif was is None or now[0].key < was[0].key:
            yield FileDifference("added", now[0].path, (), None, _state(now))
            now = next(other, None)
        else:
            found = aspects(was[0], now[0], ignore_time=ignore_time)
            if found:
                yield FileDifference("changed", was[0].path, found, _state(was), _state(now))
            was, now = next(one, None), next(other, None)


def aspects(was: Node, now: Node, *, ignore_time: bool = False) -> tuple[Aspect, ...]:
    """In which respects two nodes differ; a directory that no layer names has no time."""
    if was.kind != now.kind:
        return ("kind",)
    pairs: tuple[tuple[Aspect, object, object], ...] = (
        ("content", (was.content, was.size), (now.content, now.size)),
        ("link", was.link, now.link),
        ("device", (was.major, was.minor), (now.major, now.minor)),
        ("mode", was.mode, now.mode),
        ("owner", (was.uid, was.gid), (now.uid, now.gid)),
        ("xattrs", was.xattrs, now.xattrs),
        ("hard-link", was.group, now.group),
    )
    found = [aspect for aspect, before, after in pairs if before != after]
    timed = was.mtime_ns is not None and now.mtime_ns is not None
    if timed and not ignore_time and was.mtime_ns != now.mtime_ns:
        found.append("mtime")
    return tuple(found)


def _state(placed: Placed) -> FileState:
    node, layer = placed
    return FileState(
        node.kind,
        node.mode,
        node.uid,
        node.gid,
        node.size,
        node.content.hex(),
        decode_path(node.link),
        node.major,
        node.minor,
        tuple((decode_path(name), value) for name, value in node.xattrs),
        decode_path(node.group.replace(b"\0", b"/")),
        node.mtime_ns,
        layer,
    )
