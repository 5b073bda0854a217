"""What changed between two manifests: the paths, and in which respects."""

from __future__ import annotations

from collections.abc import Sequence

from builder.fs.entries import decode_path
from builder.history.cause import Aspect, FileChange
from builder.ops.manifest import ManifestRow


def file_changes(was: Sequence[ManifestRow], now: Sequence[ManifestRow]) -> tuple[FileChange, ...]:
    """Every path that differs, in order of paths. A path that a selection names twice counts once."""
    before = {row.path: row for row in was}
    after = {row.path: row for row in now}
    found: list[FileChange] = []
    for path in sorted(before.keys() | after.keys()):
        old, new, name = before.get(path), after.get(path), decode_path(path) or "."
        if old is None:
            found.append(FileChange(name, ("added",)))
        elif new is None:
            found.append(FileChange(name, ("removed",)))
        elif old != new:
            change = _change(name, old, new)
            if change is not None:
                found.append(change)
    return tuple(found)


def _change(name: str, old: ManifestRow, new: ManifestRow) -> FileChange | None:
    if old.kind != new.kind:
        return FileChange(name, ("kind",), f"{old.kind} -> {new.kind}")
    aspects: list[Aspect] = []
    details: list[str] = []
    if old.content != new.content or old.size != new.size:
        aspects.append("link" if old.kind == "symlink" else "content")
        if old.kind == "symlink":
            details.append(f"{decode_path(old.content)} -> {decode_path(new.content)}")
        elif old.size != new.size:
            details.append(f"{old.size:,} -> {new.size:,} bytes")
    if old.mode != new.mode:
        aspects.append("mode")
        details.append(f"{old.mode:04o} -> {new.mode:04o}")
    if (old.uid, old.gid) != (new.uid, new.gid):
        aspects.append("owner")
        details.append(f"{old.uid}:{old.gid} -> {new.uid}:{new.gid}")
    if old.xattrs != new.xattrs:
        aspects.append("xattrs")
    if bool(old.group) != bool(new.group):
        aspects.append("link")
        details.append("hard link" if new.group else "no hard link any more")
    return FileChange(name, tuple(aspects), ", ".join(details)) if aspects else None
