"""Paths resolved as a chroot would."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.errors import LayerwrightError
from builder.fs.entries import Entry
from builder.fs.resolve import clean, resolve
from builder.fs.tree import MemoryTree


def link(path: str, target: str) -> tuple[Entry, None]:
    return Entry(path, "symlink", link=target), None


TREE = MemoryTree(
    [
        (Entry("etc/real", "file"), b"x"),
        link("abs", "/etc"),
        link("rel", "etc"),
        link("etc/up", "../../../../etc/real"),
        link("etc/chain", "/abs/up"),
        link("loop", "loop2"),
        link("loop2", "/loop"),
        link("dangling", "no/such/../place"),
        link("root", "/"),
        link("dot", "."),
        link("trail", "etc/"),
        link("a/b/c", "../../etc/./real"),
    ]
)


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("", ""), ("/", ""), (".", ""), ("..", ""), ("../..", ""), ("/etc//real", "etc/real"), ("abs/real", "etc/real"),
        ("rel/real", "etc/real"),
        ("/etc/up", "etc/real"), ("etc/chain", "etc/real"), ("dangling", "no/place"), ("dangling/x", "no/place/x"),
        ("new/dir/f", "new/dir/f"),
        ("root/etc/up", "etc/real"), ("dot/dot/abs", "etc"), ("trail/real", "etc/real"), ("a/b/c", "etc/real"), ("a/b/../../abs/../a", "a"),
        ("etc/real/below", "etc/real/below"), ("../../../abs/../etc/up", "etc/real"),
    ],
)  # fmt: skip
def test_where_a_path_leads(path: str, wanted: str) -> None:
    assert resolve(TREE, path) == wanted


def test_the_last_link_can_be_left_alone() -> None:
    assert resolve(TREE, "abs/chain", follow_last=False) == "etc/chain"
    assert resolve(TREE, "abs", follow_last=False) == "abs"
    assert resolve(TREE, "abs/", follow_last=False) == "abs"


@pytest.mark.parametrize("path", ["loop", "loop/x", "loop2/../x"])
def test_a_loop_is_an_error(path: str) -> None:
    with pytest.raises(LayerwrightError, match="more than 255 symbolic links") as caught:
        resolve(TREE, path)
    assert caught.value.code == "symlink-loop"


@given(st.lists(st.sampled_from(["..", ".", "", "abs", "etc", "root", "up", "new", "dangling", "a"]), max_size=12).map("/".join))
def test_no_path_leaves_the_root(path: str) -> None:
    parts = resolve(TREE, path).split("/")
    assert ".." not in parts
    assert "." not in parts
    assert "" not in parts or parts == [""]


@pytest.mark.parametrize(("path", "wanted"), [("a//b/./c/", "a/b/c"), ("../a/../../b", "b"), ("", ""), ("/..", "")])
def test_cleaning_looks_at_no_link(path: str, wanted: str) -> None:
    assert clean(path) == wanted
