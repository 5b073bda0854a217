"""One entry of a file tree or a layer, as data.

Paths are relative, without a leading slash, bytes decoded by `decode_path` (surrogateescape); the root is "".
"""

from __future__ import annotations

from typing import Literal

import msgspec

Kind = Literal["file", "dir", "symlink", "hardlink", "char", "block", "fifo", "socket", "whiteout", "opaque"]
"""`whiteout` hides the path itself; `opaque` hides what lower layers have in the directory `path`."""


class Entry(msgspec.Struct, frozen=True, gc=False):
    """`mode` is 0..07777; `link` the target of a symlink, verbatim, or the path a hardlink joins; `size` of files only.

    It holds nothing that could hold it in turn, so the collector of cycles need not follow the many there are.
    """

    path: str
    kind: Kind
    mode: int = 0
    uid: int = 0
    gid: int = 0
    mtime_ns: int = 0
    size: int = 0
    link: str = ""
    major: int = 0
    minor: int = 0
    xattrs: tuple[tuple[str, bytes], ...] = ()


def decode_path(raw: bytes) -> str:
    """Bytes of a path as text; every byte survives the way back."""
    return raw.decode("utf-8", "surrogateescape")


def encode_path(text: str) -> bytes:
    """The bytes of a path decoded by `decode_path`."""
    return text.encode("utf-8", "surrogateescape")
