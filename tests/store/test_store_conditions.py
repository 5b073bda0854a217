"""Conditions of `prune --filter` and `du --filter`, on items made by hand."""

from __future__ import annotations

import pytest

from builder.errors import UsageError
from builder.store.collect import Rule, plan
from builder.store.conditions import parse_condition
from builder.store.items import Group, Item, Kind

NEEDED = "an image name needs it"


def item(kind: Kind, name: str, group: Group, note: str = "", kept: str = "", parents: tuple[str, ...] = (), used_ns: int = 1) -> Item:
    return Item(kind, name, 10, used_ns, parents, kept, note, group)


ITEMS = (
    item("layer", "base-1", "base", "debian:bookworm"),
    item("layer", "built-1", "step", "RUN apt-get install", parents=("base-1",)),
    item("layer", "built-2", "step", "COPY /src", parents=("built-1",), used_ns=50),
    item("cache-mount", "9f2", "cache-mount", "apt"),
    item("blob", "sha256:aa", "image", "app:1", NEEDED),
    item("blob", "sha256:bb", "blob"),
    item("history", "b1", "history", "logs of build b1"),
)


def looked_at(*written: str, everything: bool = True) -> list[str]:
    """What a rule with these conditions would take; nothing is kept back but what a running process uses and what is needed."""
    conditions = tuple(parse_condition("--filter", text) for text in written)
    free = [Item(found.kind, found.name, 10, found.used_ns, (), found.kept, found.note, found.group) for found in ITEMS]
    # Parents stand apart, for what stands on a thing keeps it, whatever is looked at.
    under = [Item("layer", "above", 0, 1, ("base-1",), "stays", "", "merged")]
    taken = plan([*free, *under], (Rule(conditions=conditions, everything=everything),), now_ns=100, horizon_ns=40, free=0)
    return sorted(removed.name for removed in taken.removals)


@pytest.mark.parametrize(
    ("written", "names"),
    [
        (("type=step",), ["built-1"]),
        (("type=cache-mount",), ["9f2"]),
        (("type=exec.cachemount",), ["9f2"]),
        (("type=regular",), ["built-1", "sha256:bb"]),
        (("type=internal",), ["b1"]),
        (("type=source.local",), []),
        (("type!=regular",), ["9f2", "b1"]),
        (("type~=cache",), ["9f2"]),
        (("id=built",), ["built-1"]),
        (("id=^1",), []),
        (("id!=built", "type=regular"), ["sha256:bb"]),
        (("id~=^sha256:[a-c]+$",), ["sha256:bb"]),
        (("description=apt",), ["9f2"]),
        (("description~=apt",), ["9f2", "built-1"]),
        (("description~=apt", "type=step"), ["built-1"]),
        (("mutable",), ["9f2"]),
        (("mutable=false", "type!=history"), ["built-1", "sha256:bb"]),
        (("immutable", "type=step"), ["built-1"]),
        (("inuse",), []),
        (("inuse=false", "type=step"), ["built-1"]),
        (("shared!=true", "type=blob"), ["sha256:bb"]),
        (("private", "type=blob"), ["sha256:bb"]),
        (("shared",), []),
        (("parents=base-1",), []),
    ],
)
def test_what_is_looked_at(written: tuple[str, ...], names: list[str]) -> None:
    assert looked_at(*written) == names


def test_parents_by_name() -> None:
    child = Item("layer", "built-9", 10, 1, ("built-8",), "", "RUN make", "step")
    parent = Item("layer", "built-8", 10, 1, (), "", "RUN configure", "step")
    for written, names in (("parents=built-8", ["built-9"]), ("parents~=^built", ["built-9"]), ("parents!=built-8", [])):
        rule = Rule(conditions=(parse_condition("--filter", written),))
        # built-8 does not go under parents!=built-8: built-9 stands on it.
        assert [item.name for item in plan([child, parent], (rule,), now_ns=100, horizon_ns=40, free=0).removals] == names


def test_records_of_builds_go_only_when_all_is_said() -> None:
    assert "b1" not in looked_at(everything=False)
    assert "b1" in looked_at(everything=True)


@pytest.mark.parametrize(
    ("written", "message", "help_"),
    [
        ("typ=step", "--filter 'typ=step': 'typ' is nothing to filter by", "did you mean type? there are until, id"),
        ("type", "--filter 'type' says no type", "write --filter type=VALUE"),
        ("type=layer", "--filter 'type=layer': there is no type 'layer'", "there are image, base, step"),
        ("inuse=maybe", "--filter 'inuse=maybe': 'maybe' is neither true nor false", None),
        ("id~=(", "--filter 'id~=(' is no regular expression: missing ), unterminated subpattern at position 0", None),
        ("", "--filter '': '' is nothing to filter by", "there are until, id"),
    ],
)
def test_what_is_no_condition(written: str, message: str, help_: str | None) -> None:
    with pytest.raises(UsageError) as caught:
        parse_condition("--filter", written)
    assert caught.value.code == "bad-filter"
    assert caught.value.message == message
    assert (caught.value.help or "").startswith(help_ or "")
