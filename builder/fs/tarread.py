"""Reads any tar as a stream of entries, within caps: v7, ustar, PAX, GNU and star headers, sparse files of all four forms.

It follows Go's archive/tar where formats leave room, so that we take from an archive what BuildKit does: a PAX
record with an empty value leaves the header's, global headers are passed over, entries that have no contents
have size 0 whatever the field says. Names are cleaned (leading slashes, `.`, `..` clamped at the root);
symlink targets are kept verbatim. POSIX.1-2017 pax; GNU tar manual, "Tar Internals".
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator

from builder.errors import CorruptionError
from builder.fs.compress import Readable
from builder.fs.entries import Entry, Kind, decode_path
from builder.fs.inode import kept_xattr
from builder.fs.limits import DEFAULT, Limits
from builder.fs.sparse import Segments, old_gnu_segments, pax_segments, read_map_1_0
from builder.fs.tarsource import BLOCK, Body, Source, TarError

__all__ = ["Body", "CorruptionError", "TarError", "read_tar"]

_ZERO = bytes(BLOCK)
_KINDS: dict[bytes, Kind] = {
    b"0": "file", b"\0": "file", b"7": "file", b"S": "file", b"1": "hardlink", b"2": "symlink",
    b"3": "char", b"4": "block", b"5": "dir", b"6": "fifo",
}  # fmt: skip
_PLAIN = re.compile(rb"([0-7]{7})\0([0-7]{7})\0([0-7]{7})\0([0-7]{11})\0([0-7]{11})\0([0-7]{6})\0 ").match
_NO_RECORDS: dict[bytes, bytes] = {}
_NOBODY = 0xFFFFFFFF
"""-1, which chown(2) takes for "unchanged"."""
_CLEAN = re.compile(rb"(?:[^/.\0][^/]*)(?:/[^/.][^/]*)*\Z").match
"""Names with nothing to clean: no empty component, and none that begins with a dot."""
_PREFIX = ".wh."
_META = ".wh..wh."
_OPAQUE = ".wh..wh..opq"


class _Pending:
    """What extended headers said of the entry that follows them."""

    def __init__(self) -> None:
        self.records: dict[bytes, bytes] = {}
        self.sparse_pairs: list[tuple[bytes, bytes]] = []
        self.name: bytes | None = None
        self.link: bytes | None = None
        self.size = 0


_NOTHING = _Pending()
"""For the many entries that no extended header precedes."""


def read_tar(stream: Readable, limits: Limits = DEFAULT, *, whiteouts: bool = True) -> Iterator[tuple[Entry, Body]]:
    """The entries in order, each with what reads its contents until the next entry is asked for.

    With `whiteouts`, as in a layer, `.wh.` names come out as kind whiteout (the hidden path) and opaque (the
    directory), and AUFS's own `.wh..wh.` files are passed over. Only xattrs that images keep come out. The
    stream is read to the end-of-archive blocks only. Raises TarError.
    """
    source = Source(stream, limits)
    left = limits.entries
    while (step := _next_entry(source, limits)) is not None:
        if not left:
            raise TarError("tar-too-many-entries", f"an archive has more than {limits.entries} entries")
        left -= 1
        entry, body = step
        if whiteouts and ".wh." in entry.path:
            hidden = _whiteout(entry)
            if hidden is None:
                body.skip()
                continue
            entry = hidden
        yield entry, body
        body.skip()


def _next_entry(source: Source, limits: Limits) -> tuple[Entry, Body] | None:
    pending: _Pending | None = None
    while True:
        block = source.block()
        if block is None or block == _ZERO:
            return None
        numbers = _numbers(block)
        _check(block, numbers[5])
        kind = block[156:157]
        if kind in b"xgLKXNV":
            pending = pending or _Pending()
            _extended(source, kind, numbers[3], pending, limits)
            continue
        return _entry(source, block, numbers, pending or _NOTHING, limits)


def _numbers(block: bytes) -> list[int]:
    """Mode, owner, group, size, time and checksum, at one stroke when they are octal in full width, as nearly always."""
    match = _PLAIN(block, 100)
    if match is not None:
        return [int(text, 8) for text in match.groups()]
    places = {"checksum": (148, 156), "mode": (100, 108), "uid": (108, 116), "gid": (116, 124), "size": (124, 136), "time": (136, 148)}
    checksum, *others = (_number(block[start:end], what) for what, (start, end) in places.items())
    return [*others, checksum]


def _check(block: bytes, said: int) -> None:
    # Adler-32's low half is one more than the sum of the bytes, modulo 65521, which 256 bytes stay below:
    # a tenth of the time of sum().
    whole = (zlib.adler32(block[:256]) & 0xFFFF) + (zlib.adler32(block[256:]) & 0xFFFF) - 2
    rest = whole - sum(block[148:156]) + 8 * 32
    # Some old writers summed signed bytes.
    if said != rest and said != rest - 256 * sum(byte > 127 for byte in block[:148] + block[156:]):
        raise TarError("tar-corrupt", "an archive's header has a wrong checksum")


def _extended(source: Source, kind: bytes, size: int, pending: _Pending, limits: Limits) -> None:
    if kind == b"V":
        # A GNU volume label: a name, nothing to unpack.
        return
    pending.size += size
    # Any number of headers may stand before one entry, so their sum is what memory has to hold.
    if size < 0 or pending.size > limits.header:
        raise TarError("tar-header-too-large", f"an archive's extended header of {size} bytes is over the limit of {limits.header}")
    data = source.padded(size)
    if kind in (b"x", b"X"):
        _parse_records(data, pending)
    elif kind == b"L":
        pending.name = data.split(b"\0", 1)[0]
    elif kind == b"K":
        pending.link = data.split(b"\0", 1)[0]


def _parse_records(data: bytes, pending: _Pending) -> None:
    at = 0
    while at < len(data):
        space = data.find(b" ", at, at + 20)
        digits = data[at:space] if space > at else b""
        if not digits.isdigit():
            if not data[at:].strip(b"\0"):
                return
            raise TarError("tar-corrupt", "an archive's PAX record has no length")
        end = at + int(digits)
        if end > len(data) or end <= space + 1 or data[end - 1 : end] != b"\n":
            raise TarError("tar-corrupt", "an archive's PAX record has a wrong length")
        key, equals, value = data[space + 1 : end - 1].partition(b"=")
        if not equals or not key:
            raise TarError("tar-corrupt", "an archive's PAX record has no keyword")
        if key in (b"path", b"linkpath") and b"\0" in value:
            raise TarError("tar-corrupt", "an archive's name has a NUL byte")
        if key in (b"GNU.sparse.offset", b"GNU.sparse.numbytes"):
            pending.sparse_pairs.append((key, value))
        else:
            pending.records[key] = value
        at = end


def _entry(source: Source, block: bytes, numbers: list[int], pending: _Pending, limits: Limits) -> tuple[Entry, Body]:
    flag = block[156:157]
    records = {key: value for key, value in pending.records.items() if value} if pending.records else _NO_RECORDS
    name = records.get(b"GNU.sparse.name") or records.get(b"path") or pending.name or _header_name(block)
    kind = _KINDS.get(flag)
    if kind is None:
        raise TarError("tar-unknown-type", f"an archive's entry {_shown(name)} has the unknown type {flag!r}")
    if flag == b"\0" and name.endswith(b"/"):
        kind = "dir"
    mode, uid, gid, stored, seconds, _ = numbers
    mtime_ns = seconds * 1_000_000_000
    if records:
        uid, gid, stored, mtime_ns = _recorded(records, uid, gid, stored, mtime_ns)
    if stored < 0:
        raise TarError("tar-corrupt", f"an archive's entry {_shown(name)} has a negative size")
    if not (0 <= uid < _NOBODY and 0 <= gid < _NOBODY):
        raise TarError("tar-corrupt", f"an archive's entry {_shown(name)} has the owner {uid}:{gid}, which is out of range")
    body, size = _body(source, block, flag, stored if kind == "file" else 0, records, pending, limits)
    link = ""
    if kind == "symlink" or kind == "hardlink":
        mode = 0o777 if kind == "symlink" else mode
        link = _link(kind, records.get(b"linkpath") or pending.link or block[157:257].split(b"\0", 1)[0], name, limits)
    major, minor = _device(block) if kind in ("char", "block") else (0, 0)
    # What no file system stores is cut to what 64 bits of nanoseconds hold.
    mtime_ns = max(-(1 << 62), min(1 << 62, mtime_ns))
    xattrs = _xattrs(records) if records else ()
    return Entry(_clean(name, limits), kind, mode & 0o7777, uid, gid, mtime_ns, size, link, major, minor, xattrs), body


def _recorded(records: dict[bytes, bytes], uid: int, gid: int, size: int, mtime_ns: int) -> tuple[int, int, int, int]:
    """The numbers, with those that records replace."""
    return (
        _record_number(records, b"uid", uid),
        _record_number(records, b"gid", gid),
        _record_number(records, b"size", size),
        _record_time(records, mtime_ns),
    )


def _body(
    source: Source, block: bytes, flag: bytes, stored: int, records: dict[bytes, bytes], pending: _Pending, limits: Limits
) -> tuple[Body, int]:
    segments: Segments | None = None
    size = stored
    if flag == b"S":
        size = _number(block[483:495], "real size")
        segments = old_gnu_segments(source, block, limits)
    elif records.get(b"GNU.sparse.major") == b"1" and records.get(b"GNU.sparse.minor", b"0") == b"0":
        size = _record_number(records, b"GNU.sparse.realsize", 0)
        segments, used = read_map_1_0(source, stored, limits)
        stored -= used
    elif b"GNU.sparse.map" in records or pending.sparse_pairs:
        size = _record_number(records, b"GNU.sparse.size", _record_number(records, b"GNU.sparse.realsize", stored))
        segments = pax_segments(records.get(b"GNU.sparse.map"), pending.sparse_pairs, limits)
    if not 0 <= size <= limits.file:
        raise TarError("tar-file-too-large", f"an archive's file of {size} bytes is over the limit of {limits.file}")
    return Body(source, stored, size, segments), size


def _header_name(block: bytes) -> bytes:
    name = block[:100].split(b"\0", 1)[0]
    if block[257:263] != b"ustar\0":
        return name
    # star's header ends in "tar\0" and has times where ustar has the end of the prefix.
    prefix = block[345 : 476 if block[508:512] == b"tar\0" else 500].split(b"\0", 1)[0]
    return prefix + b"/" + name if prefix else name


def _clean(name: bytes, limits: Limits) -> str:
    if len(name) < 256 and len(name) <= limits.path and name.count(b"/") < limits.depth and _CLEAN(name):
        return decode_path(name)
    if len(name) > limits.path:
        raise TarError("tar-name-too-long", f"an archive's name of {len(name)} bytes is over the limit of {limits.path}")
    parts: list[bytes] = []
    for part in name.split(b"/"):
        if part == b"..":
            del parts[-1:]
        elif part not in (b"", b"."):
            parts.append(part)
    if len(parts) > limits.depth:
        raise TarError("tar-name-too-deep", f"an archive's name has more than {limits.depth} components")
    return decode_path(b"/".join(parts))


def _link(kind: Kind, link: bytes, name: bytes, limits: Limits) -> str:
    if kind == "hardlink":
        target = _clean(link, limits)
        if not target:
            raise TarError("tar-corrupt", f"an archive's hard link {_shown(name)} has no target")
        return target
    if kind != "symlink":
        return ""
    if not link or len(link) > limits.path:
        raise TarError("tar-corrupt", f"an archive's symbolic link {_shown(name)} has no target, or one over {limits.path} bytes")
    return decode_path(link)


def _whiteout(entry: Entry) -> Entry | None:
    """The entry with its `.wh.` name understood; None for AUFS's own files."""
    parts = entry.path.split("/")
    for part in parts[:-1]:
        if part.startswith(_META):
            return None
        if part.startswith(_PREFIX):
            raise TarError("tar-bad-whiteout", f"a layer has the directory {part!r}, whose name means a deleted file")
    parent, base = "/".join(parts[:-1]), parts[-1]
    if not base.startswith(_PREFIX):
        return entry
    if base == _OPAQUE:
        return Entry(parent, "opaque")
    if base.startswith(_META):
        return None
    hidden = base.removeprefix(_PREFIX)
    if hidden in ("", ".", ".."):
        raise TarError("tar-bad-whiteout", f"a layer's whiteout {entry.path!r} names no file")
    return Entry(f"{parent}/{hidden}" if parent else hidden, "whiteout")


