"""The maps of sparse files in archives: old GNU headers, and PAX 0.0, 0.1 and 1.0 (GNU tar manual, "Storing Sparse Files")."""

from __future__ import annotations

from builder.fs.limits import Limits
from builder.fs.tarsource import BLOCK, Segments, Source, TarError

__all__ = ["Segments", "old_gnu_segments", "pax_segments", "read_map_1_0"]


def old_gnu_segments(source: Source, block: bytes, limits: Limits) -> Segments:
    """The map in an old GNU header and its extension blocks."""
    segments = _pairs(block[386:482], 4)
    extended = block[482]
    while extended:
        more = source.exactly(BLOCK)
        segments += _pairs(more[:504], 21)
        extended = more[504]
        _cap(len(segments), limits)
    return segments


def _pairs(table: bytes, count: int) -> Segments:
    found: Segments = []
    for at in range(0, 24 * count, 24):
        pair = table[at : at + 24]
        if not pair[0]:
            break
        found.append((_octal(pair[:12]), _octal(pair[12:])))
    return found


def _octal(field: bytes) -> int:
    if field[0] & 0x80:
        return int.from_bytes(field, "big") & ((1 << 88) - 1)
    text = field.strip(b" \0")
    if text.strip(b"01234567"):
        raise _corrupt()
    return int(text or b"0", 8)


def pax_segments(joined: bytes | None, pairs: list[tuple[bytes, bytes]], limits: Limits) -> Segments:
    """The map of PAX 0.1 (one record) or 0.0 (pairs of records)."""
    if joined is not None:
        values = joined.split(b",")
    else:
        values = [value for _, value in pairs]
        wanted = [b"GNU.sparse.offset", b"GNU.sparse.numbytes"] * (len(pairs) // 2)
        if [key for key, _ in pairs] != wanted:
            raise _corrupt()
    _cap(len(values) // 2, limits)
    numbers = [_decimal(value) for value in values]
    if len(numbers) % 2:
        raise _corrupt()
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def read_map_1_0(source: Source, stored: int, limits: Limits) -> tuple[Segments, int]:
    """The map of PAX 1.0, which stands before the data, in whole blocks; with the bytes it took."""
    held, used = b"", 0
    lines: list[bytes] = []
    wanted = 1
    while len(lines) < wanted:
        if used + BLOCK > stored:
            raise _corrupt()
        *whole, held = (held + source.exactly(BLOCK)).split(b"\n")
        used += BLOCK
        lines += whole
        if lines and wanted == 1:
            count = _decimal(lines[0])
            _cap(count, limits)
            wanted = 1 + 2 * count
        if len(lines) < wanted and len(held) > 20:
            raise _corrupt()
    numbers = [_decimal(line) for line in lines[1:wanted]]
    return list(zip(numbers[::2], numbers[1::2], strict=True)), used


def _decimal(text: bytes) -> int:
    if not text.isdigit() or len(text) > 20:
        raise _corrupt()
    return int(text)


def _cap(count: int, limits: Limits) -> None:
    if count > limits.segments:
        raise TarError("tar-corrupt", f"an archive's sparse file has more than {limits.segments} data segments")


def _corrupt() -> TarError:
    return TarError("tar-corrupt", "an archive's sparse file has an impossible map")
