"""What differs between two images, as data: one frozen struct a difference, by section."""

from __future__ import annotations

from typing import Literal

import msgspec

Change = Literal["added", "removed", "changed"]
Section = Literal["manifest", "config", "history", "layers", "files"]
Aspect = Literal["kind", "content", "link", "device", "mode", "owner", "xattrs", "hard-link", "mtime"]

SECTIONS: tuple[Section, ...] = ("manifest", "config", "history", "layers", "files")


class FieldDifference(msgspec.Struct, frozen=True):
    """A field of the manifest or the config, by its path (`Env.PATH`); a value is text, or JSON of what is no text."""

    section: Literal["manifest", "config"]
    change: Change
    name: str
    was: str | None
    now: str | None


class HistoryDifference(msgspec.Struct, frozen=True):
    """A line of the history. Numbers count from 1; None where the line is not there."""

    change: Change
    was_number: int | None
    now_number: int | None
    was: str
    now: str
    aspects: tuple[str, ...] = ()


class LayerState(msgspec.Struct, frozen=True):
    """One layer of an image: its place from 1 on, and what made it."""

    number: int
    digest: str
    diff_id: str
    size: int
    media_type: str
    created_by: str


class LayerDifference(msgspec.Struct, frozen=True):
    """`changed`: the same files packed another way."""

    change: Change
    was: LayerState | None
    now: LayerState | None


class FileState(msgspec.Struct, frozen=True):
    """What a path is in an image's root file system. `sha256` of a file's content; `group` names the hard links it is one of
    by the first of them; `layer` counts from 1, 0 for a directory that no layer names."""

    kind: str
    mode: int
    uid: int
    gid: int
    size: int
    sha256: str
    link: str
    major: int
    minor: int
    xattrs: tuple[tuple[str, bytes], ...]
    group: str
    mtime_ns: int | None
    layer: int


class FileDifference(msgspec.Struct, frozen=True):
    """One path, from the root without a leading slash ("" is the root itself)."""

    change: Change
    path: str
    aspects: tuple[Aspect, ...]
    was: FileState | None
    now: FileState | None


Difference = FieldDifference | HistoryDifference | LayerDifference | FileDifference


def section_of(difference: Difference) -> Section:
    """Where it belongs."""
    match difference:
        case FieldDifference():
            return difference.section
        case HistoryDifference():
            return "history"
        case LayerDifference():
            return "layers"
        case FileDifference():
            return "files"
