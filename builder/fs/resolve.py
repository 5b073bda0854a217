"""Paths through symlinks, as a process chrooted into the tree would see them."""

from __future__ import annotations

from builder.errors import LayerwrightError
from builder.fs.limits import DEFAULT
from builder.fs.tree import Tree


def clean(path: str) -> str:
    """The path relative to the root, with `.` and doubled slashes dropped and `..` clamped; no link is looked at."""
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            del parts[-1:]
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts)


def resolve(tree: Tree, path: str, *, follow_last: bool = True) -> str:
    """Where `path` leads, relative to the root: links followed, `..` clamped at the root, a missing tail kept.

    `follow_last` False leaves a link in the last component alone. Raises LayerwrightError on a loop.
    """
    todo = [part for part in reversed(path.split("/")) if part not in ("", ".")]
    done: list[str] = []
    links = 0
    while todo:
        part = todo.pop()
        if part == "..":
            del done[-1:]
            continue
        done.append(part)
        if not todo and not follow_last:
            break
        entry = tree.lstat("/".join(done))
        if entry is None or entry.kind != "symlink":
            continue
        links += 1
        if links > DEFAULT.links:
            raise LayerwrightError(
                "symlink-loop",
                f"{path!r} leads through more than {DEFAULT.links} symbolic links",
                help="a link points, directly or through others, at itself",
            )
        done.pop()
        if entry.link.startswith("/"):
            done.clear()
        todo.extend(step for step in reversed(entry.link.split("/")) if step not in ("", "."))
    return "/".join(done)
