"""Layer tars laid on one another, with the standard library only, so that no code of ours judges itself."""

from __future__ import annotations

import hashlib
import io
import posixpath
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

KINDS = {
    tarfile.REGTYPE: "file", tarfile.AREGTYPE: "file", tarfile.DIRTYPE: "dir", tarfile.SYMTYPE: "symlink",
    tarfile.CHRTYPE: "char", tarfile.BLKTYPE: "block", tarfile.FIFOTYPE: "fifo",
}  # fmt: skip


@dataclass(eq=False)
class Node:
    """An inode: all names of a hard-link group share one."""

    kind: str
    mode: int
    uid: int
    gid: int
    size: int
    mtime: float
    link: str = ""
    device: tuple[int, int] = (0, 0)
    digest: str = ""
    xattrs: Mapping[str, str] = field(default_factory=dict)


Tree = dict[str, Node]


@dataclass(frozen=True)
class _Member:
    path: str
    node: Node
    hard: str | None


@lru_cache(maxsize=512)
def _members(layer: bytes) -> tuple[_Member, ...]:
    found = []
    with tarfile.open(fileobj=io.BytesIO(layer)) as archive:
        for info in archive:
            path = posixpath.normpath("/" + info.name).lstrip("/")
            body = archive.extractfile(info) if info.isreg() else None
            digest = hashlib.sha256(body.read()).hexdigest() if body is not None else ""
            xattrs = {
                key.removeprefix("SCHILY.xattr."): value for key, value in info.pax_headers.items() if key.startswith("SCHILY.xattr.")
            }
            node = Node(
                KINDS.get(info.type, "hard"),
                info.mode & 0o7777,
                info.uid,
                info.gid,
                info.size if info.isreg() else 0,
                int(info.mtime),
                info.linkname if info.issym() else "",
                (info.devmajor, info.devminor) if info.isdev() and not info.isfifo() else (0, 0),
                digest,
                xattrs,
            )
            hard = posixpath.normpath("/" + info.linkname).lstrip("/") if info.islnk() else None
            found.append(_Member(path, node, hard))
    return tuple(found)


def flatten(layers: Sequence[bytes]) -> list[Tree]:
    """The tree after each layer."""
    states: list[Tree] = []
    tree: Tree = {}
    for layer in layers:
        tree = _apply(dict(tree), layer)
        states.append(tree)
    return states


def _apply(tree: Tree, layer: bytes) -> Tree:
    members = _members(layer)
    for member in members:
        parent, name = posixpath.split(member.path)
        if name == ".wh..wh..opq":
            _remove_below(tree, parent)
        elif name.startswith(".wh."):
            _remove(tree, posixpath.join(parent, name.removeprefix(".wh.")))
    for member in members:
        if posixpath.basename(member.path).startswith(".wh.") or member.path in ("", "."):
            continue
        old = tree.get(member.path)
        if old is not None and (old.kind != "dir" or member.node.kind != "dir"):
            _remove(tree, member.path)
        if member.hard is not None:
            tree[member.path] = tree[member.hard]
            continue
        node = member.node
        # One parse serves many images; a node's identity is that of its place in one stack.
        tree[member.path] = Node(**vars(node))
    return tree


def _remove(tree: Tree, path: str) -> None:
    tree.pop(path, None)
    _remove_below(tree, path)


def _remove_below(tree: Tree, path: str) -> None:
    prefix = path + "/" if path else ""
    for name in [name for name in tree if name.startswith(prefix) and name != path]:
        del tree[name]


def link_groups(tree: Tree) -> dict[str, tuple[str, ...]]:
    """For each name that is one of several of a file, all of them."""
    groups: dict[int, list[str]] = {}
    for path, node in tree.items():
        if node.kind != "dir":
            groups.setdefault(id(node), []).append(path)
    return {path: tuple(sorted(names)) for names in groups.values() if len(names) > 1 for path in names}
