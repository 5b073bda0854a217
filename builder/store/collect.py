"""What garbage collection would take: pure, from an inventory, rules and a time. Applying it is `sweep`'s.

Rules are those of BuildKit's policies (cmd/buildkitd/config/gcpolicy.go, client/prune.go): each has the kinds
it looks at, how long unused they must be, and down to how many bytes it goes; they apply one after another,
each to what the ones before left. The least recently used goes first. A layer counts as used when something
that stands on it was used, so a stack goes from its top down. Never taken: what was touched since the oldest
living lease began, and what an image name needs (of such a layer the directory goes, for its blob stays).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from builder.store.conditions import Condition, Seen, meets
from builder.store.items import Item, Kind

HOUR_NS = 3600 * 10**9
DAY_NS = 24 * HOUR_NS
GB = 10**9


class Rule(msgspec.Struct, frozen=True):
    """One policy. With all three sizes 0 it takes everything it looks at that was not used for `unused_ns`.

    `reserved`: always left; `max_used`: what the store may take; `min_free`: what the disk should have free.
    """

    kinds: tuple[Kind, ...] = ()
    unused_ns: int = 0
    reserved: int = 0
    max_used: int = 0
    min_free: int = 0
    conditions: tuple[Condition, ...] = ()
    """It looks only at what meets all of them."""
    everything: bool = False
    """Builds' records and logs too, which age by themselves else."""


class Plan(msgspec.Struct, frozen=True):
    """What to remove, in this order, and how many bytes that is."""

    removals: tuple[Item, ...]
    size: int


def default_rules(disk: int, size: int = 0) -> tuple[Rule, ...]:
    """What a build does by itself on a disk of so many bytes (gcpolicy.go), in a store that may take `size` (0: what suits the disk)."""
    reserved = min(disk // 10, 10 * GB)
    if size:
        reserved = min(reserved, size // 2)
    return (
        Rule(("cache-mount",), 48 * HOUR_NS, reserved=512 * 10**6),
        Rule((), 60 * DAY_NS, reserved=reserved),
        Rule((), 0, reserved=reserved, max_used=size or min(disk * 8 // 10, 100 * GB), min_free=disk // 5),
    )


def plan(items: Sequence[Item], rules: Iterable[Rule], *, now_ns: int, horizon_ns: int, free: int) -> Plan:
    """What the rules take of these items; what was used at `horizon_ns` or later stays; `free` are the bytes the disk has free now."""
    children = _children(items)
    used, height = _from_the_top(items, children)
    order = sorted(items, key=lambda item: (used[item.name], height[item.name], item.kind, item.name))
    gone: dict[str, Item] = {}
    for rule in rules:
        seen = {item.name: Seen(used[item.name] >= horizon_ns, item.name in children) for item in order} if rule.conditions else {}
        looked_at = [item for item in order if item.name not in gone and _looks_at(rule, item, seen)]
        total = sum(item.size for item in looked_at)
        limit = _limit(rule, total, free + sum(item.size for item in gone.values()))
        for item in looked_at:
            if limit is not None and total <= limit:
                break
            if item.kept or used[item.name] >= horizon_ns or now_ns - used[item.name] < rule.unused_ns:
                continue
            if item.kind == "layer" and not all(_is_gone(child, gone) for child in children.get(item.name, ())):
                continue
            gone[item.name] = item
            total -= item.size
    return Plan(tuple(gone.values()), sum(item.size for item in gone.values()))


def _looks_at(rule: Rule, item: Item, seen: Mapping[str, Seen]) -> bool:
    if item.kind == "history" and not rule.everything:
        return False
    return (not rule.kinds or item.kind in rule.kinds) and all(meets(item, condition, seen[item.name]) for condition in rule.conditions)


def _limit(rule: Rule, total: int, free: int) -> int | None:
    """Bytes a rule goes down to; None when it takes all (client.PruneInfo, calculateKeepBytes)."""
    if not rule.reserved and not rule.max_used and not rule.min_free:
        return None
    limit = rule.max_used
    excess = rule.min_free - free
    if excess > 0:
        limit = min(limit, total - excess) if limit else total - excess
    elif rule.min_free and not limit:
        limit = total
    return max(limit, rule.reserved)


def _children(items: Sequence[Item]) -> dict[str, list[str]]:
    children: dict[str, list[str]] = {}
    for item in items:
        for parent in item.parents:
            children.setdefault(parent, []).append(item.name)
    return children


def _is_gone(name: str, gone: Mapping[str, Item]) -> bool:
    # A layer that lost only its directory still stands on its parents.
    return name in gone and gone[name].kind != "directory"


def _from_the_top(items: Sequence[Item], children: Mapping[str, Sequence[str]]) -> tuple[dict[str, int], dict[str, int]]:
    """When each was last used, itself or by what stands on it; and how high that stands on it."""
    used = {item.name: item.used_ns for item in items}
    height = dict.fromkeys(used, 0)
    parents = {item.name: [parent for parent in item.parents if parent in used] for item in items}
    waiting = {name: len(children.get(name, ())) for name in used}
    ready = [name for name, count in waiting.items() if not count]
    while ready:
        name = ready.pop()
        for parent in parents[name]:
            used[parent] = max(used[parent], used[name])
            height[parent] = max(height[parent], height[name] + 1)
            waiting[parent] -= 1
            if not waiting[parent]:
                ready.append(parent)
    return used, height
