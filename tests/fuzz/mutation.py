"""Damages inputs: bits, bytes, numbers, pieces, and the fields of a tar header with its checksum put right."""

from __future__ import annotations

import random
from collections.abc import Sequence

NUMBERS = (b"0", b"-1", b"1", b"7777777777777", b"18446744073709551615", b"9223372036854775808", b"1e400", b"\x80" + b"\xff" * 11, b"null")
WORDS = (
    b"..",
    b"../",
    b"/",
    b"\x00",
    b".wh.",
    b".wh..wh..opq",
    b'"',
    b"{",
    b"[",
    b"}",
    b"]",
    b",",
    b"\xff\xfe",
    b"\\ud800",
    b"sha256:",
    b"%s",
    b"=",
)
BLOCK = 512


class Mutator:
    """Endless inputs from seeds; the same random numbers give the same ones."""

    def __init__(self, choose: random.Random, seeds: Sequence[bytes]) -> None:
        self._choose = choose
        self._seeds = list(seeds)

    def next(self) -> bytes:
        """One damaged input."""
        data = bytearray(self._choose.choice(self._seeds))
        for _ in range(self._choose.choice((1, 1, 2, 3, 8))):
            self._damage(data)
        if self._choose.random() < 0.7:
            mend_checksums(data)
        return bytes(data[: 64 << 10])

    def _damage(self, data: bytearray) -> None:
        choose = self._choose
        at = choose.randrange(len(data) + 1)
        if not data or at == len(data):
            data += choose.choice(WORDS)
            return
        match choose.randrange(8):
            case 0:
                data[at] ^= 1 << choose.randrange(8)
            case 1:
                data[at] = choose.randrange(256)
            case 2:
                del data[at : at + choose.choice((1, 4, 100, BLOCK))]
            case 3:
                data[at:at] = choose.choice(WORDS)
            case 4:
                number = choose.choice(NUMBERS)
                data[at : at + len(number)] = number
            case 5:
                size = choose.choice((4, 50, BLOCK))
                source = choose.randrange(len(data))
                data[at:at] = data[source : source + size]
            case 6:
                other = choose.choice(self._seeds)
                start = choose.randrange(len(other))
                data[at : at + BLOCK] = other[start : start + BLOCK]
            case _:
                self._header_field(data)

    def _header_field(self, data: bytearray) -> None:
        """A field of a tar header: name, mode, owner, size, time, type, link, prefix."""
        start = self._choose.randrange(max(1, len(data) // BLOCK)) * BLOCK
        offset, size = self._choose.choice(((0, 100), (100, 8), (108, 8), (124, 12), (136, 12), (156, 1), (157, 100), (329, 8), (345, 155)))
        value = self._choose.choice((*NUMBERS, *WORDS, b"0123456SgxLKVDM"[self._choose.randrange(15) :][:1]))
        data[start + offset : start + offset + size] = value[:size].ljust(size, b"\0")


def mend_checksums(data: bytearray) -> None:
    """Headers of a tar get the checksum they should have, so that the damage comes further."""
    for start in range(0, len(data) - BLOCK + 1, BLOCK):
        block = data[start : start + BLOCK]
        if block[257:262] == b"ustar":
            block[148:156] = b"        "
            data[start + 148 : start + 156] = b"%06o\0 " % (sum(block) & 0o777777)
