"""Planning of garbage collection: pure, so every rule is a small table."""

from __future__ import annotations

from builder.store.collect import DAY_NS, GB, HOUR_NS, Rule, default_rules, plan
from builder.store.items import Item

NOW = 1000 * DAY_NS
EVERYTHING = Rule()


def item(name: str, size: int = 10, age_ns: int = 100 * DAY_NS, *parents: str, kind: str = "layer", kept: str = "") -> Item:
    return Item(kind, name, size, NOW - age_ns, parents, kept)  # type: ignore[arg-type]


def names(items: list[Item], *rules: Rule, horizon_ns: int = NOW, free: int = 0) -> list[str]:
    return [removed.name for removed in plan(items, rules, now_ns=NOW, horizon_ns=horizon_ns, free=free).removals]


def test_a_rule_without_sizes_takes_everything_least_recently_used_first() -> None:
    assert names([item("b", age_ns=2), item("c", age_ns=3), item("a", age_ns=1)], EVERYTHING) == ["c", "b", "a"]


def test_what_is_needed_stays() -> None:
    assert names([item("a", kept="an image name needs it"), item("b")], EVERYTHING) == ["b"]


def test_what_was_used_since_a_living_process_began_stays() -> None:
    items = [item("old", age_ns=50), item("at", age_ns=20), item("new", age_ns=10)]
    assert names(items, EVERYTHING, horizon_ns=NOW - 20) == ["old"]


def test_what_was_used_a_short_time_ago_stays() -> None:
    assert names([item("old", age_ns=HOUR_NS), item("new", age_ns=HOUR_NS - 1)], Rule(unused_ns=HOUR_NS)) == ["old"]


def test_a_stack_goes_from_the_top_down() -> None:
    items = [item("a", 10, 3), item("b", 10, 3, "a"), item("c", 10, 3, "b"), item("d", 10, 3, "a")]
    order = names(items, EVERYTHING)
    assert sorted(order) == ["a", "b", "c", "d"]
    assert order.index("c") < order.index("b") < order.index("a")
    assert order.index("d") < order.index("a")


def test_a_layer_counts_as_used_when_something_on_it_was() -> None:
    items = [item("below", 10, 100), item("above", 10, 1, "below"), item("other", 10, 50)]
    assert names(items, Rule(max_used=20)) == ["other"]
    assert names(items, Rule(unused_ns=40)) == ["other"]


def test_nothing_goes_from_under_what_stays() -> None:
    items = [item("below"), item("above", 10, 5, "below", kept="needed")]
    assert names(items, EVERYTHING) == []


def test_a_layer_that_loses_only_its_directory_still_stands_on_others() -> None:
    items = [item("below"), item("above", 10, 100, "below", kind="directory")]
    assert names(items, EVERYTHING) == ["above"]


def test_size_rules_stop_when_it_fits() -> None:
    items = [item(str(number), 10, 100 - number) for number in range(10)]
    assert names(items, Rule(max_used=70)) == ["0", "1", "2"]
    assert names(items, Rule(max_used=100)) == []
    assert names(items, Rule(reserved=95)) == ["0"]


def test_free_space_is_made_but_the_reserve_kept() -> None:
    items = [item(str(number), 10, 100 - number) for number in range(10)]
    assert names(items, Rule(min_free=50), free=20) == ["0", "1", "2"]
    assert names(items, Rule(min_free=50), free=50) == []
    assert names(items, Rule(min_free=5000, reserved=80), free=0) == ["0", "1"]
    assert names(items, Rule(min_free=50, max_used=60), free=20) == ["0", "1", "2", "3"]


def test_rules_follow_each_other() -> None:
    items = [item("mount", 10, 10, kind="cache-mount"), item("layer", 10, 20), item("last", 10, 5)]
    assert names(items, Rule(("cache-mount",)), Rule(max_used=10)) == ["mount", "layer"]
    # What the first rule freed counts for the second.
    assert names(items, Rule(("cache-mount",)), Rule(min_free=10), free=0) == ["mount"]


def test_a_rule_looks_only_at_its_kinds() -> None:
    items = [item("mount", 10, kind="cache-mount"), item("blob", 10, kind="blob"), item("layer", 500)]
    assert names(items, Rule(("cache-mount", "blob"))) == ["blob", "mount"]
    assert names(items, Rule(("cache-mount",), reserved=10)) == []


def test_the_defaults_are_those_of_the_reference() -> None:
    mounts, old, cap = default_rules(50 * GB)
    assert (mounts.kinds, mounts.unused_ns, mounts.reserved) == (("cache-mount",), 48 * HOUR_NS, 512 * 10**6)
    assert (old.unused_ns, old.reserved) == (60 * DAY_NS, 5 * GB)
    assert (cap.reserved, cap.max_used, cap.min_free) == (5 * GB, 40 * GB, 10 * GB)
    big = default_rules(1000 * GB)[2]
    assert (big.reserved, big.max_used, big.min_free) == (10 * GB, 100 * GB, 200 * GB)


def test_the_plan_is_the_same_whatever_the_order_of_the_items() -> None:
    items = [item(str(number), 10, 7) for number in range(20)]
    assert names(items, Rule(max_used=50)) == names(items[::-1], Rule(max_used=50))


def test_long_stacks_are_planned_in_no_time() -> None:
    items = [item("l0")] + [item(f"l{number}", 10, 10, f"l{number - 1}") for number in range(1, 20_000)]
    assert len(names(items, EVERYTHING)) == 20_000


def test_a_store_with_a_size_of_its_own_is_held_to_that() -> None:
    own, disk = default_rules(1000 * GB, 20 * GB), default_rules(1000 * GB)
    assert [rule.max_used for rule in own] == [0, 0, 20 * GB]
    assert [rule.max_used for rule in disk] == [0, 0, 100 * GB]
    assert [rule.reserved for rule in default_rules(1000 * GB, GB)][1:] == [GB // 2, GB // 2]
