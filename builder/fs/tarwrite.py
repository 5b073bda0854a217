"""Writes a layer's tar: ustar with PAX records where a field does not hold the value.

The bytes are those Go's archive/tar writes for containerd (Header.Format PAX, whiteouts plain ustar), so that
the same files give the same DiffID: names without a leading slash, directories ending in one; 07777 of the
mode; whole seconds, rounded down; no user, group, access or change time; records sorted by keyword; two zero
blocks at the end and no further padding. Extended attributes are SCHILY.xattr records, "=" and "%" in their
names escaped as GNU tar does (paxheader.c, xattr_encode_keyword). POSIX.1-2017 pax, "ustar Interchange Format".
"""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Callable

from builder.errors import LayerwrightError
from builder.fs.entries import Entry, Kind, encode_path

BLOCK = 512
CHUNK = 1 << 20
"""Bytes handed to `write` at a time, all but the last."""
SPARSE_FROM = 1 << 18
"""Files of this size and more are asked for their holes."""

OPAQUE_NAME = b".wh..wh..opq"
WHITEOUT_PREFIX = b".wh."

_PACK = struct.Struct("100s48s8s1s100s8s32s32s16s155s12x").pack
_MAGIC = b"ustar\x0000"
_DEVICE = b"%07o\0%07o\0"
_NO_DEVICE = _DEVICE % (0, 0)
# The checksum counts its own eight bytes as spaces.
_BASE = sum(_MAGIC) + 8 * 32
_BASE_NO_DEVICE = _BASE + sum(_NO_DEVICE)
_TYPES: dict[Kind, bytes] = {
    "file": b"0", "hardlink": b"1", "symlink": b"2", "char": b"3", "block": b"4", "dir": b"5", "fifo": b"6",
    "whiteout": b"0", "opaque": b"0",
}  # fmt: skip
_MAX_ID = 0o7777777
_MAX_SIZE = 0o77777777777
_ZEROS = bytes(CHUNK)
_PADDING = [bytes(size) for size in range(BLOCK)]


class TarWriter:
    """Adds entries in the order given; `write` gets CHUNK bytes at a time. Not for several threads."""

    def __init__(self, write: Callable[[bytes], object]) -> None:
        self._write = write
        self._buffer = bytearray(CHUNK)
        self._view = memoryview(self._buffer)
        self._used = 0

    def add(self, entry: Entry, data: int | bytes | None = None) -> None:
        """Writes one entry; `data` is what a file of size > 0 holds: bytes, or a descriptor read from offset 0.

        A socket has no place in a tar and is passed over. Raises LayerwrightError when the data are shorter
        than `entry.size`, and for a name that a reader of layers would take for a whiteout.
        """
        if entry.kind == "socket":
            return
        self._put(encode_header(entry))
        if entry.kind != "file" or not entry.size:
            return
        if isinstance(data, int):
            self._copy(entry, data)
        else:
            if data is None or len(data) != entry.size:
                raise _changed(entry)
            self._put(data)
        self._pad()

    def close(self) -> None:
        """Writes the end of the archive; nothing may be added afterwards."""
        self._put(bytes(2 * BLOCK))
        if self._used:
            self._write(bytes(self._view[: self._used]))
            self._used = 0

    def _put(self, data: bytes) -> None:
        size = len(data)
        used = self._used
        if used + size < CHUNK:
            self._buffer[used : used + size] = data
            self._used = used + size
            return
        view = memoryview(data)
        while view:
            part = view[: CHUNK - self._used]
            self._view[self._used : self._used + len(part)] = part
            self._advance(len(part))
            view = view[len(part) :]

    def _advance(self, count: int) -> None:
        self._used += count
        if self._used == CHUNK:
            self._used = 0
            self._write(bytes(self._view))

    def _pad(self) -> None:
        # CHUNK is a multiple of BLOCK, so padding never crosses its end.
        used = self._used
        short = -used % BLOCK
        if short:
            self._buffer[used : used + short] = _PADDING[short]
            self._advance(short)

    def _copy(self, entry: Entry, fd: int) -> None:
        size = entry.size
        if size < SPARSE_FROM:
            used = self._used
            end = used + size
            # Nearly every file: read at once, with room for its padding.
            if end + BLOCK > CHUNK or os.preadv(fd, (self._view[used:end],), 0) != size:
                os.lseek(fd, 0, os.SEEK_SET)
                self._read(entry, fd, size)
            else:
                self._used = end
            return
        at = 0
        while at < entry.size:
            start, end = _next_data(fd, at, entry.size)
            self._zeros(start - at)
            if end > start:
                os.lseek(fd, start, os.SEEK_SET)
                self._read(entry, fd, end - start)
            at = end

    def _read(self, entry: Entry, fd: int, left: int) -> None:
        while left:
            used = self._used
            if not used and left >= CHUNK:
                # All but the ends of a large file: handed on as it was read, not copied out of the buffer.
                data = os.read(fd, CHUNK)
                count = len(data)
                if count == CHUNK:
                    self._write(data)
                else:
                    self._put(data)
            else:
                count = os.readv(fd, (self._view[used : min(CHUNK, used + left)],))
                self._advance(count)
            if not count:
                raise _changed(entry)
            left -= count

    def _zeros(self, left: int) -> None:
        while left:
            if not self._used and left >= CHUNK:
                self._write(_ZEROS)
                left -= CHUNK
                continue
            count = min(left, CHUNK - self._used)
            self._view[self._used : self._used + count] = _ZEROS[:count]
            self._advance(count)
            left -= count


