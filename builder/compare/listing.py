"""One layer's entries in the order of their paths, in a file: memory is bounded whatever the layer holds.

A layer is read once, as a stream. Its entries are sorted in pieces of `PIECE`, each written out, and the pieces are
merged into one file of records (4 bytes of length, then msgpack of a Node). Of two entries for one path the later
counts, as when unpacking. Hard links are replaced by the file they join, wherever in this layer or below that is.
Only they are kept in memory, up to `MAX_LINKS`.
"""

from __future__ import annotations

import hashlib
import heapq
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import BinaryIO

import msgspec

from builder.errors import CorruptionError
from builder.fs.compress import CHUNK, Readable, decompress
from builder.fs.entries import Entry, Kind, decode_path, encode_path
from builder.fs.limits import DEFAULT, Limits
from builder.fs.tarread import Body, read_tar

PIECE = 30_000
MAX_LINKS = 1_000_000

_RANKS = {"whiteout": 1, "opaque": 2}


class Node(msgspec.Struct, frozen=True, array_like=True):
    """One entry. `key` is its path with NUL between the names, so that a directory's contents follow it at once;
    `content` the sha256 of a file; `group` the key of the first of the hard links it is one of, b"" for none;
    `mtime_ns` None for a directory that no layer names."""

    key: bytes
    kind: Kind
    mode: int = 0
    uid: int = 0
    gid: int = 0
    mtime_ns: int | None = None
    size: int = 0
    content: bytes = b""
    link: bytes = b""
    major: int = 0
    minor: int = 0
    xattrs: tuple[tuple[bytes, bytes], ...] = ()
    group: bytes = b""

    @property
    def path(self) -> str:
        """As in an Entry."""
        return decode_path(self.key.replace(b"\0", b"/"))


class Listing(msgspec.Struct, frozen=True):
    """A layer's nodes on disk, and the digest of its plain tar; `links` says whether there are hard links among them."""

    file: Path
    diff_id: str
    links: bool

    def __iter__(self) -> Iterator[Node]:
        return _read(self.file)


def rank(node: Node) -> int:
    """A path may be an entry, a whiteout and an opaque directory at once."""
    return _RANKS.get(node.kind, 0)


def list_layer(stream: Readable, file: Path, below: Callable[[], Iterable[Node]], limits: Limits = DEFAULT, piece: int = PIECE) -> Listing:
    """Reads a layer blob to its end and writes its listing to `file`, with scratch files beside it.

    `below` gives the root file system that the layer stands on; it is read only for hard links into it.
    """
    plain = _Hashed(decompress(stream))
    links: dict[bytes, bytes] = {}
    pieces: list[Path] = []
    nodes: list[Node] = []
    for entry, body in read_tar(plain, limits):
        node = _node(entry, body)
        if node.kind == "hardlink":
            links[node.key] = _key(entry.link)
            if len(links) > MAX_LINKS:
                raise CorruptionError("too-many-links", f"a layer has more than {MAX_LINKS} hard links")
        elif not rank(node):
            links.pop(node.key, None)
        nodes.append(node)
        if len(nodes) == piece:
            pieces.append(_write(file.with_name(f"{file.name}.{len(pieces)}"), sorted(nodes, key=_order)))
            nodes = []
    plain.drain()
    streams: list[Iterable[Node]] = [*map(_read, pieces), sorted(nodes, key=_order)]
    _write(file, _latest(heapq.merge(*streams, key=_order)))
    for written in pieces:
        written.unlink()
    if links:
        _join(file, links, below)
    return Listing(file, plain.digest(), bool(links))


class _Hashed:
    """Counts what is read into the DiffID."""

    def __init__(self, stream: Readable) -> None:
        self._stream = stream
        self._hash = hashlib.sha256()

    def read(self, size: int = -1, /) -> bytes:
        data = self._stream.read(size)
        self._hash.update(data)
        return data

    def drain(self) -> None:
        """What follows the end of the archive belongs to the DiffID."""
        while self.read(CHUNK):
            pass

    def digest(self) -> str:
        return f"sha256:{self._hash.hexdigest()}"


def _key(path: str) -> bytes:
    return encode_path(path).replace(b"/", b"\0")


def _order(node: Node) -> tuple[bytes, int]:
    return node.key, rank(node)


def _node(entry: Entry, body: Body) -> Node:
    content = b""
    if entry.kind == "file":
        digest = hashlib.sha256()
        while chunk := body.read(CHUNK):
            digest.update(chunk)
        content = digest.digest()
    xattrs = tuple(sorted((encode_path(name), value) for name, value in entry.xattrs))
    return Node(
        _key(entry.path),
        entry.kind,
        entry.mode,
        entry.uid,
        entry.gid,
        entry.mtime_ns,
        entry.size,
        content,
        encode_path(entry.link) if entry.kind == "symlink" else b"",
        entry.major,
        entry.minor,
        xattrs,
    )


def _latest(nodes: Iterable[Node]) -> Iterator[Node]:
    held: Node | None = None
    for node in nodes:
        if held is not None and _order(held) != _order(node):
            yield held
        held = node
    if held is not None:
        yield held


def _join(file: Path, links: Mapping[bytes, bytes], below: Callable[[], Iterable[Node]]) -> None:
    """Puts the joined file in the place of each hard link, and names the group in all of its members."""
    roots = {key: _root(key, links) for key in links}
    groups: dict[bytes, bytes] = {}
    for key, root in roots.items():
        groups[root] = min(groups.get(root, root), key, root)
    found = {node.key: node for node in _read(file) if node.key in groups and not rank(node) and node.kind != "hardlink"}
    if len(found) < len(groups):
        found.update((node.key, node) for node in below() if node.key in groups and node.key not in found)

    def joined() -> Iterator[Node]:
        for node in _read(file):
            if node.kind == "hardlink":
                root = roots[node.key]
                target = found.get(root)
                if target is None:
                    raise CorruptionError("tar-corrupt", f"a layer's hard link {node.path[:200]!r} joins a file that is not there")
                yield msgspec.structs.replace(target, key=node.key, group=groups[root])
            elif node.kind == "file" and node.key in groups:
                yield msgspec.structs.replace(node, group=groups[node.key])
            else:
                yield node

    temporary = _write(file.with_name(f"{file.name}.joined"), joined())
    os.rename(temporary, file)


def _root(key: bytes, links: Mapping[bytes, bytes]) -> bytes:
    """The end of a chain of links; a chain that comes back to where it was ends there."""
    seen = {key}
    while (target := links.get(key)) is not None and target not in seen:
        seen.add(target)
        key = target
    return key


def _write(file: Path, nodes: Iterable[Node]) -> Path:
    encode = msgspec.msgpack.Encoder().encode
    with open(file, "wb", buffering=CHUNK) as out:
        for node in nodes:
            data = encode(node)
            out.write(len(data).to_bytes(4, "little"))
            out.write(data)
    return file


def _read(file: Path) -> Iterator[Node]:
    decode = _decoder().decode
    with open(file, "rb", buffering=1 << 16) as stream:
        while node := _record(stream):
            yield decode(node)


def _record(stream: BinaryIO) -> bytes:
    return stream.read(int.from_bytes(stream.read(4), "little"))


@cache
def _decoder() -> msgspec.msgpack.Decoder[Node]:
    return msgspec.msgpack.Decoder(Node)