def _number(field: bytes, what: str) -> int:
    """An octal or base-256 number; blank is 0."""
    if field[0] & 0x80:
        value = int.from_bytes(field, "big")
        bits = 8 * len(field)
        if field[0] & 0x40:
            return value - (1 << bits)
        return value - (1 << (bits - 1))
    text = field.strip(b" \0")
    text = text.split(b"\0", 1)[0].rstrip(b" ")
    if not text:
        return 0
    if text.strip(b"01234567"):
        raise TarError("tar-corrupt", f"an archive's header has no number for its {what}")
    return int(text, 8)


def _record_number(records: dict[bytes, bytes], key: bytes, otherwise: int) -> int:
    text = records.get(key)
    if text is None:
        return otherwise
    if len(text) > 20 or not text.lstrip(b"-").isdigit():
        raise TarError("tar-corrupt", f"an archive's PAX record {key.decode('ascii', 'replace')} is no number")
    return int(text)


def _record_time(records: dict[bytes, bytes], otherwise: int) -> int:
    text = records.get(b"mtime")
    if text is None:
        return otherwise
    whole, _, fraction = text.partition(b".")
    if len(whole) > 20 or not whole.lstrip(b"-").isdigit() or (fraction and not fraction.isdigit()):
        raise TarError("tar-corrupt", "an archive's mtime is no number")
    nanoseconds = int(fraction[:9].ljust(9, b"0"))
    return int(whole) * 1_000_000_000 + (-nanoseconds if whole.startswith(b"-") else nanoseconds)


def _device(block: bytes) -> tuple[int, int]:
    major, minor = _number(block[329:337], "device"), _number(block[337:345], "device")
    if not (0 <= major < 1 << 12 and 0 <= minor < 1 << 20):
        raise TarError("tar-corrupt", f"an archive's device {major}:{minor} is out of range")
    return major, minor


def _xattrs(records: dict[bytes, bytes]) -> tuple[tuple[str, bytes], ...]:
    found = []
    for key, value in records.items():
        if key.startswith(b"SCHILY.xattr."):
            name = decode_path(key.removeprefix(b"SCHILY.xattr.").replace(b"%3D", b"=").replace(b"%25", b"%"))
            if kept_xattr(name):
                found.append((name, value))
    return tuple(sorted(found))


def _shown(name: bytes) -> str:
    return repr(name[:200].decode("utf-8", "backslashreplace"))
