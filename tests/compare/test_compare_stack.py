"""The root file system that a stack of layers makes, against a plain flattening by the standard library."""

from __future__ import annotations

import gzip
import io
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builder.compare.listing import Listing, Node, list_layer
from builder.compare.stack import merged
from builder.errors import CorruptionError
from builder.fs.entries import Entry
from tests.compare.layers import Row, directory, file, gone, hard, opaque, tar
from tests.differential.flatten import flatten, link_groups

NAMES = ("a", "b", "c")


@st.composite
def layers(draw: st.DrawFn) -> list[Row]:
    """A layer as builders write them: parents named first, a path once, links to what came before."""
    rows: dict[str, Row] = {}
    marks: list[Row] = []
    for _ in range(draw(st.integers(0, 8))):
        path = "/".join(draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=3)))
        kind = draw(st.sampled_from(("file", "file", "dir", "link", "hard", "gone", "opaque")))
        parents = ["/".join(path.split("/")[:count]) for count in range(1, path.count("/") + 1)]
        if kind == "gone":
            marks.append(gone(path))
            continue
        if any(parent in rows and rows[parent][0].kind != "dir" for parent in parents) or path in rows:
            continue
        for parent in parents:
            rows.setdefault(parent, directory(parent))
        files = [name for name, (entry, _) in rows.items() if entry.kind == "file"]
        if kind == "hard" and files:
            rows[path] = hard(path, draw(st.sampled_from(sorted(files))))
        elif kind == "link":
            rows[path] = Entry(path, "symlink", 0o777, link=draw(st.sampled_from(NAMES))), None
        elif kind in ("dir", "opaque"):
            rows[path] = directory(path, draw(st.sampled_from((0o700, 0o755))))
            if kind == "opaque":
                marks.append(opaque(path))
        else:
            rows[path] = file(path, draw(st.sampled_from((b"", b"one", b"two"))), uid=draw(st.integers(0, 2)))
    # A name that is hidden and made again in one layer comes with its entry; the mark is for what lies below.
    return [*rows.values(), *{entry.path + entry.kind: (entry, None) for entry, _ in marks}.values()]


def listed(where: Path, stack: list[list[Row]], piece: int) -> list[Listing]:
    found: list[Listing] = []
    for number, rows in enumerate(stack):
        below = tuple(found)
        stream = io.BytesIO(gzip.compress(tar(*rows), 1))
        found.append(list_layer(stream, where / str(number), lambda below=below: (node for node, _ in merged(below)), piece=piece))
    return found


@given(stack=st.lists(layers(), min_size=1, max_size=4), piece=st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_a_stack_is_what_unpacking_makes(tmp_path_factory: pytest.TempPathFactory, stack: list[list[Row]], piece: int) -> None:
    shown = list(merged(listed(tmp_path_factory.mktemp("stack"), stack, piece)))
    keys = [node.key for node, _ in shown]
    assert keys == sorted(set(keys))
    expected = flatten([tar(*rows) for rows in stack])[-1]
    named = {node.path: node for node, layer in shown if layer}
    assert {path: told(node) for path, node in named.items()} == {
        path: (node.kind, node.mode, node.uid, node.digest, node.link) for path, node in expected.items()
    }
    groups = {path: names[0] for path, names in link_groups(expected).items()}
    assert {path: node.group.replace(b"\0", b"/").decode() for path, node in named.items() if node.group} == groups


def told(node: Node) -> tuple[object, ...]:
    return node.kind, node.mode, node.uid, node.content.hex(), node.link.decode()


def test_a_parent_that_no_layer_names_is_shown_once(tmp_path: Path) -> None:
    stack = listed(tmp_path, [[file("a/b/c"), file("a/b/d")]], 100)
    assert [(node.path, node.mode, node.mtime_ns, layer) for node, layer in merged(stack)] == [
        ("", 0o755, None, 0), ("a", 0o755, None, 0), ("a/b", 0o755, None, 0), ("a/b/c", 0o644, 0, 1), ("a/b/d", 0o644, 0, 1),
    ]  # fmt: skip


def test_a_link_into_the_layers_below(tmp_path: Path) -> None:
    stack = listed(tmp_path, [[file("a", b"below")], [hard("b", "a")]], 100)
    assert [(node.path, node.size) for node, layer in merged(stack) if layer] == [("a", 5), ("b", 5)]


@pytest.mark.parametrize(
    "rows",
    [[hard("a", "nothing")], [hard("a", "b"), hard("b", "a")], [hard("a", "a")]],
    ids=["to nothing", "in a circle", "to itself"],
)
def test_links_that_join_nothing_are_refused(tmp_path: Path, rows: list[Row]) -> None:
    with pytest.raises(CorruptionError) as raised:
        listed(tmp_path, [rows], 100)
    assert raised.value.code == "tar-corrupt"


def test_memory_does_not_grow_with_the_layer(tmp_path: Path) -> None:
    """12,000 entries in pieces of 300: what is held at once is a few pieces."""
    data = gzip.compress(tar(*(file(f"{number:05}" + "x" * 60, b"") for number in range(12_000))), 1)
    tracemalloc.start()
    listing = list_layer(io.BytesIO(data), tmp_path / "layer", lambda: (), piece=300)
    count = sum(1 for _ in merged([listing]))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 12_001
    assert peak < 4 << 20
