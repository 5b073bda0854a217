"""What a COPY takes below a selected directory: --exclude, and the include pattern of --parents.

Both kinds of pattern are relative to the selected directory. Directories that no pattern takes, but something
below them, come out just before the first such thing, marked as parents (fsutil's delayed parents).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

from builder.context.globs import path_regex
from builder.context.ignore import ROOT_STATE, Patterns
from builder.context.scan import Seen, scan
from builder.fs.tree import Tree


class Found(msgspec.Struct, frozen=True, gc=False):
    """Something to copy: `relative` to the selected directory, `seen.entry.path` in the source tree.

    `parent` marks a directory that is only there for what lies below it.
    """

    relative: str
    seen: Seen
    parent: bool = False


class Below:
    """Walks one selected directory, depth first, names in order."""

    def __init__(self, tree: Tree, root: str, excludes: Patterns, include: str | None) -> None:
        self._tree = tree
        self._root = root
        self._prefix = root + "/" if root else ""
        self._excludes = excludes
        self._include = Patterns([include]) if include is not None else None
        self._parts = tuple(_part(part) for part in include.split("/")) if include is not None else ()
        self._waiting: list[Found] = []

    def __iter__(self) -> Iterator[Found]:
        self._waiting = []
        return self._walk("", ROOT_STATE, ROOT_STATE)

    def _walk(self, relative: str, excluded: int, included: int) -> Iterator[Found]:
        below = relative + "/" if relative else ""
        for seen in scan(self._tree, self._prefix + relative if relative else self._root):
            child = below + seen.name
            wanted, state_included = self._include.step(child, included) if self._include is not None else (True, ROOT_STATE)
            left_out, state_excluded = self._excludes.step(child, excluded) if self._excludes else (False, ROOT_STATE)
            is_dir = seen.entry.kind == "dir"
            if wanted and not left_out:
                if self._waiting:
                    yield from self._release()
                yield Found(child, seen)
                if is_dir:
                    yield from self._walk(child, state_excluded, state_included)
            elif is_dir and (wanted or self._reaches(child)) and (not left_out or self._excludes.reaches_below(child)):
                yield from self._pass(Found(child, seen, parent=True), state_excluded, state_included)

    def _pass(self, directory: Found, excluded: int, included: int) -> Iterator[Found]:
        """Through a directory that is not taken itself: it comes out when something below it does."""
        self._waiting.append(directory)
        yield from self._walk(directory.relative, excluded, included)
        if self._waiting and self._waiting[-1] is directory:
            self._waiting.pop()

    def _release(self) -> list[Found]:
        waiting, self._waiting = self._waiting, []
        return waiting

    def _reaches(self, path: str) -> bool:
        """Whether the include pattern may match below a path that it does not match itself."""
        parts = path.split("/")
        for part, pattern in zip(parts, self._parts, strict=False):
            if pattern is None:
                return True
            if pattern.fullmatch(part) is None:
                return False
        return len(parts) < len(self._parts)


def _part(pattern: str) -> re.Pattern[str] | None:
    """One component of the include pattern; None for one that may match more than a component (`**`, a class)."""
    return None if "**" in pattern or "[" in pattern else re.compile(path_regex(pattern), re.DOTALL)