def _next_data(fd: int, at: int, size: int) -> tuple[int, int]:
    """The next stretch of data from `at` on, both ends within `size`; an empty one at the end when only a hole is left."""
    try:
        start = os.lseek(fd, at, os.SEEK_DATA)
        end = os.lseek(fd, start, os.SEEK_HOLE)
    except OSError as error:
        if error.errno == errno.ENXIO:
            # lseek(2): no data behind `at`; or `at` is behind the end of a file that has shrunk, which reading finds out.
            return (size, size) if os.fstat(fd).st_size >= size else (at, size)
        return at, size
    return min(start, size), min(end, size)


def encode_header(entry: Entry) -> bytes:
    """The header blocks of an entry, PAX records included."""
    name = encode_path(entry.path)
    kind = entry.kind
    if kind == "whiteout" or kind == "opaque":
        return _whiteout_header(name, kind)
    if b".wh." in name:
        _refuse_whiteout_names(name)
    if kind == "dir":
        name += b"/"
    records: dict[bytes, bytes] = {}
    link = b""
    if entry.link:
        link = encode_path(entry.link)
        if len(link) > 100 or not link.isascii():
            records[b"linkpath"] = link
    if len(name) > 100 or not name.isascii():
        records[b"path"] = name
    size = entry.size if kind == "file" else 0
    mtime = entry.mtime_ns // 1_000_000_000
    uid, gid = entry.uid, entry.gid
    if uid > _MAX_ID or gid > _MAX_ID or size > _MAX_SIZE or not 0 <= mtime <= _MAX_SIZE:
        uid, gid, size, mtime = _record_numbers(records, uid, gid, size, mtime)
    for key, value in entry.xattrs:
        records[b"SCHILY.xattr." + encode_path(key).replace(b"%", b"%25").replace(b"=", b"%3D")] = value
    numbers = b"%07o\0%07o\0%07o\0%011o\0%011o\0" % (entry.mode & 0o7777, uid, gid, size, mtime)
    if records:
        main = _block(_field(name), numbers, _TYPES[kind], _field(link), entry.major, entry.minor)
        return _extended(name, records) + main
    return _block(name, numbers, _TYPES[kind], link, entry.major, entry.minor)


def _block(name: bytes, numbers: bytes, kind: bytes, link: bytes, major: int, minor: int, prefix: bytes = b"") -> bytes:
    if major or minor:
        device = _DEVICE % (major, minor)
        total = _BASE + sum(device)
    else:
        device = _NO_DEVICE
        total = _BASE_NO_DEVICE
    total += sum(name + numbers + kind + link + prefix)
    return _PACK(name, numbers, b"%06o\0 " % total, kind, link, _MAGIC, b"", b"", device, prefix)


