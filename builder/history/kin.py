"""Earlier builds that are most like one which was never built in its place: another checkout of the same project."""

from __future__ import annotations

from collections.abc import Iterable

from builder.history.record import BuildRecord, unpack_steps
from builder.oci.reference import parse_reference

LOOKED_AT = 30
"""The newest builds whose steps are read."""

_ALIKE = 0.5
"""The part of the instructions that two builds without a name in common must share."""


def kin(record: BuildRecord, before: Iterable[BuildRecord]) -> list[BuildRecord]:
    """Of the builds before it, newest first, those that are like it; the most alike first, of equals the newest.

    Alike are builds of a Dockerfile of the same name, whose images have a name in common (but for the tag), or which
    have half of the instructions of the smaller one in common.
    """
    names, repositories = _instructions(record), _repositories(record)
    found: list[tuple[bool, int, BuildRecord]] = []
    for other in [other for other in before if _file_name(other) == _file_name(record)][:LOOKED_AT]:
        others = _instructions(other)
        common = len(names & others)
        named = not repositories.isdisjoint(_repositories(other))
        if named or (common and common >= _ALIKE * min(len(names), len(others))):
            found.append((named, common, other))
    found.sort(key=lambda one: (not one[0], -one[1]))
    return [other for _, _, other in found]


def _instructions(record: BuildRecord) -> frozenset[str]:
    return frozenset(step.name for step in unpack_steps(record) if step.kind == "step")


def _repositories(record: BuildRecord) -> frozenset[str]:
    return frozenset(parse_reference(tag).name for tag in record.request.tags)


def _file_name(record: BuildRecord) -> str:
    return record.request.dockerfile.rpartition("/")[2]
