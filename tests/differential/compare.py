"""Two builds of one case, compared field by field; what differs is a list, never the first find only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from tests.differential.builders import Built, Failed, Outcome
from tests.differential.flatten import Node, Tree, flatten, link_groups

Kind = Literal["outcome", "config", "history", "tree"]


@dataclass(frozen=True)
class Difference:
    """One: `where` is a config key, a line of history, or `PATH FIELD`; `step` the line of history after which a tree differs."""

    kind: Kind
    where: str
    ours: Any
    theirs: Any
    step: str = ""

    def __str__(self) -> str:
        after = f" after {self.step!r}" if self.step else ""
        return f"{self.kind} {self.where}{after}: ours {self.ours!r}, reference {self.theirs!r}"


def compare(ours: Outcome, theirs: Outcome, *, same_dockerfile: bool) -> list[Difference]:
    """Every difference; histories only where both builders read the same Dockerfile."""
    if isinstance(ours, Failed) or isinstance(theirs, Failed):
        return _compare_outcomes(ours, theirs)
    found = _compare_configs(ours.config, theirs.config)
    if same_dockerfile:
        found += _compare_histories(ours.config, theirs.config)
        found += _compare_steps(ours, theirs)
    else:
        last = [flatten(built.layers)[-1] if built.layers else {} for built in (ours, theirs)]
        found += _compare_trees(last[0], last[1], "", ours.started, theirs.started)
    return found


def _compare_outcomes(ours: Outcome, theirs: Outcome) -> list[Difference]:
    if isinstance(ours, Failed) and isinstance(theirs, Failed):
        return []
    left, right = (f"fails: {built.code} {built.text}" if isinstance(built, Failed) else "builds" for built in (ours, theirs))
    return [Difference("outcome", "", left, right)]


IGNORED = {"created", "rootfs", "history", "config", "docker_version", "container", "container_config", "id", "parent", "Size", "checksum"}


def _compare_configs(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[Difference]:
    left = {key: value for key, value in ours.items() if key not in IGNORED}
    right = {key: value for key, value in theirs.items() if key not in IGNORED}
    left |= {f"config.{key}": value for key, value in (ours.get("config") or {}).items()}
    right |= {f"config.{key}": value for key, value in (theirs.get("config") or {}).items()}
    empty: tuple[Any, ...] = (None, "", [], {}, False)
    return [
        Difference("config", key, left.get(key), right.get(key))
        for key in sorted(left.keys() | right.keys())
        if left.get(key) != right.get(key) and not (left.get(key) in empty and right.get(key) in empty)
    ]


def _lines(config: Mapping[str, Any]) -> list[tuple[str, bool]]:
    return [(line.get("created_by", ""), bool(line.get("empty_layer"))) for line in config.get("history") or []]


def _compare_histories(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[Difference]:
    left, right = _lines(ours), _lines(theirs)
    if len(left) != len(right):
        return [Difference("history", "lines", left, right)]
    found = []
    for number, (mine, other) in enumerate(zip(left, right, strict=True)):
        if mine[0] != other[0]:
            found.append(Difference("history", f"line {number}", mine[0], other[0]))
        if mine[1] != other[1]:
            found.append(Difference("history", f"empty_layer of {mine[0]}", mine[1], other[1]))
    return found


def _states(built: Built) -> list[tuple[str, Tree]]:
    """The tree after each line of history."""
    trees = flatten(built.layers)
    states: list[tuple[str, Tree]] = []
    count = 0
    for name, empty in _lines(built.config):
        count += not empty
        states.append((name, trees[count - 1] if count else {}))
    return states


def _compare_steps(ours: Built, theirs: Built) -> list[Difference]:
    found: list[Difference] = []
    seen: set[str] = set()
    left, right = _states(ours), _states(theirs)
    if len(left) != len(right):
        left, right = left[-1:], right[-1:]
    for (name, mine), (_, other) in zip(left, right, strict=True):
        for difference in _compare_trees(mine, other, name, ours.started, theirs.started):
            if difference.where not in seen:
                seen.add(difference.where)
                found.append(difference)
    return found


def _compare_trees(ours: Tree, theirs: Tree, step: str, our_start: int, their_start: int) -> list[Difference]:
    found = []
    for path in sorted(ours.keys() | theirs.keys()):
        left, right = ours.get(path), theirs.get(path)
        if left is None or right is None:
            found.append(Difference("tree", f"{path} exists", _brief(left), _brief(right), step))
            continue
        for name, mine, other in _fields(left, right, our_start, their_start):
            if mine != other:
                found.append(Difference("tree", f"{path} {name}", mine, other, step))
    left_groups, right_groups = link_groups(ours), link_groups(theirs)
    for path in sorted(left_groups.keys() | right_groups.keys()):
        if left_groups.get(path) != right_groups.get(path):
            found.append(Difference("tree", f"{path} links", left_groups.get(path), right_groups.get(path), step))
    return found


def _brief(node: Node | None) -> str | None:
    return None if node is None else f"{node.kind} {node.mode:o} {node.uid}:{node.gid}"


def _fields(left: Node, right: Node, our_start: int, their_start: int) -> list[tuple[str, Any, Any]]:
    fields = [
        (name, getattr(left, name), getattr(right, name)) for name in ("kind", "uid", "gid", "size", "link", "device", "digest", "xattrs")
    ]
    fields.append(("mode", f"{left.mode:o}", f"{right.mode:o}"))
    both_new = left.mtime >= our_start and right.mtime >= their_start
    if not both_new:
        fields.append(("mtime", _time(left.mtime, our_start), _time(right.mtime, their_start)))
    return fields


def _time(mtime: float, start: int) -> str:
    return "of the build" if mtime >= start else str(int(mtime))
