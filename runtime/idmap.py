"""Which ids of the host stand for which ids inside a user namespace: subordinate ranges and the map made of them.

The files are those of subuid(5) and subgid(5): `name-or-id:first:count`.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

FULL_COUNT = 4294967295


class Range(msgspec.Struct, frozen=True):
    """One line of a map: `count` ids from `inside` on are those from `outside` on."""

    inside: int
    outside: int
    count: int


def subordinate(text: str, name: str, number: int) -> tuple[tuple[int, int], ...]:
    """The (first, count) ranges of a user, by name or number, in the order of the file; malformed lines are passed over."""
    found = []
    for line in text.splitlines():
        fields = line.strip().split(":")
        if len(fields) == 3 and fields[0] in (name, str(number)) and fields[1].isdecimal() and fields[2].isdecimal():
            first, count = int(fields[1]), int(fields[2])
            if count and first + count <= FULL_COUNT:
                found.append((first, count))
    return tuple(found)


def mapping(own: int, ranges: Iterable[tuple[int, int]]) -> tuple[Range, ...]:
    """The user becomes 0, the subordinate ranges follow from 1 on without gaps, as newuidmap(1) takes it."""
    found, inside = [Range(0, own, 1)], 1
    for first, count in ranges:
        found.append(Range(inside, first, count))
        inside += count
    return tuple(found)


def arguments(ranges: Iterable[Range]) -> list[str]:
    """As words for newuidmap(1) and newgidmap(1)."""
    return [str(number) for one in ranges for number in (one.inside, one.outside, one.count)]


def parse(text: str) -> tuple[Range, ...]:
    """A /proc/PID/uid_map."""
    return tuple(Range(*(int(field) for field in line.split())) for line in text.splitlines() if line.strip())


def is_initial(ranges: tuple[Range, ...]) -> bool:
    """Whether everything stands for itself, as in the first user namespace."""
    return ranges == (Range(0, 0, FULL_COUNT),)


def highest(ranges: Iterable[Range]) -> int:
    """How many ids there are inside, from 0 on."""
    return max((one.inside + one.count for one in ranges), default=0)