def _field(value: bytes) -> bytes:
    """What stands in the name or link field beside a PAX record: ASCII only, cut, and no slash where it was cut."""
    ascii_only = value.translate(None, bytes(range(128, 256)))
    cut = ascii_only[:100]
    if len(ascii_only) > 100 and cut.endswith(b"/"):
        # Go ends the string at the slash, for readers that look at this field's end to tell directories (golang/go#12594).
        cut = cut.rstrip(b"/")
    return cut


def _record_numbers(records: dict[bytes, bytes], *numbers: int) -> tuple[int, ...]:
    """Moves what no octal field holds into records; its field is 0, as Go's."""
    fields = []
    for key, value, most in zip((b"uid", b"gid", b"size", b"mtime"), numbers, (_MAX_ID, _MAX_ID, _MAX_SIZE, _MAX_SIZE), strict=True):
        if 0 <= value <= most:
            fields.append(value)
        else:
            records[key] = b"%d" % value
            fields.append(0)
    return tuple(fields)


def _extended(name: bytes, records: dict[bytes, bytes]) -> bytes:
    body = b"".join(_record(key, records[key]) for key in sorted(records))
    parent, _, base = name.rpartition(b"/")
    path = b"/".join(part for part in (parent, b"PaxHeaders.0", base) if part)
    short = path.translate(None, bytes(range(128, 256)))[:100].rstrip(b"/")
    numbers = b"%07o\0%07o\0%07o\0%011o\0%011o\0" % (0, 0, 0, len(body), 0)
    total = _BASE + sum(short) + sum(numbers) + ord("x")
    header = _PACK(short, numbers, b"%06o\0 " % total, b"x", b"", _MAGIC, b"", b"", b"", b"")
    return header + body + bytes(-len(body) % BLOCK)


def _record(key: bytes, value: bytes) -> bytes:
    rest = b" " + key + b"=" + value + b"\n"
    size = len(rest) + len(str(len(rest)))
    if len(str(size)) != len(str(len(rest))):
        size += 1
    return b"%d" % size + rest


def _whiteout_header(path: bytes, kind: Kind) -> bytes:
    if kind == "opaque":
        name = path + b"/" + OPAQUE_NAME if path else OPAQUE_NAME
    else:
        parent, _, base = path.rpartition(b"/")
        name = (parent + b"/" if parent else b"") + WHITEOUT_PREFIX + base
    numbers = b"%07o\0%07o\0%07o\0%011o\0%011o\0" % (0, 0, 0, 0, 0)
    if len(name) <= 100 and name.isascii():
        return _block(name, numbers, b"0", b"", 0, 0)
    split = _split_ustar(name)
    if split is not None:
        return _block(split[1], numbers, b"0", b"", 0, 0, split[0])
    return _extended(name, {b"path": name}) + _block(_field(name), numbers, b"0", b"", 0, 0)


def _split_ustar(name: bytes) -> tuple[bytes, bytes] | None:
    """A long name's prefix and name fields (Go's splitUSTARPath); None when they do not hold it."""
    if not name.isascii():
        return None
    at = name.rfind(b"/", 0, min(len(name), 156))
    if at <= 0 or not 0 < len(name) - at - 1 <= 100 or at > 155:
        return None
    return name[:at], name[at + 1 :]


def _refuse_whiteout_names(name: bytes) -> None:
    for part in name.split(b"/"):
        if part.startswith(WHITEOUT_PREFIX):
            raise LayerwrightError(
                "whiteout-name",
                f"the file {name.decode('utf-8', 'backslashreplace')!r} cannot be stored in a layer",
                help='layers use names that begin with ".wh." to say that a file was deleted; rename it',
            )


def _changed(entry: Entry) -> LayerwrightError:
    return LayerwrightError(
        "file-changed",
        f"{entry.path!r} became shorter than {entry.size} bytes while it was read",
        help="build again when nothing writes to it",
    )
