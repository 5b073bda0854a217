"""Which paths of a context .dockerignore leaves out (reference 1.7), and a Tree that shows only the others.

The last pattern that matches a path or one of its parents decides. Patterns are compiled once, into runs of
one polarity: within a run order does not matter, so a run is one set lookup and one regular expression. What
a run says of a directory holds for all below it, so a walk hands down one integer.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from builder.context.globs import clean, has_wildcard, path_regex
from builder.errors import LayerwrightError
from builder.fs.entries import Entry
from builder.fs.tree import Tree

ROOT_STATE = 0
"""What `step` takes as the parent of the paths at the top."""


class _Run:
    """Patterns of one polarity that stand together."""

    __slots__ = ("exact", "exclusion", "names", "regex")

    def __init__(self, exclusion: bool, patterns: list[str]) -> None:
        self.exclusion = exclusion
        self.exact: set[str] = set()
        self.names: set[str] = set()
        complex_patterns: list[str] = []
        for pattern in patterns:
            if not has_wildcard(pattern) and "\\" not in pattern:
                self.exact.add(pattern)
            elif pattern.startswith("**/") and not has_wildcard(pattern[3:]) and "\\" not in pattern and "/" not in pattern[3:]:
                self.names.add(pattern[3:])
            else:
                complex_patterns.append(f"(?:{path_regex(pattern)})")
        self.regex = re.compile("|".join(complex_patterns), re.DOTALL) if complex_patterns else None

    def hits(self, path: str) -> bool:
        if path in self.exact:
            return True
        if self.names and path.rpartition("/")[2] in self.names:
            return True
        return self.regex is not None and self.regex.fullmatch(path) is not None


class Patterns:
    """A list of patterns, each excluding, or (with `!`) including again; `matches` means excluded."""

    def __init__(self, patterns: Iterable[str]) -> None:
        self.lines: tuple[str, ...] = tuple(_checked(pattern) for pattern in patterns)
        self._runs: list[_Run] = []
        group: list[str] = []
        for index, line in enumerate(self.lines):
            group.append(line.removeprefix("!"))
            last = index + 1 == len(self.lines)
            if last or self.lines[index + 1].startswith("!") != line.startswith("!"):
                self._runs.append(_Run(line.startswith("!"), group))
                group = []
        self._negated = tuple(_Reach(line[1:]) for line in self.lines if line.startswith("!"))

    def __bool__(self) -> bool:
        return bool(self._runs)

    def step(self, path: str, parent: int) -> tuple[bool, int]:
        """Whether `path` is excluded, and the state its children need; `parent` is its parent's state."""
        state, matched, bit = 0, False, 1
        for run in self._runs:
            if parent & bit or run.hits(path):
                state |= bit
                matched = not run.exclusion
            bit <<= 1
        return matched, state

    def matches(self, path: str) -> bool:
        """Whether `path` is excluded, itself or through a parent."""
        relative = clean("/" + path)[1:]
        state, at = ROOT_STATE, 0
        while (at := relative.find("/", at)) != -1:
            _, state = self.step(relative[:at], state)
            at += 1
        return self.step(relative, state)[0]

    def reaches_below(self, directory: str) -> bool:
        """Whether something below an excluded directory may be included again."""
        return any(reach.below(directory) for reach in self._negated)


class _Reach:
    """Where the paths a pattern matches can lie: below its literal first components."""

    __slots__ = ("_literal", "_prefix")

    def __init__(self, pattern: str) -> None:
        parts = pattern.split("/")
        count = next((index for index, part in enumerate(parts) if has_wildcard(part) or "\\" in part), len(parts))
        self._prefix = "/".join(parts[:count])
        self._literal = count == len(parts)

    def below(self, directory: str) -> bool:
        prefix = self._prefix
        if prefix.startswith(directory + "/"):
            return True
        return not self._literal and (not prefix or directory == prefix or directory.startswith(prefix + "/"))


def _checked(pattern: str) -> str:
    bare = pattern.removeprefix("!")
    if not bare:
        raise LayerwrightError("bad-pattern", 'illegal exclusion pattern: "!"', help="write a path after the `!`")
    path_regex(bare)
    return pattern


def parse_patterns(patterns: Iterable[str]) -> Patterns:
    """Patterns given one by one (--exclude): trimmed, cleaned, empty ones dropped."""
    kept: list[str] = []
    for raw in patterns:
        text = raw.strip()
        if text:
            kept.append("!" + clean(text[1:]) if text.startswith("!") and len(text) > 1 else clean(text))
    return Patterns(kept)


def parse_ignore(text: bytes) -> Patterns:
    """The patterns of a .dockerignore file."""
    lines: list[str] = []
    for raw in text.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape").split("\n"):
        if raw.startswith("#"):
            continue
        line = raw.strip()
        if not line:
            continue
        negated = line.startswith("!")
        body = line[1:].strip() if negated else line
        if body:
            body = clean(body)
            if len(body) > 1 and body.startswith("/"):
                body = body[1:]
        lines.append("!" + body if negated else body)
    return Patterns(lines)


class IgnoredTree:
    """A tree without what the patterns exclude.

    An excluded directory is there only where something below it is included again, and is looked into only
    if a negated pattern can reach below it.
    """

    def __init__(self, tree: Tree, patterns: Patterns) -> None:
        self.unfiltered = tree
        self.patterns = patterns
        self._states: dict[str, tuple[bool, int]] = {"": (False, ROOT_STATE)}

    def lstat(self, path: str) -> Entry | None:
        """See Tree.lstat."""
        matched = self._excluded(path)
        if matched and not self.patterns.reaches_below(path):
            return None
        entry = self.unfiltered.lstat(path)
        if entry is None or not matched:
            return entry
        return entry if entry.kind == "dir" and self._any_below(path) else None

    def names(self, path: str) -> tuple[str, ...]:
        """See Tree.names."""
        state = self.state(path)
        step = self.patterns.step
        prefix = path + "/" if path else ""
        kept: list[str] = []
        for name in self.unfiltered.names(path):
            child = prefix + name
            if not step(child, state)[0] or self.lstat(child) is not None:
                kept.append(name)
        return tuple(kept)

    def open(self, path: str) -> int:
        """See Tree.open; an excluded file is not there."""
        if self._excluded(path):
            raise FileNotFoundError(2, "excluded by .dockerignore", path)
        return self.unfiltered.open(path)

    def xattrs(self, path: str) -> tuple[tuple[str, bytes], ...]:
        """See Tree.xattrs."""
        return self.unfiltered.xattrs(path)

    def identity(self, path: str) -> tuple[int, int] | None:
        """See Tree.identity."""
        return self.unfiltered.identity(path)

    def state(self, directory: str) -> int:
        """What `Patterns.step` needs for the children of a directory."""
        return self._state(directory)[1]

    def _any_below(self, path: str) -> bool:
        prefix = path + "/" if path else ""
        return any(self.lstat(prefix + name) is not None for name in self.unfiltered.names(path))

    def _excluded(self, path: str) -> bool:
        if not path:
            return False
        _, state = self._state(path.rpartition("/")[0])
        return self.patterns.step(path, state)[0]

    def _state(self, directory: str) -> tuple[bool, int]:
        """The state of a directory; kept, since all its children ask for it."""
        known = self._states.get(directory)
        if known is None:
            _, parent = self._state(directory.rpartition("/")[0])
            known = self._states[directory] = self.patterns.step(directory, parent)
        return known
